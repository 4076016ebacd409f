"""Any dual point bounds every support: compared with the fit of every subset of the columns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optprobe.bounds import (
    DualPoint,
    DualPoints,
    branch_bounds,
    dual_points,
    node_bound,
    repair_intercept,
    sum_of_largest,
)
from optprobe.losses import LOSSES
from optprobe.matrix import DenseMatrix
from optprobe.support import Rows, fit_support

D = 6
SUBSETS = [np.array(s, int) for size in range(D + 1) for s in combinations(range(D), size)]
SLACK = 1e-9
SEEDS = range(4)

every_loss = pytest.mark.parametrize("loss", LOSSES)


@dataclass(frozen=True)
class Case:
    """Rows, columns, and the exact value of every subset of the columns."""

    matrix: DenseMatrix
    rows: Rows
    optimum: dict[tuple[int, ...], float]
    points: np.ndarray  # the optimal dual point of every subset

    def best(self, k: int, forced: tuple[int, ...] = (), out: tuple[int, ...] = ()) -> float:
        """The optimum over the supports of at most k columns inside a node."""
        return min(
            value
            for support, value in self.optimum.items()
            if len(support) <= k and set(forced) <= set(support) and not set(out) & set(support)
        )


@cache
def case(loss: str, seed: int) -> Case:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(20, 50))
    X = rng.standard_normal((n, D)) + rng.uniform(0, 1.5) * rng.standard_normal((n, 1))
    if seed % 3 == 0:
        X[:, 1] = X[:, 0]
    y = np.where(X[:, :3] @ rng.standard_normal(3) > rng.standard_normal(n), 1.0, -1.0)
    y[:2] = 1.0, -1.0
    w = rng.uniform(0.0, 1.0, n) if seed % 2 else np.ones(n)
    rows = Rows(y, w / w.sum(), LOSSES[loss], float(10.0 ** rng.uniform(-2.5, 0)))
    columns = np.ascontiguousarray(X.T)
    fits = [fit_support(columns[s], rows) for s in SUBSETS]
    optimum = {tuple(s.tolist()): float(f.primal[0]) for s, f in zip(SUBSETS, fits, strict=True)}
    points = np.array([f.point[0] for f in fits if f.point is not None])
    return Case(DenseMatrix(columns), rows, optimum, points)


def random_duals(found: Case, seed: int, batch: int = 12) -> np.ndarray:
    """Points of the box: uniform, at its corners, and near optimal ones."""
    rng = np.random.default_rng(seed)
    n, top = len(found.rows.y), min(found.rows.loss.upper, 4.0)
    uniform = top * rng.random((batch, n))
    corners = top * (rng.random((batch, n)) < 0.5)
    near = found.points[rng.integers(0, len(SUBSETS), batch)]
    near = np.clip(near + 0.05 * rng.standard_normal((batch, n)), 0.0, found.rows.loss.upper)
    return np.concatenate([uniform, corners, near, found.points])


def evaluated(found: Case, duals: np.ndarray) -> DualPoints:
    rows = found.rows
    return dual_points(found.matrix, duals, rows.y, rows.w, rows.loss, rows.lam)


@given(
    seed=st.integers(0, 10**6),
    n=st.integers(2, 40),
    scale=st.sampled_from([1e-300, 1e-12, 1.0, 1e6]),
)
def test_the_repair_meets_the_intercept_condition_inside_the_box(seed, n, scale):
    rng = np.random.default_rng(seed)
    y = np.where(rng.random(n) < 0.3, 1.0, -1.0)
    y[:2] = 1.0, -1.0
    w = rng.random(n)
    w /= w.sum()
    dual = scale * rng.random((5, n))
    dual[1, y > 0] = 0.0
    dual[2] = 0.0
    repaired = repair_intercept(dual, y, w, LOSSES["squared_hinge"])
    assert np.all((repaired >= 0.0) & (repaired <= dual))
    assert np.all(np.abs(repaired @ (w * y)) <= 1e-14 * scale)
    # One class is left as it was, up to rounding of a factor of one.
    for before, after in zip(dual, repaired, strict=True):
        assert np.array_equal(before[y > 0], after[y > 0]) or np.array_equal(
            before[y < 0], after[y < 0]
        )
    assert not repaired[1:3].any()
    np.testing.assert_allclose(
        repair_intercept(repaired, y, w, LOSSES["squared_hinge"]), repaired, rtol=1e-12
    )


@every_loss
@pytest.mark.parametrize("seed", SEEDS)
def test_value_and_gain_follow_their_formulas(loss, seed):
    found = case(loss, seed)
    rows = found.rows
    duals = random_duals(found, seed)
    points = evaluated(found, duals)
    for i, a in enumerate(repair_intercept(duals, rows.y, rows.w, rows.loss)):
        assert points.value[i] == pytest.approx(np.sum(rows.w * rows.loss.conjugate(a)), abs=1e-13)
        v = [np.sum(rows.w * a * rows.y * z) for z in found.matrix.transposed]
        np.testing.assert_allclose(points.gain[i], np.square(v) / (2 * rows.lam), atol=1e-12)


@every_loss
@pytest.mark.parametrize("seed", SEEDS)
def test_every_point_bounds_every_support(loss, seed):
    """The cut t >= value - g.s at every 0/1 point s."""
    found = case(loss, seed)
    points = evaluated(found, random_duals(found, seed))
    s = np.array([[j in support for j in range(D)] for support in found.optimum], float)
    optimum = np.array(list(found.optimum.values()))
    cuts = points.value[:, None] - points.gain @ s.T
    assert np.all(cuts <= optimum + SLACK)
    # The optimal dual points are the last rows, in the order of the supports: no slack there.
    own = np.diagonal(cuts[-len(SUBSETS) :])
    np.testing.assert_allclose(own, optimum, rtol=2e-9)


@every_loss
@pytest.mark.parametrize("seed", SEEDS)
def test_the_cut_bounds_the_relaxed_values_too(loss, seed):
    """At fractional s the cut stays below sum w l + (lam/2) sum beta_j^2 / s_j at any beta."""
    found = case(loss, seed)
    rows = found.rows
    points = evaluated(found, random_duals(found, seed))
    rng = np.random.default_rng(seed)
    for _ in range(20):
        s = rng.uniform(0.01, 1.0, D)
        beta, b = rng.standard_normal(D), rng.standard_normal()
        margin = rows.y * (beta @ found.matrix.transposed + b)
        value = rows.loss.value(margin) @ rows.w + 0.5 * rows.lam * np.sum(beta**2 / s)
        assert np.all(points.value - points.gain @ s <= value + SLACK)


def nodes() -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Every (forced, out) pair with at most two columns each."""
    small = [s for size in range(3) for s in combinations(range(D), size)]
    return [(s1, s0) for s1 in small for s0 in small if not set(s1) & set(s0)]


