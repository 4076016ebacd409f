"""The checker accepts proofs and nothing else: whatever it accepts is true by brute force."""

from __future__ import annotations

import functools
import itertools
import math
import subprocess
import sys
from dataclasses import dataclass, field, replace
from decimal import Decimal, localcontext
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optprobe.certificate import FORMAT, VERSION, Certificate, Kind
from optprobe.checker import Verdict, data, duals, verify
from optprobe.checker import columns as kept
from optprobe.checker import points as batches
from optprobe.checker.survivors import Listed, surviving
from optprobe.checker.walk import node_bounds
from optprobe.engine.damping import limits
from optprobe.engine.filter import costs, quadratic
from optprobe.problem import Problem
from optprobe.relaxation import Nodes, relax
from optprobe.support import Fits, Rows, fit_supports, signed

LOSSES = ("logistic", "squared_hinge", "hinge", "squared_error")
WEIGHTS = ("balanced", "uniform", "given")


def make(
    loss: str = "logistic",
    weighting: str = "balanced",
    seed: int = 0,
    k: int = 3,
    lam: float = 0.05,
    d: int = 7,
    n: int = 60,
    constant: bool = False,
) -> Case:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)).astype(np.float32)
    signal = X[:, :4] @ np.array([1.0, -0.8, 0.6, 0.4]) + 0.8 * rng.standard_normal(n)
    y = signal if loss == "squared_error" else np.where(signal > 0.3, "yes", "no")
    if constant:
        X[:, 2] = 1.5
    test = np.zeros(n, bool)
    test[::7] = True
    if loss == "squared_error" and weighting == "balanced":
        weighting = "uniform"  # there are no classes to balance
    weights: Any = rng.uniform(0.2, 2.0, n) if weighting == "given" else weighting
    problem = Problem.of(X, y, k=k, lam=lam, loss=loss, weights=weights, test=test)
    given = weights if weighting == "given" else None
    return Case(problem, X, y, {"test": test, "weights": given})


@dataclass(frozen=True)
class Case:
    """A problem with what `verify` is called with, and its brute-force optimum."""

    problem: Problem
    X: np.ndarray
    y: np.ndarray
    options: dict[str, Any]

    def check(self, certificate: Certificate | Path | str) -> Verdict:
        return verify(certificate, self.X, self.y, **self.options)

    @functools.cached_property
    def rows(self) -> Rows:
        return self.problem.rows

    def fits(self, supports: np.ndarray) -> Fits:
        every = np.arange(self.problem.d)
        return fit_supports(
            signed(self.problem.matrix.columns(every), self.rows), supports, self.rows
        )

    def supports(self, columns: Any = None) -> np.ndarray:
        columns = self.problem.usable if columns is None else columns
        return np.array(list(itertools.combinations(columns, self.problem.k)), np.int64)

    @functools.cached_property
    def brute(self) -> tuple[np.ndarray, Fits]:
        return self.supports(), self.fits(self.supports())

    @property
    def optimum(self) -> float:
        return float(self.brute[1].primal.min())

    @property
    def provable(self) -> float:
        """Just below what the fits of all supports prove.

        The hinge's a(m) magnifies the rounding of a margin by 1 / (8 mu), mu about 1e-9.
        """
        slack = 1e-7 if self.problem.loss_name == "hinge" else 1e-9
        return float(self.brute[1].dual.min()) * (1 - slack)


