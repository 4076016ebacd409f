"""Every design matrix against plain NumPy on the standardised rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
import torch

from optprobe.matrix import (
    DenseMatrix,
    DesignMatrix,
    NotFiniteError,
    StreamedMatrix,
    dense,
    standardise,
)
from optprobe.matrix.device import DeviceMatrix, standardise_tensor
from optprobe.matrix.standardise import Standardisation, row_slices

ROWS, D = 40, 9
CONSTANT = 5
TRAIN = np.setdiff1d(np.arange(ROWS), [0, 1, 13, 39])
DOUBLE, SINGLE = 1e-13, 3e-6


def activations(dtype: str = "float32") -> np.ndarray:
    rng = np.random.default_rng(5)
    X = rng.standard_normal((ROWS, D)) * np.geomspace(0.01, 100.0, D) + 3.0
    X[:, CONSTANT] = 7.0
    return X.astype(dtype)


def reference(X: np.ndarray) -> np.ndarray:
    """Z, n x d, the long way."""
    train = X[TRAIN].astype(np.float64)
    Z = (train - train.mean(axis=0)) / np.maximum(train.std(axis=0), 1e-3)
    Z[:, CONSTANT] = 0.0
    return Z


def on_device(name: str) -> Callable[[np.ndarray, Standardisation], DesignMatrix]:
    def make(X: np.ndarray, by: Standardisation) -> DesignMatrix:
        tensor = torch.tensor(X, device=name)
        return DeviceMatrix.standardised(tensor, TRAIN, standardise_tensor(tensor, TRAIN, 1e-3))

    return make


def dense_in(dtype: str) -> Callable[[np.ndarray, Standardisation], DesignMatrix]:
    def make(X: np.ndarray, by: Standardisation) -> DesignMatrix:
        matrix = DenseMatrix.standardised(X, TRAIN, by)
        assert matrix.transposed.dtype == dtype
        return matrix

    return make


@dataclass(frozen=True)
class Kind:
    """How a matrix is made, and the relative errors of what it keeps and of what it adds up."""

    make: Callable[[np.ndarray, Standardisation], DesignMatrix]
    stored: float
    double_bytes: int = 2**28


def streamed(X: np.ndarray, by: Standardisation) -> DesignMatrix:
    return StreamedMatrix(X, TRAIN, by, np.arange(D))


def streamed_part(X: np.ndarray, by: Standardisation) -> DesignMatrix:
    """What restricting a large streamed matrix leaves: some columns of a wider source."""
    wide = np.zeros((ROWS, 2 * D), X.dtype)
    wide[:, ::2] = X
    return StreamedMatrix(wide, TRAIN, _standardise(wide), np.arange(0, 2 * D, 2))


KINDS = {
    "dense float64": Kind(dense_in("float64"), DOUBLE),
    "dense float32": Kind(dense_in("float32"), SINGLE, double_bytes=100),
    "streamed": Kind(streamed, DOUBLE),
    "streamed part": Kind(streamed_part, DOUBLE),
    "device cpu": Kind(on_device("cpu"), SINGLE),
    "device cuda": Kind(on_device("cuda"), SINGLE),
}


def _standardise(X: np.ndarray) -> Standardisation:
    return standardise.standardise(X, TRAIN, 1e-3, np.zeros(len(TRAIN)))[0]


@pytest.fixture(params=KINDS)
def kind(request, monkeypatch) -> Kind:
    """Each kind of matrix, with blocks of seven rows (smaller than the data)."""
    if request.param == "device cuda" and not torch.cuda.is_available():
        pytest.skip("device cuda: no CUDA device here")
    monkeypatch.setattr(standardise, "BLOCK_BYTES", 8 * D * 7)
    monkeypatch.setattr(dense, "DOUBLE_BYTES", KINDS[request.param].double_bytes)
    return KINDS[request.param]


@pytest.fixture(params=["float16", "float32", "float64"])
def case(request, kind) -> tuple[DesignMatrix, np.ndarray, float]:
    """A matrix, its reference and its accuracy, for activations of every type."""
    X = activations(request.param)
    return kind.make(X, _standardise(X)), reference(X), kind.stored


def agrees(matrix: DesignMatrix, Z: np.ndarray, accuracy: float) -> None:
    """Every method of the interface against the reference."""
    rng = np.random.default_rng(1)
    n, d = Z.shape
    assert matrix.shape == (n, d)
    assert matrix.roundoff == (2.0**-53 if accuracy == DOUBLE else 2.0**-24)
    columns = rng.permutation(d)[: max(1, d // 2)]
    beta = rng.standard_normal((4, len(columns)))
    duals = rng.uniform(0, 1, (3, n)) * rng.choice([-1.0, 1.0], n) / n
    weights = rng.uniform(0, 1, n)
    part = Z[:, columns]
    close = {"rtol": accuracy, "atol": 10 * accuracy}

    def same(found: np.ndarray, expected: np.ndarray) -> None:
        assert found.dtype == np.float64
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, **close)

    same(matrix.columns(columns), part.T)
    same(matrix.columns(columns[:0]), part[:, :0].T)
    assert matrix.columns(columns).flags.c_contiguous
    same(matrix.scores(columns, beta), beta @ part.T)
    same(matrix.scores(columns[:0], beta[:, :0]), np.zeros((4, n)))
    run = np.arange(d // 3, d)  # consecutive columns, several blocks of them
    wide = rng.standard_normal((2, len(run)))
    same(matrix.scores(run, wide), wide @ Z[:, run].T)
    same(matrix.correlations(duals), duals @ Z)
    same(matrix.squares(duals), duals @ (Z * Z))
    same(matrix.gram(columns, weights), part.T @ (weights[:, None] * part))


def test_every_method(case):
    agrees(*case)


def test_restriction(case):
    matrix, Z, accuracy = case
    columns = np.array([8, 0, 3, CONSTANT, 1])
    once = matrix.restrict(columns)
    agrees(once, Z[:, columns], accuracy)
    again = np.array([4, 3, 0])
    agrees(once.restrict(again), Z[:, columns[again]], accuracy)
    agrees(matrix, Z, accuracy)


def test_restriction_is_a_copy_of_its_columns(kind):
    X = activations()
    matrix = kind.make(X, _standardise(X))
    columns = np.arange(3)
    small = matrix.restrict(columns)
    before = small.columns(columns).copy()
    X[:] = 0.0
    np.testing.assert_array_equal(small.columns(columns), before)


def test_a_large_streamed_matrix_is_restricted_without_a_copy():
    rows = 2**22
    source = np.broadcast_to(np.zeros(20, np.float32), (rows, 20))
    by = Standardisation(np.zeros(20), np.ones(20), np.ones(20), np.zeros(20, bool))
    matrix = StreamedMatrix(source, np.arange(rows), by, np.arange(20)[::-1])
    part = matrix.restrict(np.array([0, 7, 3, 9, 19]))
    assert isinstance(part, StreamedMatrix)
    assert part.kept.tolist() == [19, 12, 16, 10, 0]
    assert part.source is source


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("rows_a_block", [1, 7, 1000])
def test_standardisation_in_blocks(monkeypatch, dtype, rows_a_block):
    X = activations(dtype)
    monkeypatch.setattr(standardise, "BLOCK_BYTES", 8 * D * rows_a_block)
    monkeypatch.setattr(standardise, "MOMENT_BYTES", 1)
    monkeypatch.setattr(standardise, "MOMENT_ROWS", rows_a_block)
    by = _standardise(X)
    train = X[TRAIN].astype(np.float64)
    np.testing.assert_allclose(by.mean, train.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(by.variance, train.var(axis=0), rtol=1e-12, atol=1e-28)
    np.testing.assert_array_equal(by.scale, np.maximum(np.sqrt(by.variance), 1e-3))
    assert np.flatnonzero(by.constant).tolist() == [CONSTANT]
    on_tensor = standardise_tensor(torch.tensor(X), TRAIN, 1e-3)
    np.testing.assert_allclose(on_tensor.mean, by.mean, rtol=1e-14)
    np.testing.assert_allclose(on_tensor.scale, by.scale, rtol=1e-12)
    np.testing.assert_array_equal(on_tensor.constant, by.constant)


@pytest.mark.parametrize("large", [True, False], ids=["through torch", "through NumPy"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_correlations_come_with_the_standardisation(monkeypatch, large, dtype, offset):
    monkeypatch.setattr(standardise, "LARGE_HALF", 1 if large else 2**30)
    monkeypatch.setattr(standardise, "MOMENT_BYTES", 1)
    monkeypatch.setattr(standardise, "MOMENT_ROWS", 7)
    X = (activations("float64") + offset).astype(dtype)
    dual = np.random.default_rng(1).standard_normal(len(TRAIN))
    by, found = standardise.standardise(X, TRAIN, 1e-3, dual)
    expected = DenseMatrix.standardised(X, TRAIN, by).correlations(dual[None])[0]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    assert found[CONSTANT] == 0.0
    np.testing.assert_allclose(by.mean, X[TRAIN].astype(float).mean(axis=0), rtol=1e-13)


def test_a_large_offset_keeps_the_deviations():
    """The deviations are taken from the mean, not from sums of squares of large numbers."""
    X = activations("float64") + 1e7
    by = _standardise(X)
    np.testing.assert_allclose(by.variance, X[TRAIN].var(axis=0), rtol=1e-9, atol=1e-16)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_a_first_block_unlike_the_others(monkeypatch, dtype):
    """Massive activations at the beginning of a text, and columns that vary late or hardly."""
    monkeypatch.setattr(standardise, "MOMENT_BYTES", 1)
    monkeypatch.setattr(standardise, "MOMENT_ROWS", 7)
    monkeypatch.setattr(standardise, "LARGE_HALF", 1)
    rng = np.random.default_rng(3)
    X = rng.standard_normal((300, 5))
    X[0, 0], X[:7, 1], X[:, 2], X[:, 3] = 6e4, 0.1, 0.1, 0.1
    X[299, 3], X[:, 4] = 0.125, 0.0
    X[7, 4] = {"float16": 6e-8, "float32": 1e-44, "float64": 5e-324}[dtype]
    X = X.astype(dtype)
    by, _ = standardise.standardise(X, np.arange(300), 1e-300, np.zeros(300))
    exact = [[Fraction(value) for value in column] for column in X.T.tolist()]
    means = [sum(column) / 300 for column in exact]
    spread = [
        sum((value - mean) ** 2 for value in column) / 300
        for column, mean in zip(exact, means, strict=True)
    ]
    np.testing.assert_allclose(by.mean, [float(mean) for mean in means], rtol=1e-14)
    np.testing.assert_allclose(by.variance, [float(value) for value in spread], rtol=1e-13)
    assert by.constant.tolist() == [False, False, True, False, False]


def test_blocks_cover_every_row_once(monkeypatch):
    monkeypatch.setattr(standardise, "BLOCK_BYTES", 8 * 10 * 4)
    for rows in (1, 3, 4, 5, 12, 13):
        slices = list(row_slices(rows, 10))
        assert np.concatenate([np.arange(rows)[part] for part in slices]).tolist() == [*range(rows)]
        assert all(part.stop - part.start <= 4 for part in slices)
    assert len(list(row_slices(3, 10**9))) == 3


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_first_bad_number_is_located(monkeypatch, dtype, value):
    monkeypatch.setattr(standardise, "BLOCK_BYTES", 8 * D * 7)
    monkeypatch.setattr(standardise, "MOMENT_BYTES", 1)
    monkeypatch.setattr(standardise, "MOMENT_ROWS", 7)
    X = activations(dtype)
    X[13, 6] = X[13, 8] = X[30, 0] = value
    for found in (lambda: _standardise(X), lambda: standardise_tensor(torch.tensor(X), TRAIN, 1.0)):
        with pytest.raises(NotFiniteError) as error:
            found()
        assert (error.value.row, error.value.column) == (13, 6)
        np.testing.assert_equal(error.value.value, value)


def test_large_float32_numbers_are_no_infinities():
    X = activations()
    X[:20, 2] = 3e38
    assert np.isfinite(_standardise(X).variance).all()
