"""Rankings against NumPy and scikit-learn, telescoping and L1 against fits done the long way."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from instances import random_problem
from sklearn.feature_selection import mutual_info_classif
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from optprobe.heuristics import HEURISTICS
from optprobe.heuristics.rankings import correlation, f_statistic, mean_difference
from optprobe.problem import Problem

SEEDS = range(12)


def standardised(problem: Problem) -> np.ndarray:
    """Usable columns of Z, n x p."""
    return problem.data.columns(problem.usable, problem.data.train).T


def order_of(name: str, problem: Problem) -> list[int]:
    """The usable columns, best first, from the nested supports of a ranking."""
    path = HEURISTICS[name].path(problem, range(1, len(problem.usable) + 1))
    supports = [set(), *(set(choice.support.tolist()) for choice in path)]
    added = [large - small for small, large in pairwise(supports)]
    assert all(len(new) == 1 for new in added)
    return [new.pop() for new in added]


def ranks_as(name: str, problem: Problem, scores: np.ndarray) -> None:
    """The heuristic's order is one of falling scores (of the usable columns), ties apart."""
    ranked = scores[np.searchsorted(problem.usable, order_of(name, problem))]
    assert np.all(np.diff(ranked) <= 1e-4 * scores.max())


@pytest.mark.parametrize("seed", SEEDS)
def test_correlation(seed):
    problem = random_problem(seed)
    table = np.cov(standardised(problem).T, problem.y, aweights=problem.weights, ddof=0)
    spread = np.sqrt(np.diag(table))
    expected = np.abs(table[-1, :-1]) / (spread[:-1] * spread[-1])
    found = correlation(problem)
    np.testing.assert_allclose(found[problem.usable], expected, atol=1e-10)
    assert not found[problem.data.by.constant].any()
    ranks_as("correlation", problem, expected)


def test_correlation_where_only_weightless_rows_vary():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 3))
    X[10:, 1] = 0.25
    weights = np.r_[np.zeros(10), np.ones(30)]
    problem = Problem.of(X, np.arange(40) % 2 == 0, k=1, weights=weights)
    assert correlation(problem)[1] == 0.0


def test_correlation_is_the_same_on_a_device_and_without_weights_ranks_as_f():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((90, 12)).astype(np.float32)
    y = X[:, 0] + X[:, 1] + rng.standard_normal(90) > 0.8
    one, two = (Problem.of(A, y, k=1) for A in (X, torch.tensor(X)))
    np.testing.assert_allclose(correlation(one), correlation(two), atol=1e-6)
    uniform = Problem.of(X, y, k=1, weights="uniform")
    order = np.argsort(-f_statistic(uniform))
    np.testing.assert_array_equal(np.argsort(-correlation(uniform)), order)
    np.testing.assert_array_equal(np.argsort(-mean_difference(uniform)), order)


@pytest.mark.parametrize("seed", SEEDS[:4])
def test_mutual_information_is_that_of_scikit_learn(seed):
    problem = random_problem(seed)
    drawn = int(np.random.default_rng(0).integers(2**31))
    expected = mutual_info_classif(standardised(problem), problem.y, random_state=drawn)
    ranks_as("mutual_information", problem, expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_dense_coefficients_rank_as_those_of_scikit_learn(seed):
    problem = random_problem(seed)
    Z, share = standardised(problem), 1.0 / problem.lam
    logistic = LogisticRegression(C=share, tol=1e-10, max_iter=5000, solver="newton-cg")
    logistic.fit(Z, problem.y, sample_weight=problem.weights)
    ranks_as("l2_logistic", problem, np.abs(logistic.coef_[0]))
    # Its intercept is a column of this size with a ridge of its own: next to none.
    svm = LinearSVC(C=share, tol=1e-10, max_iter=10**6, intercept_scaling=1e3, dual=False)
    svm.fit(Z, problem.y, sample_weight=problem.weights)
    ranks_as("svm", problem, np.abs(svm.coef_[0]))


@pytest.mark.parametrize("seed", SEEDS)
def test_l1_is_the_path_of_whole_fits(seed):
    """The strong rule with its check changes nothing: refit every column at every penalty."""
    problem = random_problem(seed)
    columns = problem.usable[problem.usable != 1]  # some have it twice: no unique coefficients
    Z, n = problem.data.columns(columns, problem.data.train).T, len(problem.y)
    slopes = np.abs((0.5 * problem.weights * problem.y) @ Z)
    expected: dict[int, np.ndarray] = {}
    for strength in slopes.max() * np.logspace(0, -3, 40)[1:]:
        model = LogisticRegression(
            l1_ratio=1.0, C=1 / (strength * n), solver="liblinear", tol=1e-4, random_state=0
        )
        model.fit(Z, problem.y, sample_weight=n * problem.weights)
        sizes = np.abs(model.coef_[0])
        for k in range(1, 1 + np.count_nonzero(sizes)):
            expected.setdefault(k, sizes)
    for choice in HEURISTICS["l1_logistic"].path(problem, sorted(expected), columns=columns):
        sizes = expected[choice.k]
        inside = np.isin(columns, choice.support)
        assert sizes[inside].min() >= sizes[~inside].max(initial=0.0) - 1e-3 * sizes.max()


def test_random_is_nested_and_follows_the_seed():
    problem = random_problem(1)
    assert sorted(order_of("random", problem)) == problem.usable.tolist()
    first = {tuple(HEURISTICS["random"].path(problem, [2], seed=s)[0].support) for s in range(30)}
    assert len(first) > 3


@pytest.mark.parametrize("seed", SEEDS)
def test_telescoping_drops_the_smallest_coefficients_of_a_refit(seed):
    problem = random_problem(seed, "logistic")
    kept = problem.usable
    ks = range(1, len(kept))
    path = HEURISTICS["telescoping"].path(problem, ks)
    for choice in reversed(path):
        Z = problem.data.columns(kept, problem.data.train).T
        model = LogisticRegression(
            C=1.0 / problem.lam, tol=1e-10, max_iter=5000, solver="newton-cg"
        )
        sizes = np.abs(model.fit(Z, problem.y, sample_weight=problem.weights).coef_[0])
        inside = np.isin(kept, choice.support)
        assert inside.sum() == choice.k
        assert sizes[inside].min() >= sizes[~inside].max() - 1e-3
        kept = choice.support


def test_telescoping_passes_through_its_schedule_to_one_k():
    """The k = 2 of a path and of a call of its own are the same, and within any larger set."""
    rng = np.random.default_rng(2)
    X = rng.standard_normal((80, 40))
    y = X[:, 3] - X[:, 7] + 0.5 * rng.standard_normal(80) > 0
    problem = Problem.of(X, y, k=1)
    heuristic = HEURISTICS["telescoping"]
    whole = {choice.k: choice for choice in heuristic.path(problem, [2, 5, 32, 40])}
    (alone,) = heuristic.path(problem, [2])
    np.testing.assert_array_equal(whole[2].support, alone.support)
    assert alone.support.tolist() == [3, 7]
    assert set(whole[2].support) < set(whole[5].support) < set(whole[32].support)
    assert len(whole[40].support) == 40