@dataclass
class Draft:
    """Parts of a certificate, appended one by one."""

    case: Case
    lower: float
    points: list[tuple[np.ndarray, float, float]] = field(default_factory=list)
    nodes: list[dict[str, Any]] = field(default_factory=list)
    supports: list[np.ndarray] = field(default_factory=list)
    centres: list[tuple[int, list[int]]] = field(default_factory=list)
    scope: np.ndarray | None = None

    def node(self, kind: Kind, **parts: Any) -> int:
        self.nodes.append({"kind": kind, "point": -1, "column": -1, "child": [-1, -1]} | parts)
        return len(self.nodes) - 1

    def list_fits(self, supports: Any) -> tuple[int, int]:
        first = sum(len(block) for block in self.supports)
        self.supports.append(np.array(supports, np.int64).reshape(-1, self.case.problem.k))
        return first, first + len(self.supports[-1])

    def relaxed(self, forced: list[int], out: list[int]) -> tuple[int, float, np.ndarray]:
        """A dual point for the node: its number, bound and gains."""
        problem = self.case.problem
        inside, free = np.zeros((2, 1, problem.d), bool)
        inside[0, forced] = True
        free[0, problem.usable] = True
        free[0, [*forced, *out]] = False
        nodes = Nodes(inside, free, np.array([problem.k - len(forced)]))
        start = np.zeros((1, problem.d))
        best = relax(problem.matrix, self.case.rows, nodes, start, np.zeros(1), self.case.optimum)
        self.points.append((best.beta[0], best.intercept[0], best.mu[0]))
        return len(self.points) - 1, float(best.bound[0]), best.gain[0]

    def certificate(self, dtype: Any = np.float64, **header: Any) -> Certificate:
        case, problem = self.case, self.case.problem
        supports, brute = case.brute
        best = int(np.argmin(brute.primal))
        scope = problem.usable if self.scope is None else self.scope
        whole = np.concatenate([np.empty((0, problem.k), np.int64), *self.supports])
        fits = case.fits(whole)
        columns = [np.flatnonzero(point[0]) for point in self.points]
        upper = problem.objective(supports[best], brute.beta[best], float(brute.intercept[best]))
        start = np.cumsum([0, *map(len, columns)])
        clip, reach = limits(case.rows)
        flat = [point[0][used] for point, used in zip(self.points, columns, strict=True)]
        arrays = {
            "mean": problem.data.by.mean,
            "scale": problem.data.by.scale,
            "scope": np.array(scope, "<i4"),
            "support": supports[best].astype("<i4"),
            "beta": brute.beta[best],
            "intercept": brute.intercept[best : best + 1],
            "point_start": start.astype("<i8"),
            "point_column": np.concatenate([np.empty(0), *columns]).astype("<i4"),
            "point_beta": np.concatenate([np.empty(0), *flat]).astype("<f4"),
            "point_intercept": np.array([point[1] for point in self.points], "<f8"),
            "point_mu": np.array([point[2] for point in self.points], "<f8"),
            "node_kind": np.array([node["kind"] for node in self.nodes], "u1"),
            "node_point": np.array([node["point"] for node in self.nodes], "<i4"),
            "node_column": np.array([node["column"] for node in self.nodes], "<i4"),
            "node_child": np.array([node["child"] for node in self.nodes], "<i4"),
            "node_fits": np.array([node.get("fits", (-1, -1)) for node in self.nodes], "<i4"),
            "fit_support": whole.astype("<i4"),
            "fit_beta": fits.beta.astype(dtype),
            "fit_intercept": fits.intercept.astype(dtype),
            "fit_mu": fits.mu,
            "node_centre": np.array([node.get("centre", (-1, -1)) for node in self.nodes], "<i4"),
            "centre_point": np.array([point for point, _ in self.centres], "<i4"),
            "centre_start": np.cumsum([0, *(len(forced) for _, forced in self.centres)]),
            "centre_forced": np.array([j for _, forced in self.centres for j in forced], "<i4"),
            "centre_clip": np.full(len(self.centres), clip),
            "centre_reach": np.full(len(self.centres), reach),
        }
        base = {
            "format": FORMAT,
            "version": VERSION,
            "loss": problem.loss_name,
            "lam": problem.lam,
            "k": problem.k,
            "weighting": problem.data.weighting,
            "scale_floor": problem.data.floor,
            "columns": problem.d,
            "rows": len(problem.data.train),
            "data_sha256": problem.data.digest,
            "scope": "all columns" if self.scope is None else "these candidates",
            "lower": self.lower,
            "upper": upper,
            "method": "by hand",
            "software": "test",
        }
        return Certificate(base | header, arrays)


def enumerated(case: Case, lower: float) -> Draft:
    """One node that lists every support."""
    draft = Draft(case, lower)
    draft.node(Kind.ENUMERATED, fits=draft.list_fits(case.supports()))
    return draft


def branched(case: Case, lower: float, depth: int = 2) -> Draft:
    """Branch on the largest gain while a node is not bounded, then list what is left."""
    draft = Draft(case, lower)

    def grow(forced: list[int], out: list[int], left: int) -> int:
        point, bound, gain = draft.relaxed(forced, out)
        if bound > lower + 1e-9:
            return draft.node(Kind.BOUNDED, point=point)
        free = [j for j in case.problem.usable if j not in forced and j not in out]
        room = case.problem.k - len(forced)
        if left == 0 or room < 2 or len(free) <= room:
            size = min(room, len(free))
            tails = itertools.combinations(free, size)
            pad = [-1] * (room - size)
            whole = [sorted([*forced, *tail]) + pad for tail in tails]
            return draft.node(Kind.ENUMERATED, point=point, fits=draft.list_fits(whole))
        column = int(free[np.argmax(gain[free])])
        node = draft.node(Kind.BRANCH, point=point, column=column)
        inside = grow([*forced, column], out, left - 1)
        outside = grow(forced, [*out, column], left - 1)
        draft.nodes[node]["child"] = [inside, outside]
        return node

    grow([], [], depth)
    return draft


def fixed(case: Case, lower: float) -> Draft:
    """FIX at the root, then an enumerated node that lists what its dual point leaves over."""
    draft = Draft(case, lower)
    point, bound, gain = draft.relaxed([], [])
    value = bound + np.sort(gain)[-case.problem.k :].sum()
    supports = case.supports()
    left = supports[value - gain[supports].sum(axis=1) < lower + 1e-9]
    draft.node(Kind.FIX, point=point, child=[1, -1])
    draft.node(Kind.ENUMERATED, point=point, fits=draft.list_fits(left))
    return draft


