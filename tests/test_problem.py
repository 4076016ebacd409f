"""Problem: what it refuses and in which words, what it keeps, and what its digest covers."""

from __future__ import annotations

import dataclasses
import tracemalloc
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from optprobe import observations
from optprobe.losses import LOSSES
from optprobe.matrix import DenseMatrix, StreamedMatrix, standardise
from optprobe.matrix.device import DeviceMatrix
from optprobe.problem import Problem

ROWS, D = 24, 5


def data(seed: int = 0, rows: int = ROWS, d: int = D) -> tuple[np.ndarray, np.ndarray]:
    """Random activations and 0/1 labels, both classes in every half."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((rows, d)) * np.array([1.0, 30.0, 0.02, 5.0, 1.0])[:d] + 2.0
    return X, np.arange(rows) % 2


def of(**changes: Any) -> Problem:
    """A legal problem with some arguments of `Problem.of` exchanged."""
    X, y = data()
    arguments: dict[str, Any] = {"X": X, "y": y, "k": 2, **changes}
    return Problem.of(arguments.pop("X"), arguments.pop("y"), **arguments)


def spoiled(value: float, row: int, column: int, dtype: str = "float64") -> np.ndarray:
    X = data()[0].astype(dtype)
    X[row, column] = value
    return X


def held(*rows: int) -> np.ndarray:
    mask = np.zeros(ROWS, bool)
    mask[list(rows)] = True
    return mask


FIRST_HALF = held(*range(ROWS // 2))

BAD: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "X one-dimensional": ({"X": np.ones(ROWS)}, ValueError, r"X has shape \(24,\)"),
    "X without rows": ({"X": np.ones((0, 5))}, ValueError, "non-empty array, rows x columns"),
    "X without columns": ({"X": np.ones((ROWS, 0))}, ValueError, "non-empty array"),
    "X of objects": (
        {"X": data()[0].astype(object)},
        TypeError,
        r"object array \(ragged or mixed\); pass rows x columns of floats",
    ),
    "X of strings": ({"X": data()[0].astype(str)}, TypeError, "X has type <U"),
    "X complex": ({"X": data()[0] + 1j}, TypeError, "pass float16, float32 or float64"),
    "X in extended precision": (
        {"X": data()[0].astype(np.longdouble)},
        TypeError,
        "pass float16, float32 or float64",
    ),
    "X an integer tensor": ({"X": torch.ones(ROWS, D, dtype=torch.int64)}, TypeError, "tensor"),
    "X a flat tensor": ({"X": torch.ones(ROWS)}, TypeError, "1-dimensional torch.float32"),
    "X an empty tensor": ({"X": torch.ones(0, 5)}, ValueError, r"X has shape \(0, 5\)"),
    "NaN": ({"X": spoiled(np.nan, 3, 4)}, ValueError, r"nan at row 3, column 4 \('4'\); remove"),
    "infinity": ({"X": spoiled(np.inf, 7, 1)}, ValueError, "inf at row 7, column 1"),
    "minus infinity": ({"X": spoiled(-np.inf, 0, 0)}, ValueError, "-inf at row 0, column 0"),
    "a square that overflows": ({"X": spoiled(1e200, 2, 3)}, ValueError, r"1e\+200 at row 2"),
    "NaN on a test row, column named": (
        {"X": spoiled(np.nan, 3, 2), "test": held(3), "names": list("abcde")},
        ValueError,
        r"row 3, column 2 \('c'\)",
    ),
    "float16 overflow": (
        {"X": spoiled(np.inf, 5, 2, "float16")},
        ValueError,
        "row 5, column 2.*float16 overflows past 65504: cache in float32",
    ),
    "float16 overflow in a tensor": (
        {"X": torch.tensor(spoiled(np.inf, 5, 2, "float16"))},
        ValueError,
        "row 5, column 2.*float16 overflows",
    ),
    "NaN in bfloat16": (
        {"X": torch.tensor(spoiled(np.nan, 5, 2)).bfloat16()},
        ValueError,
        r"nan at row 5, column 2 \('2'\); remove or replace it$",
    ),
    "too few labels": ({"y": [0, 1]}, ValueError, r"y has shape \(2,\) but X has 24 rows"),
    "labels in a matrix": ({"y": np.ones((ROWS, 1))}, ValueError, "pass one label a row"),
    "one class": ({"y": np.ones(ROWS)}, ValueError, r"1 distinct label\(s\) \(1.0\)"),
    "three classes": ({"y": np.arange(ROWS) % 3}, ValueError, r"3 distinct label\(s\) \(0, 1, 2"),
    "labels of objects": ({"y": [None, 1] * 12}, TypeError, "y is an object array"),
    "a NaN label": ({"y": [0.0, np.nan] * 12}, ValueError, "y holds NaN or infinity at row 1"),
    "k = 0": ({"k": 0}, ValueError, "k=0: a probe needs at least one column"),
    "k negative": ({"k": -2}, ValueError, "pass k >= 1"),
    "k a fraction": ({"k": 2.5}, ValueError, "k=2.5: .* a whole number"),
    "k NaN": ({"k": np.nan}, ValueError, "k=nan"),
    "k infinite": ({"k": np.inf}, ValueError, "k=inf"),
    "k too large": ({"k": 6}, ValueError, r"exceeds the 5 usable columns.*pass k <= 5"),
    "k beyond the columns that vary": (
        {"X": np.hstack([data()[0], np.full((ROWS, 1), 3.0)]), "k": 6},
        ValueError,
        r"k=6 exceeds the 5 usable columns \(1 of 6 are constant\)",
    ),
    "no column varies": (
        {"X": np.ones((ROWS, 3)), "k": 1},
        ValueError,
        "every column of X is constant on the training rows",
    ),
    "no ridge": ({"lam": 0.0}, ValueError, "lam=0.0: the ridge must be positive.*every bound"),
    "a negative ridge": ({"lam": -0.1}, ValueError, "nothing can be certified without it"),
    "an infinite ridge": ({"lam": np.inf}, ValueError, "positive and finite"),
    "a NaN ridge": ({"lam": np.nan}, ValueError, "lam=nan"),
    "an unknown loss": ({"loss": "probit"}, ValueError, "unknown loss 'probit'; choose one of"),
    "an unknown weighting": ({"weights": "equal"}, ValueError, "weights='equal'; pass 'balanced'"),
    "too few weights": ({"weights": np.ones(3)}, ValueError, r"weights has shape \(3,\)"),
    "negative weights": ({"weights": -np.ones(ROWS)}, ValueError, "finite and not negative"),
    "a NaN weight": ({"weights": np.full(ROWS, np.nan)}, ValueError, "finite and not negative"),
    "a class that weighs nothing": (
        {"weights": np.arange(ROWS) % 2},
        ValueError,
        "the training rows of label 0 weigh nothing",
    ),
    "too few names": ({"names": ["a", "b"]}, ValueError, "2 names for 5 columns"),
    "too short a mask": ({"test": np.zeros(3, bool)}, ValueError, r"test has shape \(3,\)"),
    "a mask of numbers": ({"test": np.arange(ROWS)}, ValueError, "True .held out. or False"),
    "a mask of fractions": ({"test": np.full(ROWS, 0.5)}, ValueError, "True .held out. or False"),
    "every row held out": ({"test": np.ones(ROWS, bool)}, ValueError, "holds out every row"),
    "a class without training rows": (
        {"test": np.arange(ROWS) % 2 == 1},
        ValueError,
        "no training row has the label 1; a probe needs both",
    ),
    "too few groups": ({"groups": np.zeros(3)}, ValueError, r"groups has shape \(3,\)"),
    "a group on both sides": (
        {"groups": np.arange(ROWS) // 5, "test": FIRST_HALF},
        ValueError,
        r"group 2 has rows on both sides of the split \(1 groups",
    ),
    "a named group on both sides": (
        {"groups": np.array(["a", "b"] * 12, object), "test": FIRST_HALF},
        ValueError,
        r"group 'a' has rows on both sides of the split \(2 groups do\).*would leak",
    ),
    "no scale floor": ({"scale_floor": 0.0}, ValueError, "scale_floor=0.0: pass a positive"),
}


@pytest.mark.parametrize(("changes", "kind", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_refused_with_its_message(changes, kind, message):
    with pytest.raises(kind, match=message):
        of(**changes)


def test_the_row_of_a_bad_number_is_counted_over_all_blocks(monkeypatch):
    monkeypatch.setattr(standardise, "BLOCK_BYTES", 8 * D * 5)
    monkeypatch.setattr(standardise, "MOMENT_BYTES", 1)
    monkeypatch.setattr(standardise, "MOMENT_ROWS", 5)
    for X in (spoiled(np.inf, 17, 3), torch.tensor(spoiled(np.inf, 17, 3)).bfloat16()):
        with pytest.raises(ValueError, match="inf at row 17, column 3"):
            of(X=X)


@pytest.mark.parametrize(
    ("negative", "positive"),
    [(False, True), ("cat", "dog"), (3, 7), (-1, 1), (0.5, 2.5), (np.int8(4), np.int8(9))],
)
def test_any_two_labels_round_trip(negative, positive):
    sign = data()[1]
    y = [positive if s else negative for s in sign]
    found = of(y=y)
    assert found.data.labels == (negative, positive)
    assert [found.data.labels[int(s > 0)] for s in found.data.y] == y
    assert found.digest == of().digest
    assert not isinstance(found.data.labels[0], np.generic)


def test_torch_labels():
    sign = torch.tensor(data()[1])
    for y in (sign, sign.bool(), sign.float()):
        assert of(y=y).digest == of().digest


@given(
    share=st.floats(0.1, 0.9),
    mode=st.sampled_from(["balanced", "uniform", "given"]),
    seed=st.integers(0, 999),
)
def test_weights_sum_to_one(share, mode, seed):
    rng = np.random.default_rng(seed)
    X, _ = data(seed)
    y = rng.random(ROWS) < share
    y[:2] = True, False
    own = rng.integers(0, 5, ROWS) + np.where(np.arange(ROWS) < 2, 1.0, 0.0)
    test = np.arange(ROWS) >= 20
    found = of(X=X, y=y, weights=own if mode == "given" else mode, test=test)
    w = found.weights
    assert len(w) == 20
    assert np.all(w >= 0)
    assert w.sum() == pytest.approx(1.0, abs=1e-15)
    assert found.data.weighting == mode
    if mode == "balanced":
        assert w[found.y > 0].sum() == pytest.approx(0.5, abs=1e-15)
    elif mode == "uniform":
        assert np.ptp(w) == 0
    else:
        np.testing.assert_allclose(w, own[:20] / own[:20].sum(), rtol=1e-15)
        np.testing.assert_array_equal(found.data.given, own)


def test_given_weights_are_copied():
    own = np.ones(ROWS)
    found = of(weights=own)
    own[:] = 7.0
    assert found.data.given is not None
    assert np.all(found.data.given == 1.0)


def test_standardisation_of_the_training_rows():
    X, _ = data()
    found = of(test=FIRST_HALF)
    train = X[ROWS // 2 :]
    by = found.data.by
    np.testing.assert_allclose(by.mean, train.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(by.variance, train.var(axis=0), rtol=1e-12)
    np.testing.assert_allclose(by.scale, train.std(axis=0), rtol=1e-12)
    Z = found.matrix.columns(np.arange(D)).T
    np.testing.assert_allclose(Z.mean(axis=0), 0.0, atol=1e-14)
    np.testing.assert_allclose(Z.std(axis=0), 1.0, rtol=1e-13)


def test_test_rows_change_nothing_but_the_digest():
    X, y = data()
    other = X.copy()
    other[FIRST_HALF] *= -55.0
    before, after = of(test=FIRST_HALF), of(X=other, test=FIRST_HALF)
    for name in ("mean", "variance", "scale", "constant"):
        one, two = (getattr(found.data.by, name) for found in (before, after))
        np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(before.weights, after.weights)
    every = np.arange(D)
    np.testing.assert_array_equal(before.matrix.columns(every), after.matrix.columns(every))
    assert before.digest != after.digest
    np.testing.assert_array_equal(before.data.test, np.arange(ROWS // 2))
    np.testing.assert_array_equal(before.data.train, np.arange(ROWS // 2, ROWS))
    np.testing.assert_array_equal(before.y, np.where(y[ROWS // 2 :], 1.0, -1.0))


def test_constant_columns_are_named_and_left_out():
    X, _ = data()
    X[:, 1] = 4.0
    X[ROWS // 2 :, 3] = -1.0  # constant on the training rows only
    found = of(X=X, names=list("abcde"), test=FIRST_HALF)
    assert found.constant_names == ("b", "d")
    assert found.usable.tolist() == [0, 2, 4]
    assert found.d == D
    assert not found.matrix.columns(np.array([1, 3])).any()
    assert of(X=X, test=FIRST_HALF, k=3).k == 3
    with pytest.raises(ValueError, match="k=4 exceeds the 3 usable columns"):
        of(X=X, test=FIRST_HALF, k=4)


def test_the_scale_floor_keeps_tiny_columns_tiny():
    X, _ = data()
    X[:, 0] = 1.0 + 1e-9 * np.arange(ROWS)
    found = of(X=X)
    assert found.data.by.scale[0] == 1e-3
    assert not found.data.by.constant[0]
    assert np.abs(found.matrix.columns(np.array([0]))).max() < 1e-4
    assert of(X=X, scale_floor=1e-12).data.by.scale[0] < 1e-7


def _digest(**changes: Any) -> str:
    return of(**{"test": held(0, 1), "weights": np.arange(1.0, ROWS + 1), **changes}).digest


def _bumped(array: np.ndarray, at: Any) -> np.ndarray:
    """The next number in one place: the smallest change there is."""
    out = array.copy()
    out[at] = np.nextafter(out[at], np.inf)
    return out


CHANGES: dict[str, dict[str, Any]] = {
    "a training entry": {"X": _bumped(data()[0], (9, 2))},
    "a test entry": {"X": _bumped(data()[0], (0, 2))},
    "its type": {"X": data()[0].astype(np.float32)},
    "a label": {"y": np.where(np.arange(ROWS) == 5, 0, data()[1])},
    "a test label": {"y": np.where(np.arange(ROWS) == 1, 0, data()[1])},
    "a weight": {"weights": np.arange(1.0, ROWS + 1) + (np.arange(ROWS) == 7)},
    "where weights come from": {"weights": "balanced"},
    "the training rows": {"test": held(0)},
    "k": {"k": 3},
    "lam": {"lam": np.nextafter(0.01, 1.0)},
    "the loss": {"loss": "hinge"},
    "the scale floor": {"scale_floor": 2e-3},
}


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
def test_the_digest_changes_with(changes):
    assert _digest(**changes) != _digest()


def _strided(X: np.ndarray) -> np.ndarray:
    wide = np.zeros((2 * len(X), 3 * X.shape[1]))
    wide[::2, ::3] = X
    return wide[::2, ::3]


SAME: dict[str, dict[str, Any]] = {
    "a copy": {"X": data()[0].copy()},
    "Fortran order": {"X": np.asfortranarray(data()[0])},
    "strides": {"X": _strided(data()[0])},
    "big-endian bytes": {"X": data()[0].astype(">f8")},
    "a read-only array": {"X": np.frombuffer(data()[0].tobytes()).reshape(ROWS, D)},
    "lists": {"X": data()[0].tolist(), "y": data()[1].tolist(), "test": held(0, 1).tolist()},
    "a tensor": {"X": torch.tensor(data()[0], requires_grad=True)},
    "other names": {"names": list("vwxyz")},
    "other label values": {"y": np.where(data()[1], "yes", "no")},
    "groups": {"groups": np.arange(ROWS)},
    "weights on another scale": {"weights": 4.0 * np.arange(1, ROWS + 1)},
    "weights in a tensor": {"weights": torch.arange(1.0, ROWS + 1)},
    "a mask of 0 and 1": {"test": held(0, 1).astype(int)},
    "a mask in a tensor": {"test": torch.tensor(held(0, 1))},
    "k of NumPy": {"k": np.int64(2)},
    "k as a float": {"k": 2.0},
    "lam of NumPy": {"lam": np.float64(0.1)},
}


@pytest.mark.parametrize("changes", SAME.values(), ids=SAME)
def test_the_digest_does_not_change_with(changes):
    assert _digest(**changes) == _digest()


def test_whole_settings_have_one_digest():
    assert of(lam=1).digest == of(lam=1.0).digest == of(lam=np.float32(1)).digest
    assert of(scale_floor=1).digest == of(scale_floor=1.0).digest


def test_the_digest_is_read_in_blocks(monkeypatch):
    whole = of().digest
    monkeypatch.setattr(standardise, "BLOCK_BYTES", 8 * D * 7)
    assert of().digest == whole


def test_problems_do_not_change():
    found = of(groups=np.arange(ROWS), test=held(0))
    for attribute in ("k", "lam", "loss_name", "data"):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(found, attribute, None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.data.y = None  # type: ignore[misc]
    by = found.data.by
    for own in (found.weights, found.data.y, found.data.train, found.data.test, by.mean, by.scale):
        with pytest.raises(ValueError, match="read-only"):
            own[0] = 1


def test_problems_share_their_data():
    found = of()
    other = found.with_k(4)
    assert other.k == 4
    assert other.data is found.data
    assert other.matrix is found.matrix
    assert other == dataclasses.replace(found, k=4) != found
    assert len({found, other, of()}) == 3
    with pytest.raises(ValueError, match="exceeds the 5 usable"):
        found.with_k(6)
    with pytest.raises(ValueError, match="must be positive"):
        dataclasses.replace(found, lam=0.0)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_tensors_give_the_same_problem_as_arrays(dtype):
    X = data()[0].astype(dtype)
    found, expected = of(X=torch.tensor(X), test=held(2)), of(X=X, test=held(2))
    assert found.digest == expected.digest
    every = np.arange(D)
    np.testing.assert_array_equal(found.matrix.columns(every), expected.matrix.columns(every))
    np.testing.assert_array_equal(
        found.data.columns(every, found.data.test), expected.data.columns(every, found.data.test)
    )


def test_bfloat16_is_read_as_its_float32_values():
    half = torch.tensor(data()[0]).bfloat16()
    half[:, 3] = 2.0
    found, expected = of(X=half, test=held(2)), of(X=half.float(), test=held(2))
    assert isinstance(found.matrix, DeviceMatrix)
    assert found.digest == expected.digest
    assert found.constant_names == expected.constant_names == ("3",)
    np.testing.assert_allclose(found.data.by.mean, expected.data.by.mean, rtol=1e-14)
    np.testing.assert_allclose(found.data.by.scale, expected.data.by.scale, rtol=1e-14)
    every = np.arange(D)
    np.testing.assert_allclose(
        found.matrix.columns(every), expected.matrix.columns(every), rtol=0, atol=1e-6
    )
    rows = np.array([2, 5, 11])
    np.testing.assert_allclose(
        found.data.columns(every, rows), expected.data.columns(every, rows), rtol=1e-13, atol=1e-13
    )


@pytest.mark.parametrize("kind", ["bool", "uint8", "int16", "int64"])
def test_whole_numbers_become_floats(kind):
    X = (data()[0] > 2.0).astype(kind)
    found = of(X=X)
    np.testing.assert_array_equal(found.data.X, X)
    assert np.asarray(found.data.X).dtype.kind == "f"


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_memory_mapped_input_equals_input_in_memory(tmp_path, monkeypatch, dtype, order):
    X = np.asarray(data()[0].astype(dtype), order=order)
    X[:, 4] = 1.0
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    expected = of(X=X, test=held(3, 4))
    every = np.arange(D)
    for limit, kind in ((2**31, DenseMatrix), (16, StreamedMatrix)):
        monkeypatch.setattr(observations, "STREAM_BYTES", limit)
        found = of(X=mapped, test=held(3, 4))
        assert isinstance(found.matrix, kind)
        assert found.digest == expected.digest
        assert found.constant_names == ("4",)
        np.testing.assert_array_equal(found.matrix.columns(every), expected.matrix.columns(every))
        np.testing.assert_array_equal(
            found.data.columns(every, found.data.test),
            expected.data.columns(every, expected.data.test),
        )


def test_what_is_streamed(monkeypatch):
    X = data()[0]
    monkeypatch.setattr(observations, "STREAM_BYTES", 16)
    monkeypatch.setattr(observations, "STREAM_DOUBLE_BYTES", 16)
    assert isinstance(of(X=X).matrix, StreamedMatrix)
    # float32 in memory is no larger than the copy, which is contiguous per column: copied.
    assert isinstance(of(X=X.astype(np.float32)).matrix, DenseMatrix)


@pytest.mark.parametrize("loss", LOSSES)
def test_objective_follows_its_formula(loss):
    rng = np.random.default_rng(3)
    X, y = data()
    found = of(loss=loss, lam=0.3, test=held(1, 2))
    support, beta, b = np.array([3, 0, 4]), rng.standard_normal(3), -0.4
    train = np.setdiff1d(np.arange(ROWS), [1, 2])
    Z = (X[train] - X[train].mean(axis=0)) / X[train].std(axis=0)
    value = 0.0
    for z, label, w in zip(Z, y[train], found.weights, strict=True):
        margin = (1 if label else -1) * (z[support] @ beta + b)
        value += (
            w
            * {
                "logistic": np.log1p(np.exp(-margin)),
                "hinge": max(0.0, 1.0 - margin),
                "squared_hinge": max(0.0, 1.0 - margin) ** 2,
            }[loss]
        )
    value += 0.15 * np.sum(beta**2)
    assert found.objective(support, beta, b) == pytest.approx(value, rel=1e-13)


def test_the_objective_reads_its_own_columns_only():
    """A few columns of a layer that may be larger than memory: never a copy of whole rows."""
    X = np.random.default_rng(0).standard_normal((2000, 600)).astype(np.float32)
    found = of(X=X, y=np.arange(2000) % 2)
    tracemalloc.start()
    try:
        found.objective(np.array([1, 500]), np.ones(2), 0.0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < X.nbytes / 8


def test_a_perfect_column_is_not_too_good():
    y = np.array([0, 1] * 12)
    assert of(X=np.c_[y, 1 - y, data()[0]].astype(np.float32), y=y).usable.tolist() == [*range(7)]
