"""Whatever is done to a certificate, it is refused with a reason or what it claims is true."""

from __future__ import annotations

import functools
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drafts import (
    BUILDERS,
    LOSSES,
    Case,
    changed,
    enumerated,
    filtered,
    fixed,
    make,
    small,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optprobe.certificate import Certificate

HOSTILE = {
    "nan lower": ({"lower": math.nan}, {}),
    "infinite lower": ({"lower": -math.inf}, {}),
    "text lower": ({"lower": "0"}, {}),
    "no lam": ({"lam": None}, {}),
    "zero lam": ({"lam": 0.0}, {}),
    "negative lam": ({"lam": -0.05}, {}),
    "nan lam": ({"lam": math.nan}, {}),
    "tiny lam": ({"lam": 1e-320}, {}),
    "huge lam": ({"lam": 10**400}, {}),
    "boolean k": ({"k": True}, {}),
    "fractional k": ({"k": 3.0}, {}),
    "zero k": ({"k": 0}, {}),
    "huge k": ({"k": 10**12}, {}),
    "other format": ({"format": "zip"}, {}),
    "other version": ({"version": 1}, {}),
    "list loss": ({"loss": ["hinge"]}, {}),
    "other scope": ({"scope": "some"}, {}),
    "digest": ({"data_sha256": "é" * 64}, {}),
    "no digest": ({"data_sha256": None}, {}),
    "rows": ({"rows": 50}, {}),
    "columns": ({"columns": 10**9}, {}),
    "objects": ({}, {"mean": np.array([None] * 7)}),
    "short mean": ({}, {"mean": np.zeros(6)}),
    "nan scale": ({}, {"scale": np.full(7, np.nan)}),
    "zero scale": ({}, {"scale": np.zeros(7)}),
    "empty scope": ({}, {"scope": np.empty(0, "<i4")}),
    "falling scope": ({}, {"scope": np.array([1, 0], "<i4")}),
    "negative scope": ({}, {"scope": np.array([-1, 0], "<i4")}),
    "scope past X": ({}, {"scope": np.array([0, 7], "<i4")}),
    "repeated support": ({}, {"support": np.array([1, 1, 2], "<i4")}),
    "negative start": ({}, {"point_start": np.array([-5, 3], "<i8")}),
    "falling start": ({}, {"point_start": np.array([0, -1], "<i8")}),
    "no start": ({}, {"point_start": np.empty(0, "<i8")}),
    "start past the end": ({}, {"point_start": np.array([0, 10**15], "<i8")}),
    "point column": ({}, {"point_column": -np.ones(7, "<i4")}),
    "infinite beta": ({}, {"point_beta": np.full(7, np.inf, "<f4")}),
    "kind": ({}, {"node_kind": np.array([3, 5], "u1")}),
    "no centre": ({}, {"node_kind": np.array([3, 4], "u1")}),
    "flat centres": ({}, {"node_centre": np.array([-1, -1], "<i4")}),
    "centre without start": ({}, {"centre_start": np.empty(0, "<i8")}),
    "centre start": ({}, {"centre_start": np.array([1], "<i8")}),
    "centre's forced columns": ({}, {"centre_forced": np.array([2], "<i4")}),
    "half a centre": ({}, {"centre_point": np.array([0], "<i4")}),
    "no nodes": ({}, {"node_kind": np.empty(0, "u1")}),
    "point past the end": ({}, {"node_point": np.array([0, 1], "<i4")}),
    "negative point": ({}, {"node_point": np.array([0, -2], "<i4")}),
    "column past X": ({}, {"node_column": np.array([0, 7], "<i4")}),
    "own child": ({}, {"node_child": np.array([[0, -1], [-1, -1]], "<i4")}),
    "cycle": ({}, {"node_child": np.array([[1, -1], [0, -1]], "<i4")}),
    "two parents": ({}, {"node_child": np.array([[1, 1], [-1, -1]], "<i4")}),
    "child past the end": ({}, {"node_child": np.array([[2, -1], [-1, -1]], "<i4")}),
    "negative child": ({}, {"node_child": np.array([[-7, -1], [-1, -1]], "<i4")}),
    "no child": ({}, {"node_child": np.full((2, 2), -1, "<i4")}),
    "branch without column": ({}, {"node_kind": np.array([1, 2], "u1")}),
    "negative fits": ({}, {"node_fits": np.array([[0, 0], [-1, 3]], "<i4")}),
    "fits past the end": ({}, {"node_fits": np.array([[0, 0], [0, 999]], "<i4")}),
    "fits backwards": ({}, {"node_fits": np.array([[0, 0], [5, 3]], "<i4")}),
    "flat children": ({}, {"node_child": np.array([1, -1], "<i4")}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_fields_get_a_reason(name: str) -> None:
    case = small()
    honest = fixed(case, case.provable).certificate()
    header, arrays = HOSTILE[name]
    verdict = case.check(changed(honest, header, **arrays))
    assert not verdict.valid
    assert 10 < len(verdict.reason) < 400


CENTRES = {
    "point": ("centre_point", [9, 1], "numbers of dual points"),
    "negative point": ("centre_point", [-1, 1], "numbers of dual points"),
    "clip": ("centre_clip", [0.8, 0.0], "must be positive"),
    "reach": ("centre_reach", [2.0, 17.0], "must lie between"),
    "nan reach": ("centre_reach", [2.0, math.nan], "NaN"),
    "forced": ("centre_forced", [9], "columns of the scope"),
    "other forced": ("centre_forced", [3], "columns that the node does not"),
    "past the end": ("node_centre", [[-1, -1], [0, 1], [1, 3]], "range of the 2 centres"),
    "other centre": ("node_centre", [[-1, -1], [0, 1], [0, 1]], "columns that the node does not"),
    "two centres": ("node_centre", [[-1, -1], [0, 2], [1, 2]], "force different columns"),
    "no centre": ("node_centre", [[-1, -1], [0, 1], [-1, -1]], "range of the 2 centres"),
    "empty range": ("node_centre", [[-1, -1], [0, 1], [1, 1]], "range of the 2 centres"),
    "fits": ("node_fits", [[-1, -1], [-1, 0], [0, 0]], "negative range"),
    "nothing listed": ("node_fits", [[0, 0], [0, 0], [0, 0]], "is not fitted and its bound"),
}


@pytest.mark.parametrize("name", CENTRES)
def test_hostile_centres_get_a_reason(name: str) -> None:
    case = small()
    honest = filtered(case, case.provable).certificate()
    field, value, reason = CENTRES[name]
    array = np.array(value, honest.arrays[field].dtype)
    verdict = case.check(changed(honest, **{field: array}))
    assert not verdict.valid
    assert reason in verdict.reason


def test_a_centre_may_force_fewer_columns_than_its_node() -> None:
    """Fixing by a dual point forces columns that the centre was not made for; they stay free."""
    case = small()
    draft = filtered(case, case.provable)
    draft.centres[0] = (draft.centres[0][0], [])
    draft.nodes[1]["fits"] = draft.list_fits(case.supports())
    verdict = case.check(draft.certificate())
    assert verdict.valid, verdict.reason
    assert verdict.filtered == 2


def test_filtered_nodes_of_another_loss_are_refused() -> None:
    case = small()
    honest = filtered(case, case.provable).certificate()
    smoothed = np.ones_like(honest.arrays["fit_mu"])
    verdict = case.check(changed(honest, {"loss": "hinge"}, fit_mu=smoothed))
    assert "only logistic, squared_hinge, squared_error have FILTERED nodes" in verdict.reason


@pytest.mark.parametrize("loss", LOSSES)
def test_hostile_numbers_prove_nothing(loss: str) -> None:
    """Overflowing coefficients bound nothing; hinge points need a smoothing."""
    case = small(loss)
    draft = enumerated(case, case.provable)
    draft.points.append((np.ones(7), 0.0, 1.0))
    draft.nodes[0]["point"] = 0
    honest = draft.certificate()
    for name, value in (("fit_beta", 1e308), ("fit_intercept", -1e308), ("point_beta", 3e38)):
        array = np.full_like(honest.arrays[name], value)
        verdict = case.check(changed(honest, **{name: array}))
        assert (verdict.bounded, verdict.excluded) == (0, 0)
        assert not verdict.valid or name == "point_beta"
    without = case.check(changed(honest, fit_mu=np.zeros_like(honest.arrays["fit_mu"])))
    assert without.valid == (loss != "hinge")


def test_truncated_and_altered_files_get_a_reason(tmp_path: Path) -> None:
    case = small()
    content = fixed(case, case.provable).certificate().to_bytes()
    path = tmp_path / "proof.npz"
    rng = np.random.default_rng(0)
    for size in (0, 1, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        assert not case.check(str(path)).valid
    for _ in range(60):
        altered = bytearray(content)
        altered[int(rng.integers(len(content)))] ^= int(rng.integers(1, 256))
        path.write_bytes(altered)
        verdict = case.check(path)
        assert not verdict.valid or verdict.lower <= case.optimum


CORRUPTED = [(builder, loss) for builder in BUILDERS for loss in LOSSES]


@functools.cache
def honest_proof(builder: str, loss: str) -> tuple[Case, Certificate]:
    case = make(loss, seed=1, n=40, d=6, lam=0.1)
    return case, BUILDERS[builder](case, 0.99 * case.optimum).certificate()


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
@given(st.data())
def test_whatever_is_accepted_is_true(choices: st.DataObject) -> None:
    """Corrupt any entries of the arrays and the bounds: refused, or true by brute force."""
    case, honest = honest_proof(*choices.draw(st.sampled_from(CORRUPTED)))
    arrays = dict(honest.arrays)
    names = [name for name in arrays if arrays[name].size and name not in ("mean", "scale")]
    for name in choices.draw(st.lists(st.sampled_from(names), max_size=3)):
        array = arrays[name].copy()
        index = choices.draw(st.integers(0, array.size - 1))
        old = array.flat[index]
        if array.dtype.kind == "f":
            factor = choices.draw(st.sampled_from([0.0, -1.0, 0.5, 1.01, 1.5, 100.0]))
            array.flat[index] = old * factor + choices.draw(st.sampled_from([0.0, 0.1, -3.0]))
        else:
            low = 0 if array.dtype.kind == "u" else -2
            array.flat[index] = choices.draw(st.integers(low, 8) | st.integers(0, 100))
        arrays[name] = array
    factor = choices.draw(st.sampled_from([0.0, 0.9, 1.0, 1.0, 1.005, 1.01, 1.0101, 1.02, 1.1]))
    header = {"lower": honest.header["lower"] * factor}
    header["upper"] = choices.draw(st.sampled_from([honest.header["upper"], 2.0, 1e6]))
    verdict = case.check(changed(honest, header, **arrays))
    if verdict.valid:
        assert verdict.lower <= case.optimum + 1e-12
        assert verdict.upper >= case.optimum * (1 - 1e-8)
    else:
        assert verdict.reason


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.sampled_from(CORRUPTED), st.integers(0, 2**32 - 1), st.sampled_from([1e-6, 1e-2, 1.0]))
def test_perturbed_dual_points_never_prove_too_much(
    which: tuple[str, str], seed: int, size: float
) -> None:
    """Every bound that is accepted with moved dual points is below the optimum."""
    case, honest = honest_proof(*which)
    rng = np.random.default_rng(seed)
    arrays = dict(honest.arrays)
    for name in ("point_beta", "point_intercept", "fit_beta", "fit_intercept"):
        array = arrays[name]
        arrays[name] = (array + size * rng.standard_normal(array.shape)).astype(array.dtype)
    for factor in (0.5, 0.99, 0.999, 1.0001):
        verdict = case.check(changed(honest, {"lower": factor * case.optimum}, **arrays))
        assert not (verdict.valid and factor > 1.0)


def test_changed_settings_are_accepted_only_if_true() -> None:
    """k, lam, weighting and loss of the header: what is accepted holds for that problem."""
    for builder, loss in CORRUPTED:
        case, honest = honest_proof(builder, loss)
        problem = case.problem
        for lam in (0.05, 0.099, 0.1001, 0.2):
            other = replace(case, problem=replace(problem, lam=lam))
            verdict = case.check(changed(honest, {"lam": lam, "upper": 2.0}))
            assert not verdict.valid or verdict.lower <= other.optimum + 1e-12