def filtered(case: Case, lower: float) -> Draft:
    """Branch on one column; either side is filtered at the centre of its relaxation.

    Where the loss has no such bound, or k = 1, list every support instead.
    """
    if case.problem.loss_name == "hinge" or case.problem.k < 2:
        return enumerated(case, lower)
    draft = Draft(case, lower)
    usable = [int(j) for j in case.problem.usable]
    draft.node(Kind.BRANCH, column=usable[0], child=[1, 2])
    every = case.supports()
    for forced, within in (([usable[0]], (every == usable[0]).any(axis=1)), ([], None)):
        within = (every != usable[0]).all(axis=1) if within is None else within
        free = usable[1:]
        point, _, _ = draft.relaxed(forced, [] if forced else usable[:1])
        beta, intercept, mu = draft.points[point]
        beta[free] *= 0.3
        beta = beta.astype(np.float32).astype(float)
        draft.points[point] = (beta, intercept, mu)
        Z = case.problem.matrix.columns(np.arange(case.problem.d))
        at = quadratic(Z[forced], Z[free], case.rows.y * (beta @ Z + intercept), case.rows)
        tails = np.array([[free.index(j) for j in T if j not in forced] for T in every[within]])
        left = at.value - costs(at, tails.T, case.rows.lam) < lower + 1e-9
        draft.centres.append((point, forced))
        centre = len(draft.centres)
        draft.node(
            Kind.FILTERED, centre=(centre - 1, centre), fits=draft.list_fits(every[within][left])
        )
    return draft


BUILDERS = {
    "enumerated": enumerated,
    "branched": branched,
    "fixed": fixed,
    "filtered": filtered,
}


def changed(
    certificate: Certificate, header: dict[str, Any] | None = None, **arrays: Any
) -> Certificate:
    return replace(
        certificate,
        header=certificate.header | (header or {}),
        arrays=certificate.arrays | arrays,
    )


def with_entry(array: np.ndarray, index: Any, value: Any) -> np.ndarray:
    copy = array.copy()
    copy[index] = value
    return copy


@functools.cache
def small(loss: str = "logistic", weighting: str = "balanced") -> Case:
    return make(loss, weighting)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("weighting", WEIGHTS)
@pytest.mark.parametrize("builder", BUILDERS)
def test_true_claims_are_accepted(loss: str, weighting: str, builder: str, tmp_path: Path) -> None:
    case = small(loss, weighting)
    for lower in (case.provable, 0.98 * case.optimum):
        certificate = BUILDERS[builder](case, lower).certificate()
        certificate.write(tmp_path / "proof.npz")
        verdict = case.check(tmp_path / "proof.npz")
        assert verdict.valid, verdict.reason
        assert verdict.reason == ""
        assert verdict.lower == lower <= case.optimum
        assert (
            case.optimum * (1 - 1e-9) <= verdict.upper <= certificate.header["upper"] * (1 + 1e-12)
        )
        assert verdict.gap == pytest.approx((verdict.upper - lower) / verdict.upper)
        assert (verdict.k, verdict.scope, verdict.columns) == (3, "all columns", 7)
        own = case.problem.data.weighting
        assert (verdict.loss, verdict.weighting, verdict.lam) == (loss, own, 0.05)
        assert verdict.points == len(certificate.arrays["point_mu"])
        assert verdict.seconds > 0.0
    if builder == "enumerated":
        assert (verdict.fitted, verdict.excluded, verdict.enumerated) == (35, 0, 1)


@pytest.mark.parametrize("loss", LOSSES)
def test_dual_points_bound_leaves(loss: str) -> None:
    case = make(loss, lam=0.05)
    verdict = case.check(branched(case, 0.999 * case.optimum).certificate())
    assert verdict.valid, verdict.reason
    assert verdict.bounded > 0
    assert verdict.nodes > verdict.bounded


@pytest.mark.parametrize("loss", LOSSES)
def test_dual_points_exclude_supports(loss: str) -> None:
    """The fit of the best support is a dual point that most others need not be fitted for."""
    case = make(loss, lam=0.1, d=9)
    supports, fits = case.brute
    best = int(np.argmin(fits.primal))
    beta = np.zeros(9)
    beta[supports[best]] = fits.beta[best]
    draft = Draft(case, 0.95 * case.optimum)
    draft.points.append((beta, float(fits.intercept[best]), 1e-2))
    draft.node(Kind.ENUMERATED, point=0, fits=draft.list_fits(supports))
    verdict = case.check(draft.certificate())
    assert verdict.valid, verdict.reason
    assert verdict.excluded > 0
    assert 0 < verdict.fitted + verdict.excluded <= len(supports)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("builder", BUILDERS)
def test_a_lower_bound_above_the_optimum_is_refused(loss: str, builder: str) -> None:
    case = small(loss)
    honest = BUILDERS[builder](case, case.provable).certificate()
    for lower in (case.optimum + 1e-9, 1.01 * case.optimum, 10.0):
        for upper in (honest.header["upper"], 20.0):
            verdict = case.check(changed(honest, {"lower": lower, "upper": upper}))
            assert not verdict.valid
            assert verdict.lower == -math.inf
            assert verdict.gap == math.inf
            assert verdict.reason


def test_the_reason_names_the_leaf() -> None:
    case = make(lam=0.3)
    draft = Draft(case, case.provable)
    point, bound, _ = draft.relaxed([], [])
    draft.node(Kind.BOUNDED, point=point)
    reason = case.check(draft.certificate()).reason
    assert bound < case.provable
    for part in ("node 0", "bounded", "7 free", f"{bound:.12g}"[:9], f"{case.provable:.12g}"):
        assert part in reason