def masks(forced: tuple[int, ...], out: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    inside, free = np.zeros(D, bool), np.ones(D, bool)
    inside[list(forced)] = True
    free[[*forced, *out]] = False
    return inside, free


@every_loss
@pytest.mark.parametrize("seed", SEEDS)
def test_node_bounds_hold_for_every_node_and_k(loss, seed):
    found = case(loss, seed)
    points = evaluated(found, random_duals(found, seed, batch=4))
    for forced, out in nodes():
        inside, free = masks(forced, out)
        for k in range(max(1, len(forced)), D - len(out) + 1):
            optimum = found.best(k, forced, out)
            for value, gain in zip(points.value[::7], points.gain[::7], strict=True):
                bound = node_bound(value, gain, inside, free, k - len(forced))
                assert bound <= optimum + SLACK


@given(
    gain=st.lists(
        st.one_of(st.floats(0.0, 10.0), st.sampled_from([0.0, 1.0, 2.0])), min_size=1, max_size=7
    ),
    value=st.floats(-5.0, 5.0),
    forced_gain=st.floats(0.0, 5.0),
    remaining=st.integers(1, 8),
)
def test_branch_bounds_are_the_bounds_of_both_children(gain, value, forced_gain, remaining):
    """By listing every choice of at most `remaining` free columns, with ties and zeros."""
    g = np.array(gain)
    free = range(len(g))
    choices = [c for size in range(remaining + 1) for c in combinations(free, size)]
    base = value - forced_gain
    found = branch_bounds(value, forced_gain, g, remaining)
    assert found.bound == pytest.approx(min(base - sum(gain[j] for j in c) for c in choices))
    for j in free:
        inside = min(base - sum(gain[i] for i in c) for c in choices if j in c)
        outside = min(base - sum(gain[i] for i in c) for c in choices if j not in c)
        assert found.entering[j] == pytest.approx(inside, abs=1e-12)
        assert found.leaving[j] == pytest.approx(outside, abs=1e-12)
    assert np.all(found.entering >= found.bound)
    assert np.all(found.leaving >= found.bound)


@every_loss
@pytest.mark.parametrize("seed", SEEDS)
def test_branch_bounds_agree_with_the_bounds_of_the_child_nodes(loss, seed):
    found = case(loss, seed)
    points = evaluated(found, random_duals(found, seed, batch=2))
    for forced, out in nodes()[::5]:
        inside, free = masks(forced, out)
        members = np.flatnonzero(free)
        for k in range(len(forced) + 1, D):
            value, gain = float(points.value[k]), points.gain[k]
            got = branch_bounds(value, float(gain[inside].sum()), gain[members], k - len(forced))
            for position, j in enumerate(members):
                without = free.copy()
                without[j] = False
                along = inside.copy()
                along[j] = True
                entering = node_bound(value, gain, along, without, k - len(forced) - 1)
                leaving = node_bound(value, gain, inside, without, k - len(forced))
                assert got.entering[position] == pytest.approx(entering, abs=1e-12)
                assert got.leaving[position] == pytest.approx(leaving, abs=1e-12)


@every_loss
@pytest.mark.parametrize("seed", SEEDS)
def test_fixing_never_loses_a_better_support(loss, seed):
    found = case(loss, seed)
    points = evaluated(found, random_duals(found, seed))
    fixed = 0
    for k in range(1, D):
        values = {s: v for s, v in found.optimum.items() if len(s) <= k}
        # The sharpest cutoff, and a looser one.
        for cutoff in (min(values.values()) + SLACK, min(values.values()) * 1.05):
            better = [set(s) for s, v in values.items() if v < cutoff - SLACK]
            better += [set(s) for s, v in values.items() if v == min(values.values())]
            for value, gain in zip(points.value, points.gain, strict=True):
                got = branch_bounds(float(value), 0.0, gain, k)
                fixed += int((got.entering > cutoff).sum() + (got.leaving > cutoff).sum())
                for support in better:
                    assert not any(got.entering[j] > cutoff for j in support)
                    absent = set(range(D)) - support
                    assert not any(got.leaving[j] > cutoff for j in absent)
    assert fixed > 0


@given(values=st.lists(st.floats(-100.0, 100.0), max_size=12), count=st.integers(-2, 14))
def test_sum_of_largest(values, count):
    expected = sum(sorted(values, reverse=True)[: max(count, 0)])
    assert sum_of_largest(np.array(values, float), count) == pytest.approx(expected, abs=1e-9)


@every_loss
def test_gains_scale_with_the_ridge(loss):
    """One point bounds at every lam: only the 1/(2 lam) changes."""
    found = case(loss, 1)
    rows = found.rows
    duals = random_duals(found, 1)
    once = evaluated(found, duals)
    third = dual_points(found.matrix, duals, rows.y, rows.w, rows.loss, 3.0 * rows.lam)
    np.testing.assert_array_equal(once.value, third.value)
    np.testing.assert_allclose(once.gain, 3.0 * third.gain)


def test_points_are_renumbered():
    point = DualPoint(np.array([0, 2]), np.array([0.5, -1.0]), 0.25, 1e-3)
    other = point.renumbered(np.array([7, 9, 12]))
    assert other.columns.tolist() == [7, 12]
    assert (other.beta.tolist(), other.intercept, other.mu) == ([0.5, -1.0], 0.25, 1e-3)
