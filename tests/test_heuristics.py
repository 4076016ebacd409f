"""Rankings against their formulas, greedy and swaps against the fits of all their neighbours."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from instances import brute_force, installed, random_problem
from sklearn.feature_selection import f_classif

from optprobe.heuristics import HEURISTICS, get_heuristic
from optprobe.heuristics.fits import Incumbent, best_of, fit_many, gains_at
from optprobe.heuristics.greedy import greedy
from optprobe.heuristics.rankings import f_statistic, mean_difference
from optprobe.heuristics.swaps import swap
from optprobe.problem import Problem
from optprobe.support import Rows

SEEDS = range(15)


def rows_of(problem: Problem) -> Rows:
    return Rows(problem.y, problem.weights, problem.loss, problem.lam)


def value(problem: Problem, support: np.ndarray) -> float:
    fits = fit_many(problem.matrix.columns, rows_of(problem), np.sort(support)[None])
    return float(fits.primal[0])


def consistent(problem: Problem, found: Incumbent) -> None:
    """The objective is that of the coefficients, and the best for that support."""
    again = problem.objective(found.support, found.beta, found.intercept)
    assert again == pytest.approx(found.objective, rel=1e-12)
    assert found.objective == pytest.approx(value(problem, found.support), rel=1e-8)
    assert np.all(np.diff(found.support) > 0)
    assert set(found.support) <= set(problem.usable)


@pytest.mark.parametrize("seed", SEEDS)
def test_mean_difference(seed):
    problem = random_problem(seed)
    X, train, w = problem.data.on_host().astype(float), problem.data.train, problem.weights
    by = problem.data.by
    Z = np.where(by.constant, 0.0, (X[train] - by.mean) / by.scale)
    positive = problem.y > 0
    above = np.average(Z[positive], axis=0, weights=w[positive])
    below = np.average(Z[~positive], axis=0, weights=w[~positive])
    np.testing.assert_allclose(mean_difference(problem), np.abs(above - below), atol=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_f_statistic_is_that_of_scikit_learn(seed):
    problem = random_problem(seed)
    usable = problem.usable
    X = problem.data.on_host().astype(float)[problem.data.train][:, usable]
    expected, _ = f_classif(X, problem.y)
    found = f_statistic(problem)
    np.testing.assert_allclose(found[usable], expected, rtol=1e-8)
    assert not found[problem.data.by.constant].any()


def test_f_statistic_does_not_depend_on_the_scale_floor():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((80, 3)) * np.array([1e-6, 1.0, 1e-4])
    y = X[:, 0] + 1e-6 * rng.standard_normal(80) > 0
    expected, _ = f_classif(X, y)
    np.testing.assert_allclose(f_statistic(Problem.of(X, y, k=1)), expected, rtol=1e-7)


def test_rankings_ignore_the_test_rows():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 4))
    y, test = np.arange(60) % 2 == 0, np.arange(60) >= 40
    other = X.copy()
    other[test] = 99.0
    for score in (mean_difference, f_statistic):
        one, two = (score(Problem.of(A, y, k=1, test=test)) for A in (X, other))
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("name", [name for name in HEURISTICS if name != "random"])
def test_a_perfect_column_ranks_first(name):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((50, 5))
    y = np.arange(50) % 2 == 0
    X[:, 3] = y
    problem = Problem.of(X, y, k=1)
    assert np.isfinite(f_statistic(problem)).all()
    (choice,) = installed(name).path(problem, [1])
    assert choice.support.tolist() == [3]


@pytest.mark.parametrize("seed", SEEDS)
def test_gains_bound_what_a_column_can_add(seed):
    """P(S + j) >= P(S) - g_j at the fit of S."""
    problem = random_problem(seed)
    rows, usable = rows_of(problem), problem.usable
    supports = np.array(list(combinations(usable.tolist(), 2)))
    fits = fit_many(problem.matrix.columns, rows, supports)
    points = gains_at(problem.matrix, rows, supports, fits)
    for i in range(0, len(supports), 4):
        others = np.setdiff1d(usable, supports[i])
        extended = np.array([[*supports[i], j] for j in others])
        values = fit_many(problem.matrix.columns, rows, extended).primal
        assert np.all(values >= fits.primal[i] * (1.0 - 1e-6) - points.gain[i, others])
        own = points.value[i] - points.gain[i, supports[i]].sum()
        assert own == pytest.approx(fits.dual[i], rel=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_greedy_adds_the_best_column_each_time(seed):
    problem = random_problem(seed)
    rows, usable = rows_of(problem), problem.usable
    last = np.inf
    chosen: set[int] = set()
    for k in range(1, len(usable) + 1):
        found = greedy(problem.matrix, rows, k, usable)
        consistent(problem, found)
        assert len(found.support) == k
        assert chosen < set(found.support)  # a path: every support extends the last
        assert found.objective <= last * (1.0 + 1e-9)
        tries = [value(problem, np.array([*chosen, j], int)) for j in set(usable) - chosen]
        assert found.objective == pytest.approx(min(tries), rel=1e-8)
        chosen, last = set(found.support), found.objective
    assert greedy(problem.matrix, rows, len(usable) + 3, usable).support.tolist() == list(usable)


@pytest.mark.parametrize("seed", SEEDS)
def test_greedy_of_one_column_is_exact(seed):
    problem = random_problem(seed).with_k(1)
    found = greedy(problem.matrix, rows_of(problem), 1, problem.usable)
    assert found.objective == pytest.approx(brute_force(problem).value, rel=1e-8)


def test_greedy_that_is_stopped_is_filled_up():
    problem = random_problem(3)
    rows = rows_of(problem)
    for allowed in range(3):
        calls = iter([False] * allowed + [True] * 99)
        found = greedy(problem.matrix, rows, 3, problem.usable, calls.__next__)
        assert len(found.support) == 3
        consistent(problem, found)


@pytest.mark.parametrize("seed", SEEDS)
def test_swaps_end_where_no_single_swap_helps(seed):
    problem = random_problem(seed)
    rows, usable = rows_of(problem), problem.usable
    rng = np.random.default_rng(seed)
    start = np.sort(rng.choice(usable, problem.k, replace=False))
    first = best_of(start[None], fit_many(problem.matrix.columns, rows, start[None]))
    found = swap(problem.matrix, rows, first, usable)
    consistent(problem, found)
    assert found.objective <= first.objective
    assert len(found.support) == problem.k
    for leaving in found.support:
        for entering in np.setdiff1d(usable, found.support):
            other = np.where(found.support == leaving, entering, found.support)
            assert value(problem, other) >= found.objective * (1.0 - 1e-8)
    assert found.objective >= brute_force(problem).lower - 1e-12


@pytest.mark.parametrize("seed", SEEDS)
def test_swaps_within_given_columns_only(seed):
    problem = random_problem(seed).with_k(2)
    rows, usable = rows_of(problem), problem.usable[1:]
    found = swap(problem.matrix, rows, greedy(problem.matrix, rows, 2, usable), usable)
    assert set(found.support) <= set(usable)


def test_a_short_shortlist_never_makes_it_worse(monkeypatch):
    monkeypatch.setattr("optprobe.heuristics.fits.SHORTLIST", 1)
    for seed in SEEDS:
        problem = random_problem(seed)
        rows, usable = rows_of(problem), problem.usable
        start = greedy(problem.matrix, rows, problem.k, usable)
        found = swap(problem.matrix, rows, start, usable)
        consistent(problem, found)
        assert found.objective <= start.objective


def test_swaps_stop_when_asked():
    problem = random_problem(3)
    rows = rows_of(problem)
    start = problem.usable[-problem.k :]
    first = best_of(start[None], fit_many(problem.matrix.columns, rows, start[None]))
    assert swap(problem.matrix, rows, first, problem.usable, stop=lambda: True) is first


def test_best_of_sorts_the_support_with_its_coefficients():
    problem = random_problem(0)
    rows = rows_of(problem)
    a, b, c = problem.usable[:3]
    supports = np.array([[c, a], [b, a], [c, b]])
    found = best_of(supports, fit_many(problem.matrix.columns, rows, supports))
    consistent(problem, found)


@pytest.mark.parametrize("name", HEURISTICS)
@pytest.mark.parametrize("seed", SEEDS)
def test_every_heuristic_gives_a_support_for_every_k(seed, name):
    problem, heuristic = random_problem(seed), installed(name)
    if heuristic.losses and problem.loss_name not in heuristic.losses:
        with pytest.raises(ValueError, match=f"not {problem.loss_name}"):
            heuristic.path(problem, [1])
        return
    path = heuristic.path(problem, [problem.k, 1])
    assert [choice.k for choice in path] == sorted({1, problem.k})
    for choice in path:
        assert len(choice.support) == choice.k
        assert np.all(np.diff(choice.support) > 0)
        assert set(choice.support) <= set(problem.usable)
        assert choice.seconds > 0.0
    assert value(problem, path[-1].support) >= brute_force(problem).lower - 1e-12
    again = heuristic.path(problem, [1, problem.k])
    for one, two in zip(path, again, strict=True):
        np.testing.assert_array_equal(one.support, two.support)


@pytest.mark.parametrize("name", HEURISTICS)
def test_a_heuristic_keeps_to_the_columns_it_is_given(name):
    problem = random_problem(3)
    allowed = problem.usable[2:]
    for choice in installed(name).path(problem, [1, 2], columns=allowed):
        assert set(choice.support) <= set(allowed)


@pytest.mark.parametrize("name", HEURISTICS)
def test_two_stages_look_inside_the_best_by_mean_difference(name):
    problem = random_problem(3)
    best = np.argsort(-mean_difference(problem))[:3]
    (inside,) = installed(f"{name}@3").path(problem, [2])
    assert set(inside.support) <= set(best)


def test_unknown_heuristics_and_impossible_k_are_refused():
    problem = random_problem(0)
    with pytest.raises(ValueError, match="choose one of"):
        get_heuristic("nothing")
    with pytest.raises(ValueError, match="a number of columns"):
        get_heuristic("greedy@all")
    for ks, word in (([], "at least one"), ([0, 1], "k=0"), ([1, 99], "k=99")):
        with pytest.raises(ValueError, match=word):
            HEURISTICS["greedy"].path(problem, ks)


@pytest.mark.parametrize("seed", SEEDS)
def test_swaps_are_never_worse_than_greedy(seed):
    problem = random_problem(seed)
    swapped, plain = (
        value(problem, HEURISTICS[name].path(problem, [problem.k])[0].support)
        for name in ("greedy_swaps", "greedy")
    )
    assert swapped <= plain * (1.0 + 1e-9)