def test_every_fit_is_needed() -> None:
    case = small()
    draft = enumerated(case, case.provable)
    whole = draft.certificate()
    rows = len(whole.arrays["fit_mu"])
    for gone in range(rows):
        keep = np.arange(rows) != gone
        fewer = {name: whole.arrays[name][keep] for name in whole.arrays if name.startswith("fit")}
        verdict = case.check(changed(whole, **fewer, node_fits=np.array([[0, rows - 1]], "<i4")))
        assert not verdict.valid
        columns = tuple(whole.arrays["fit_support"][gone].tolist())
        assert f"the support {columns}" in verdict.reason
        assert "not fitted" in verdict.reason


def test_fits_that_are_moved_or_outside_the_range_are_refused() -> None:
    case = small()
    whole = enumerated(case, case.provable).certificate()
    best = int(np.argmin(case.brute[1].dual))
    moved = with_entry(whole.arrays["fit_support"], best, whole.arrays["fit_support"][best - 1])
    assert "not fitted" in case.check(changed(whole, fit_support=moved)).reason
    shorter = np.array([[0, 34]], "<i4")
    assert "not fitted" in case.check(changed(whole, node_fits=shorter)).reason
    swapped = whole.arrays["fit_beta"][::-1].copy()
    verdict = case.check(changed(whole, fit_beta=swapped))
    assert "its fit bounds the support" in verdict.reason


def test_swapped_children_are_refused() -> None:
    case = make(lam=0.2)
    draft = branched(case, case.provable)
    honest = draft.certificate()
    assert case.check(honest).valid
    branch = int(np.argmax(honest.arrays["node_kind"] == Kind.BRANCH))
    child = honest.arrays["node_child"].copy()
    child[branch] = child[branch, ::-1]
    assert not case.check(changed(honest, node_child=child)).valid
    child[branch] = [-1, honest.arrays["node_child"][branch, 1]]
    assert "has no child 0" in case.check(changed(honest, node_child=child)).reason


@pytest.mark.parametrize("loss", LOSSES)
def test_another_problem_is_refused(loss: str) -> None:
    case = small(loss)
    honest = enumerated(case, case.provable).certificate()
    others = [{"loss": other} for other in LOSSES if other != loss]
    own = case.problem.data.weighting
    weighting = "balanced" if own == "uniform" else "uniform"
    others += [{"lam": 0.04}, {"lam": 0.06}, {"weighting": weighting}, {"k": 2}, {"k": 4}]
    for header in others:
        assert not case.check(changed(honest, header)).valid, header
    refused = verify(honest, case.X, case.y, test=case.options["test"], weights=weighting)
    assert f"weighting is '{own}'" in refused.reason


def test_other_data_are_refused() -> None:
    case = small()
    honest = enumerated(case, case.provable).certificate()
    X, y, test = case.X, case.y, case.options["test"]
    flipped = with_entry(y, 5, "no" if y[5] == "yes" else "yes")
    calls = [
        (with_entry(X, (3, 4), X[3, 4] + 1e-3), y, test),
        (X.astype(np.float64), y, test),
        (X, flipped, test),
        (X[:, :6], y, test),
        (X, y, None),
        (X, y, np.roll(test, 1)),
    ]
    for other_X, other_y, other_test in calls:
        verdict = verify(honest, other_X, other_y, test=other_test)
        assert not verdict.valid
        assert verdict.reason
    numbered = np.where(y == "yes", 7, -3)
    assert verify(honest, X, numbered, test=test.astype(int), weights="balanced").valid


def test_given_weights_must_be_passed() -> None:
    case = small("logistic", "given")
    honest = enumerated(case, case.provable).certificate()
    assert (
        "pass the same weights" in verify(honest, case.X, case.y, test=case.options["test"]).reason
    )
    ones = np.ones(len(case.y))
    assert (
        "SHA-256" in verify(honest, case.X, case.y, test=case.options["test"], weights=ones).reason
    )


def test_unusable_data_are_an_error() -> None:
    case = small()
    honest = enumerated(case, case.provable).certificate()
    with pytest.raises(ValueError, match="two"):
        verify(honest, case.X, np.zeros(60))
    with pytest.raises(ValueError, match="one label a row"):
        verify(honest, case.X, case.y[:-1])
    with pytest.raises(ValueError, match="float"):
        verify(honest, case.X[0], case.y)
    with pytest.raises(ValueError, match="held out"):
        verify(honest, case.X, case.y, test=np.zeros(3, bool))
    with pytest.raises(FileNotFoundError):
        verify("nowhere.npz", case.X, case.y)


