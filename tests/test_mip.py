"""Outer approximation itself: optimum, root, cuts, starts (every backend: `conformance/`)."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from instances import brute_force, random_problem

from optprobe.bounds import dual_points, sum_of_largest
from optprobe.matrix import DenseMatrix
from optprobe.mip.backends import get_backend
from optprobe.mip.cuts import CutPool, scaled
from optprobe.mip.descent import descend
from optprobe.mip.outer_approximation import outer_approximation
from optprobe.mip.root import Root
from optprobe.problem import Problem
from optprobe.result import Limits, Status
from optprobe.support import Rows


def hard_problem(k: int = 6, d: int = 40) -> Problem:
    """Weakly regularised noise: far from closed after a few seconds."""
    rng = np.random.default_rng(7)
    X = rng.standard_normal((200, d))
    y = X[:, :10].sum(axis=1) + 2.0 * rng.standard_normal(200) > 0.0
    return Problem.of(X, y, k=k, lam=1e-3)


# ------------------------------------------------------------------ the optimum


@pytest.mark.parametrize("seed", range(1000, 1040))
def test_optimum_is_brute_force(seed: int) -> None:
    problem = random_problem(seed)
    optimum = brute_force(problem)
    found = outer_approximation(problem, problem.usable, limits=Limits(gap=1e-8), seed=seed)
    assert found.status is Status.OPTIMAL
    assert found.limit is None
    assert found.objective == pytest.approx(optimum.value, rel=1e-7)
    assert found.claimed.lower <= optimum.value * (1.0 + 1e-9)
    assert found.claimed.upper >= optimum.lower * (1.0 - 1e-12)
    assert len(found.support) <= problem.k
    again = problem.objective(found.support, found.beta, found.intercept)
    assert again == found.objective


# ------------------------------------------------------------------ cuts and fixings


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), data=st.data())
def test_every_cut_bounds_every_support(seed: int, data: st.DataObject) -> None:
    """Cuts at supports and at fractional points, shifted, scaled and tightened."""
    problem = random_problem(seed)
    rows = Rows(problem.y, problem.weights, problem.loss, problem.lam)
    matrix = problem.matrix.restrict(problem.usable)
    p = len(problem.usable)
    pool = CutPool(matrix, rows)
    s = np.array(data.draw(st.lists(st.floats(0.0, 1.0), min_size=p, max_size=p)))
    cuts = [pool.at_fraction(s), pool.at_support(np.array([0, p - 1])).cut]
    supports = list(combinations(range(p), min(problem.k, 3)))
    truth = np.array([pool.at_support(np.array(S)).objective for S in supports])
    floor, scale, none = 0.9 * float(truth.min()), 0.3, np.empty(0, int)
    for cut in cuts:
        row = scaled(cut, floor, scale, none, np.arange(p), tighten=True)
        for support, value in zip(supports, truth, strict=True):
            at = np.isin(np.arange(p), support).astype(float)
            assert cut.at(at) <= value * (1.0 + 1e-9) + 1e-12
            assert row.at(at) <= (value - floor) / scale + 1e-9


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000))
def test_root_keeps_every_better_support(seed: int) -> None:
    problem = random_problem(seed)
    rows = Rows(problem.y, problem.weights, problem.loss, problem.lam)
    matrix = problem.matrix.restrict(problem.usable)
    root = Root(CutPool(matrix, rows), problem.k)
    root.solve([], 0.0, lambda: False)
    optimum = brute_force(problem)
    assert min(root.lower, root.best.objective) <= optimum.value * (1.0 + 1e-9)
    if root.best.objective > optimum.value * (1.0 + 1e-7):
        inside = np.isin(problem.usable, optimum.support)
        assert inside[root.forced].all()
        assert not inside[~(root.forced | root.free)].any()


@given(seed=st.integers(0, 10_000), k=st.integers(1, 4))
def test_descent_ends_where_no_swap_helps(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    value, gain = rng.uniform(1, 2, 12), rng.uniform(0, 1, (12, 7))
    support, rated = descend(value, gain, rng.permutation(7)[: rng.integers(0, k + 1)], k)

    def m(chosen: np.ndarray) -> float:
        return float((value - gain[:, chosen].sum(axis=1)).max())

    assert len(np.unique(support)) == k
    assert rated == pytest.approx(m(support))
    for leaving in support:
        for entering in np.setdiff1d(np.arange(7), support):
            swapped = np.append(support[support != leaving], entering)
            assert m(swapped) >= rated - 1e-9


# ------------------------------------------------------------------ starts and progress


def test_start_is_used() -> None:
    """The core begins from it, numbered in columns of X; what is no candidate is left out."""
    problem = hard_problem(k=3, d=12)
    support = np.array(brute_force(problem).support)
    columns = np.union1d(support, [8, 10, 11])
    lines: list[str] = []
    found = outer_approximation(
        problem,
        columns,
        start=[support, np.array([0, 9, 11, 3, 5])],
        log=lines.append,
    )
    assert found.support.tolist() == support.tolist()
    assert all(word in lines[0] for word in ("nodes", "incumbent", "bound", "gap"))
    assert f"{found.objective:.8f}" in lines[1]


def test_no_solver_when_the_root_closes_the_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(get_backend("highs")), "solve", None)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((80, 10))
    problem = Problem.of(X, X[:, 0] + 0.5 * X[:, 4] > 0, k=2, lam=1.0)
    found = outer_approximation(problem, problem.usable)
    assert found.status is Status.OPTIMAL
    assert found.nodes == 0
    assert found.objective == pytest.approx(brute_force(problem).value, rel=1e-4)


def test_dual_points_are_in_columns_of_x() -> None:
    """Each stands for a bound on the optimum, recomputed here from the whole matrix."""
    problem = random_problem(3003, "logistic")
    found = outer_approximation(problem, problem.usable)
    optimum = brute_force(problem)
    matrix = DenseMatrix(problem.data.columns(problem.usable, problem.data.train))
    for point in found.points:
        assert np.isin(point.columns, problem.usable).all()
        columns = problem.data.columns(point.columns, problem.data.train)
        dual = problem.loss.dual(problem.y * (point.beta @ columns + point.intercept))
        bound = dual_points(
            matrix, dual[None], problem.y, problem.weights, problem.loss, problem.lam
        )
        lower = float(bound.value[0]) - sum_of_largest(bound.gain[0], problem.k)
        assert lower <= optimum.value * (1.0 + 1e-9)


# ------------------------------------------------------------------ what can be wrong


def test_unknown_backend_lists_the_names() -> None:
    problem = random_problem(0)
    with pytest.raises(ValueError, match="unknown backend 'abacus'; choose one of highs, gurobi"):
        outer_approximation(problem, problem.usable, backend="abacus")


@pytest.mark.parametrize(
    ("columns", "message"),
    [(np.empty(0, int), "at least one candidate"), (np.array([0, 99]), "column 99 cannot be")],
)
def test_impossible_candidates(columns: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        outer_approximation(random_problem(0), columns)