def test_standardisation_and_scope_are_checked() -> None:
    case = make(constant=True)
    honest = enumerated(case, case.provable).certificate()
    assert case.check(honest).valid
    scale, mean = honest.arrays["scale"], honest.arrays["mean"]
    for name, array in (("scale", scale), ("mean", mean)):
        moved = with_entry(array, 1, array[1] + 1e-6)
        assert "column 1" in case.check(changed(honest, **{name: moved})).reason
    everything = np.arange(7, dtype="<i4")
    assert "constant" in case.check(changed(honest, scope=everything)).reason
    assert "not agree" in case.check(changed(honest, {"scale_floor": 5.0})).reason
    candidates = Draft(case, case.provable, scope=np.array([0, 1, 3, 5, 6]))
    listed = case.supports(candidates.scope)
    candidates.node(Kind.ENUMERATED, fits=candidates.list_fits(listed))
    partial = candidates.certificate()
    verdict = case.check(partial)
    assert verdict.valid, verdict.reason
    assert (verdict.scope, verdict.columns) == ("these candidates", 5)
    assert "leaves out 1" in case.check(changed(partial, {"scope": "all columns"})).reason


def test_the_incumbent_is_recomputed() -> None:
    case = small()
    honest = enumerated(case, case.provable).certificate()
    upper = honest.header["upper"]
    assert (
        "below the incumbent's objective"
        in case.check(changed(honest, {"upper": 0.99 * upper})).reason
    )
    loose = case.check(changed(honest, {"upper": 5.0}))
    assert loose.valid
    assert upper <= loose.upper <= upper * (1 + 1e-12)
    worse = case.check(changed(honest, {"upper": 50.0}, beta=np.array([1.0, 2.0, 3.0])))
    assert worse.valid
    assert worse.upper > upper
    empty = {"support": np.empty(0, "<i4"), "beta": np.empty(0)}
    assert case.check(changed(honest, {"upper": 5.0}, **empty)).valid
    outside = case.check(changed(honest, support=np.array([0, 1, 70], "<i4")))
    assert "support" in outside.reason
    huge = case.check(changed(honest, beta=np.array([1e200, 1e200, 1e200])))
    assert not huge.valid


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


def exact_dual(
    rows: duals.Rows, dual: np.ndarray, Z: np.ndarray
) -> tuple[Fraction | Decimal, list[Fraction]]:
    """sum w H(a) and v of the exactly feasible point that `rounding` speaks of."""
    a = [Fraction(float(value)) for value in dual]
    w = [Fraction(float(value)) for value in rows.w]
    p = rows.positives
    above = sum((w[i] * a[i] for i in range(p)), Fraction(0))
    below = sum((w[i] * a[i] for i in range(p, rows.n)), Fraction(0))
    least = min(above, below)
    scale = [least / total if total else Fraction(0) for total in (above, below)]
    if rows.loss == "squared_error":
        mean = above / sum(w, Fraction(0))
        a = [value - mean for value in a]
    else:
        a = [value * scale[i >= p] for i, value in enumerate(a)]
    sign = [1 if i < p else -1 for i in range(rows.n)]
    v = [
        sum((w[i] * a[i] * sign[i] * Fraction(float(z[i])) for i in range(rows.n)), Fraction(0))
        for z in Z
    ]
    if rows.loss == "squared_error":
        y = [Fraction(float(value)) for value in rows.y]
        terms = (wi * (ai * yi - ai * ai / 2) for wi, ai, yi in zip(w, a, y, strict=True))
        return sum(terms, Fraction(0)), v
    if rows.loss == "hinge":
        return sum((wi * ai for wi, ai in zip(w, a, strict=True)), Fraction(0)), v
    if rows.loss == "squared_hinge":
        return sum((wi * (ai - ai * ai / 4) for wi, ai in zip(w, a, strict=True)), Fraction(0)), v
    total = Decimal(0)
    for wi, ai in zip(w, a, strict=True):
        for part in (ai, 1 - ai):
            if part:
                number = decimal(part)
                total -= decimal(wi) * number * number.ln()
    return total, v


def some_rows(
    rng: np.random.Generator, n: int, positives: int, loss: str, lam: float
) -> duals.Rows:
    """Random weights; the first rows positive, or targets about 3."""
    w = rng.uniform(0.1, 1.0, n)
    if loss == "squared_error":
        return duals.Rows(w / w.sum(), 3.0 + rng.standard_normal(n), n, loss, lam)
    y = np.where(np.arange(n) < positives, 1.0, -1.0)
    return duals.Rows(w / w.sum(), y, positives, loss, lam)


def decimal(number: Fraction) -> Decimal:
    return Decimal(number.numerator) / Decimal(number.denominator)


@pytest.mark.parametrize("loss", LOSSES)
def test_rounding_allowances_are_real_and_small(loss: str) -> None:
    """Against rational arithmetic (and 60 digits of ln): below the exact value, within 1e-12."""
    rng = np.random.default_rng(3)
    n, p, batch = 30, 4, 6
    rows = some_rows(rng, n, 13, loss, 0.013)
    Z = rng.standard_normal((p, n))
    Z[0] += 1e3
    scores = rng.standard_normal((batch, n)) * np.array(
        [[0.0], [0.1], [1.0], [3.0], [12.0], [40.0]]
    )
    dual = duals.box_point(rows, scores, np.full(batch, 1e-3))
    assert loss == "squared_error" or (dual >= 0).all()
    assert loss in ("squared_error", "squared_hinge") or (dual <= 1).all()
    found = duals.duals(rows, dual)
    norm, peak = np.linalg.norm(Z, axis=1) * (1 + 1e-14), np.abs(Z).max(axis=1)
    gain = duals.gains(found, found.u @ Z.T, norm, peak, rows.lam)
    with localcontext() as context:
        context.prec = 60
        for i in range(batch):
            value, v = exact_dual(rows, dual[i], Z)
            low = Fraction(float(found.value[i]))
            exact = value if isinstance(value, Fraction) else Fraction(value)
            assert low <= exact <= low + Fraction(1, 10**12) * (1 + abs(exact))
            for j in range(p):
                truth = v[j] * v[j] / (2 * Fraction(rows.lam))
                high = Fraction(float(gain[i, j]))
                assert truth <= high <= truth + Fraction(1, 10**9) * (1 + truth)


@pytest.mark.parametrize("loss", LOSSES)
def test_an_unbalanced_point_is_charged_for_its_residual(loss: str) -> None:
    """Any point of the box bounds, whatever its residual: the exact point is the scaled one."""
    rng = np.random.default_rng(7)
    rows = some_rows(rng, 20, 8, loss, 0.1)
    Z = rng.standard_normal((3, 20))
    norm, peak = np.linalg.norm(Z, axis=1) * (1 + 1e-14), np.abs(Z).max(axis=1)
    top = 4.0 if loss == "squared_hinge" else 1.0
    dual = rng.uniform(0.0, top, (8, 20)) * rng.uniform(0.0, 1.0, (8, 1))
    dual[6], dual[7, :8] = 0.0, 0.0
    with np.errstate(all="ignore"):
        found = duals.duals(rows, dual)
    gain = duals.gains(found, found.u @ Z.T, norm, peak, rows.lam)
    with localcontext() as context:
        context.prec = 60
        for i in range(8):
            value, v = exact_dual(rows, dual[i], Z)
            assert Decimal(float(found.value[i])) <= (
                value if isinstance(value, Decimal) else decimal(value)
            )
            for j in range(3):
                assert v[j] * v[j] / (2 * Fraction(rows.lam)) <= Fraction(float(gain[i, j]))


@pytest.mark.parametrize("held", [True, False])
def test_columns_of_z(held: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    case = make(n=50)
    of = case.problem
    source = data.Source(case.X, of.data.y, of.data.train, of.weights, of.y > 0)
    if not held:
        monkeypatch.setattr(kept, "HELD_BYTES", 0)
    monkeypatch.setattr(data, "BLOCK_BYTES", 8 * 7 * 9)
    by, scope = case.problem.data.by, np.array([0, 2, 3, 6])
    columns = kept.Columns(source, by.mean, by.scale, scope)
    assert columns.held == held
    order = np.argsort(case.problem.y < 0, kind="stable")
    Z = case.problem.data.columns(scope, case.problem.data.train)[:, order]
    block, place = columns.gather(np.array([[0, 3, 4], [1, 2, 3]]))
    padded = np.concatenate([Z, np.zeros((1, Z.shape[1]))])
    assert np.array_equal(block[place], padded[np.array([[0, 3, 4], [1, 2, 3]])])
    assert np.array_equal(columns.peak, np.abs(padded).max(axis=1))
    for j, z in enumerate(padded):
        square = sum((Fraction(float(x)) ** 2 for x in z), Fraction(0))
        assert square <= Fraction(float(columns.norm[j])) ** 2 <= square * (1 + Fraction(1, 10**12))
    u = np.random.default_rng(0).standard_normal((3, Z.shape[1]))
    np.testing.assert_allclose(columns.correlations(u), u @ Z.T, rtol=1e-12, atol=1e-12)
    beta = np.ones((2, 2))
    np.testing.assert_allclose(columns.scores(np.array([1, 3]), beta), beta @ Z[[1, 3]], rtol=1e-12)


def test_node_bounds_are_those_of_the_supports() -> None:
    """Bound, entering and leaving against the smallest value - g(S) over the supports meant."""
    rng = np.random.default_rng(8)
    for size, remaining in itertools.product((1, 2, 5), (1, 2, 3, 5, 6)):
        forced, free = rng.exponential(size=2), rng.exponential(size=size)
        free[-1] = free[0]
        bounds = node_bounds(3.0, forced, free, remaining)
        some = range(min(remaining, size) + 1)
        sets = [s for count in some for s in itertools.combinations(range(size), count)]
        values = {s: 3.0 - forced.sum() - free[list(s)].sum() for s in sets}
        assert bounds.bound == pytest.approx(min(values.values()))
        top = sorted(map(Fraction, free.tolist()))[max(0, size - remaining) :]
        exact = 3 - sum(map(Fraction, forced.tolist())) - sum(top)
        assert Fraction(bounds.bound) < exact
        for j in range(size):
            inside = min(value for s, value in values.items() if j in s)
            outside = min(value for s, value in values.items() if j not in s)
            assert bounds.entering[j] == pytest.approx(inside)
            assert bounds.leaving[j] == pytest.approx(outside)


def test_columns_are_fixed_only_by_bounds_that_reach_the_claim() -> None:
    """FIX, then the supports without the weakest column: its entering bound must do the rest."""
    case = make(lam=0.1)
    draft = Draft(case, 0.0)
    supports, fits = case.brute
    best = int(np.argmin(fits.primal))
    beta = np.zeros(7)
    beta[supports[best]] = fits.beta[best].astype(np.float32)
    draft.points.append((beta, float(fits.intercept[best]), 0.0))
    draft.node(Kind.FIX, point=0, child=[1, -1])
    of = case.problem
    source = data.Source(case.X, of.data.y, of.data.train, of.weights, of.y > 0)
    by = case.problem.data.by
    columns = kept.Columns(source, by.mean, by.scale, np.arange(7))
    positive = case.problem.y > 0
    weights = np.concatenate([case.rows.w[positive], case.rows.w[~positive]])
    rows = duals.Rows(weights, np.sort(case.problem.y)[::-1], int(positive.sum()), "logistic", 0.1)
    scores = columns.scores(np.arange(7), beta[None]) + fits.intercept[best]
    point = duals.duals(rows, duals.box_point(rows, scores, np.zeros(1)))
    v = columns.correlations(point.u)
    gain = duals.gains(point, v, columns.norm[:-1], columns.peak[:-1], 0.1)[0]
    entering = node_bounds(float(point.value[0]), gain[:0], gain, 3).entering
    weakest = int(np.argmin(gain))
    assert entering[weakest] <= case.provable
    rest = case.supports([j for j in range(7) if j != weakest])
    draft.node(Kind.ENUMERATED, fits=draft.list_fits(rest))
    for change, valid in ((-1e-9, True), (1e-9, False), (5e-3, False)):
        lower = float(entering[weakest]) + change
        verdict = case.check(draft.certificate(lower=lower, upper=5.0))
        assert verdict.valid == valid, verdict.reason


@pytest.mark.parametrize("loss", LOSSES)
def test_the_objective_is_rounded_up(loss: str) -> None:
    rng = np.random.default_rng(4)
    n = 25
    rows = some_rows(rng, n, 11, loss, 0.013)
    Z, beta, b = rng.standard_normal((3, n)) * 5, rng.standard_normal(3), 0.3
    plain, above = duals.objective(rows, Z, beta, b)
    with localcontext() as context:
        context.prec = 60
        truth = Decimal(rows.lam) / 2 * sum(Decimal(x) ** 2 for x in beta.tolist())
        for i in range(n):
            margin = sum(
                (
                    Decimal(x) * Decimal(z)
                    for x, z in zip(beta.tolist(), Z[:, i].tolist(), strict=True)
                ),
                Decimal(b),
            )
            margin = margin if i < rows.positives else -margin
            slack = max(1 - margin, Decimal(0))
            residual = Decimal(float(rows.y[i])) - margin
            values = {
                "hinge": slack,
                "squared_hinge": slack * slack,
                "squared_error": residual * residual / 2,
            }
            value = (1 + (-margin).exp()).ln() if loss == "logistic" else values[loss]
            truth += Decimal(float(rows.w[i])) * value
    assert truth <= Decimal(above) <= truth * (1 + Decimal("1e-12"))
    assert plain == pytest.approx(float(truth), rel=1e-14)


def test_survivors_are_exactly_those_over_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    monkeypatch.setattr("optprobe.checker.survivors.CHUNK", 10)
    for size, r in ((9, 3), (9, 1), (5, 5), (6, 0), (0, 0), (12, 4)):
        gain = np.sort(rng.exponential(size=size))[::-1]
        every = np.array(list(itertools.combinations(range(size), r)), np.int64)
        every = every.reshape(math.comb(size, r), r)
        sums = gain[every].sum(axis=1)
        for budget in (-np.inf, -1.0, *np.quantile(sums, [0.1, 0.5, 0.9]), 100.0):
            found = np.concatenate([np.empty((0, r), np.int64), *surviving(gain, r, budget)])
            expected = every[sums > budget * (1 - 1e-14)] if budget > 0 else every
            expected = expected[:0] if r == 0 and budget >= 0 else expected
            assert sorted(map(tuple, found.tolist())) == sorted(map(tuple, expected.tolist()))


def test_equal_gains_all_survive_or_none() -> None:
    assert not list(surviving(np.zeros(5), 2, 1e-300))
    blocks = list(surviving(np.ones(5), 2, 1.5))
    assert sum(map(len, blocks)) == 10


def test_listed_supports_are_found() -> None:
    rng = np.random.default_rng(6)
    inside = np.sort(rng.integers(0, 40, (300, 4)), axis=1)
    queries = np.concatenate([inside[::2], np.sort(rng.integers(0, 40, (300, 4)), axis=1)])
    members = {tuple(row) for row in inside.tolist()}
    found = Listed(inside, 41).contains(queries)
    assert found.tolist() == [tuple(row) in members for row in queries.tolist()]
    assert not Listed(inside[:0], 41).contains(queries).any()


@pytest.mark.parametrize("loss", LOSSES)
def test_streaming_gives_the_same_verdict(
    loss: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    case = make(loss, lam=0.2, constant=True)
    dtype = np.float64 if loss == "hinge" else np.float32
    certificate = branched(case, 0.999 * case.optimum).certificate(dtype)
    held = case.check(certificate)
    assert held.valid, held.reason
    mapped = np.memmap(tmp_path / "X", np.float32, "w+", shape=case.X.shape)
    mapped[:] = case.X
    monkeypatch.setattr(kept, "HELD_BYTES", 16 * 60 * 4)
    monkeypatch.setattr(data, "BLOCK_BYTES", 8 * 7 * 10)
    monkeypatch.setattr(batches, "BATCH", 2)
    monkeypatch.setattr(batches, "CACHE_BYTES", 1)
    streamed = verify(certificate, mapped, case.y, **case.options)
    assert replace(streamed, seconds=0.0, upper=0.0) == replace(held, seconds=0.0, upper=0.0)
    assert streamed.upper == pytest.approx(held.upper, rel=1e-13)


@pytest.mark.parametrize("seed", range(4))
def test_weak_dual_points_shared_by_all_nodes(seed: int) -> None:
    """One dual point at the root serves FIX, BRANCH and ENUMERATED nodes below it."""
    case = make(seed=seed, lam=0.4, d=8)
    lower = 0.995 * case.optimum
    draft = Draft(case, lower)
    point, _, gain = draft.relaxed([], [])
    best = int(np.argmax(gain))
    rest = [j for j in range(8) if j != best]
    draft.node(Kind.FIX, point=point, child=[1, -1])
    draft.node(Kind.BRANCH, column=best, child=[2, 3])
    with_best = [s for s in case.supports().tolist() if best in s]
    draft.node(Kind.ENUMERATED, point=point, fits=draft.list_fits(with_best))
    draft.node(Kind.ENUMERATED, point=point, fits=draft.list_fits(case.supports(rest)))
    verdict = case.check(draft.certificate())
    assert verdict.valid, verdict.reason
    assert case.check(draft.certificate(lower=case.optimum * 1.0001, upper=2.0)).valid is False


def test_fits_belong_to_one_node() -> None:
    case = small()
    draft = Draft(case, case.provable)
    draft.node(Kind.BRANCH, column=0, child=[1, 2])
    shared = draft.list_fits(case.supports())
    draft.node(Kind.ENUMERATED, fits=shared)
    draft.node(Kind.ENUMERATED, fits=shared)
    assert "same fits to several nodes" in case.check(draft.certificate()).reason


def test_fewer_free_columns_than_the_support_may_take() -> None:
    """k beyond the scope: one support remains, and a fit of it covers everything."""
    case = make(k=3)
    draft = Draft(case, 0.0, scope=np.array([1, 4]))
    pair = np.array([[1, 4]])
    fits = case.fits(pair)
    draft.lower = float(fits.dual[0]) * (1 - 1e-9)
    draft.node(Kind.ENUMERATED, fits=(0, 1))
    certificate = draft.certificate(upper=5.0)
    arrays = {
        "support": np.array([1, 4], "<i4"),
        "beta": fits.beta[0],
        "intercept": fits.intercept,
        "fit_support": np.array([[1, 4, -1]], "<i4"),
        "fit_beta": np.array([[*fits.beta[0], 9.0]]),
        "fit_intercept": fits.intercept,
        "fit_mu": fits.mu,
    }
    verdict = case.check(changed(certificate, **arrays))
    assert verdict.valid, verdict.reason
    single = np.array([[1, -1, -1]], "<i4")
    assert (
        "not fitted" in case.check(changed(certificate, **arrays | {"fit_support": single})).reason
    )
    gap = np.array([[1, -1, 4]], "<i4")
    assert (
        "-1 only at its end"
        in case.check(changed(certificate, **arrays | {"fit_support": gap})).reason
    )


def test_a_deep_tree_needs_no_recursion() -> None:
    """3000 branchings on one column, where Python recurses 1000 deep: only the first counts."""
    case = small()
    depth = 3_000
    draft = Draft(case, case.provable)
    for level in range(depth):
        draft.node(Kind.BRANCH, column=0, child=[-1, level + 1])
    draft.node(Kind.ENUMERATED, fits=draft.list_fits(case.supports(range(1, 7))))
    inside = [s for s in case.supports().tolist() if 0 in s]
    draft.nodes[0]["child"] = [draft.node(Kind.ENUMERATED, fits=draft.list_fits(inside)), 1]
    verdict = case.check(draft.certificate())
    assert verdict.valid, verdict.reason
    assert verdict.nodes == depth + 2


ALONE = """
import sys
import numpy as np
from optprobe.checker import verify
content = np.load(sys.argv[2])
verdict = verify(sys.argv[1], content["X"], content["y"], test=content["test"])
assert verdict.valid, verdict.reason
solvers = ("scipy", "torch", "sklearn", "highspy", "jaxtyping", "typer", "optprobe.bounds")
loaded = [name for name in solvers if name in sys.modules]
assert not loaded, loaded
"""


def test_the_checker_stands_alone(tmp_path: Path) -> None:
    case = small()
    fixed(case, case.provable).certificate().write(tmp_path / "proof.npz")
    np.savez(tmp_path / "data.npz", X=case.X, y=case.y, test=case.options["test"])
    command = [sys.executable, "-c", ALONE, tmp_path / "proof.npz", tmp_path / "data.npz"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
