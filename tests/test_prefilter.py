"""Candidates: the heuristic choice, and the certified one against brute force."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import combinations

import numpy as np
import pytest
from instances import random_problem

from optprobe.bounds import DualPoints, dual_points
from optprobe.losses import LOSSES
from optprobe.prefilter import (
    SCORES,
    best_columns,
    proven_columns,
    relaxation_scores,
    root_relaxation,
    screen,
)
from optprobe.problem import Problem
from optprobe.support import Rows, fit_support, fit_supports, signed

SEEDS = range(24)
SLACK = 1e-9

every_score = pytest.mark.parametrize("score", SCORES)


@dataclass(frozen=True)
class Listed:
    """Every support of size k of a problem with its value."""

    problem: Problem
    rows: Rows
    supports: np.ndarray
    values: np.ndarray


@cache
def listed(seed: int) -> Listed:
    problem = random_problem(seed)
    rows = Rows(problem.y, problem.weights, problem.loss, problem.lam)
    supports = np.array(list(combinations(problem.usable.tolist(), problem.k)))
    block = signed(problem.matrix.columns(np.arange(problem.d)), rows)
    return Listed(problem, rows, supports, fit_supports(block, supports, rows).primal)


def points_of(found: Listed, seed: int) -> DualPoints:
    """Relaxations of several k, the best fits' own points, and random points of the box."""
    problem, rows = found.problem, found.rows
    rng = np.random.default_rng(seed)
    free = ~problem.data.by.constant
    order = np.argsort(found.values)[:5]
    duals = []
    for support in found.supports[order]:
        point = fit_support(problem.matrix.columns(support), rows).point
        assert point is not None
        duals.append(point[0])
    duals += list(min(rows.loss.upper, 2.0) * rng.random((3, len(rows.y))))
    points = dual_points(problem.matrix, np.array(duals), rows.y, rows.w, rows.loss, rows.lam)
    relaxed = [
        root_relaxation(problem.matrix, rows, k, free, float(found.values.min()))
        for k in range(1, problem.k + 1)
    ]
    return DualPoints(
        np.concatenate([*(r.value for r in relaxed), points.value]),
        np.concatenate([*(r.gain for r in relaxed), points.gain]),
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_screening_keeps_every_better_support(seed):
    found = listed(seed)
    problem = found.problem
    free = ~problem.data.by.constant
    points = points_of(found, seed)
    optimum = float(found.values.min())
    for cutoff in (optimum + SLACK, 1.01 * optimum, 1.2 * optimum):
        kept = screen(points, problem.k, free, cutoff)
        assert not np.any(kept.forced & kept.free)
        assert not np.any((kept.forced | kept.free) & ~free)
        alive = kept.forced | kept.free
        for support in found.supports[found.values < cutoff - 0.5 * SLACK]:
            assert np.all(alive[support])
            assert set(np.flatnonzero(kept.forced)) <= set(support)
        assert kept.bound <= optimum + SLACK
        assert sorted(set(kept.used)) == kept.used


@pytest.mark.parametrize("seed", SEEDS)
def test_proven_columns_hold_every_better_support(seed):
    found = listed(seed)
    for upper in (float(found.values.min()), 1.05 * float(found.values.min())):
        kept = proven_columns(found.problem, upper)
        for support in found.supports[found.values <= upper]:
            assert set(support.tolist()) <= set(kept.tolist())


def test_proof_drops_most_columns_where_the_ridge_is_strong():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 100))
    problem = Problem.of(X, X[:, 7] + 0.1 * rng.standard_normal(200) > 0, k=1, lam=1.0)
    rows = Rows(problem.y, problem.weights, problem.loss, problem.lam)
    upper = float(fit_support(problem.matrix.columns(np.array([7])), rows).primal[0])
    assert proven_columns(problem, upper).tolist() == [7]


def test_screening_fixes_something():
    """Over these problems the proofs do drop columns and do force others in."""
    dropped = forced = 0
    for seed in SEEDS:
        found = listed(seed)
        free = ~found.problem.data.by.constant
        cutoff = float(found.values.min()) + SLACK
        kept = screen(points_of(found, seed), found.problem.k, free, cutoff)
        dropped += int((free & ~kept.free & ~kept.forced).sum())
        forced += int(kept.forced.sum())
    assert dropped > 10
    assert forced > 10


def test_screening_by_hand():
    points = DualPoints(np.array([10.0, 10.0]), np.array([[4.0, 3.0, 1.0, 0.0], [0.0] * 4]))
    everything = np.ones(4, bool)
    # k = 2: bound 3; column 2 in costs 2, column 3 in costs 3; column 0 out costs 3, column 1 2.
    kept = screen(points, 2, everything, 5.5)
    assert kept.forced.tolist() == [True, False, False, False]
    assert kept.free.tolist() == [False, True, True, False]
    # The second point's bound passes the cutoff: nothing is left, and both were used.
    assert kept.used == [0, 1]
    assert kept.bound == 10.0
    untouched = screen(points, 2, everything, 100.0)
    assert untouched.free.all()
    assert not untouched.forced.any()
    assert untouched.used == [0, 1]  # they fix nothing, but each raises the bound


def test_screening_starts_from_the_free_columns_only():
    points = DualPoints(np.array([10.0]), np.array([[4.0, 3.0, 1.0, 0.0]]))
    free = np.array([False, True, True, True])
    kept = screen(points, 1, free, 9.5)
    assert kept.bound == 7.0
    assert kept.free.tolist() == [False, True, True, False]
    assert free.tolist() == [False, True, True, True]


@every_score
@pytest.mark.parametrize("seed", range(6))
def test_the_best_columns_have_the_best_scores(score, seed):
    problem = random_problem(seed)
    values = SCORES[score](problem)
    assert values.shape == (problem.d,)
    assert np.all(np.isfinite(values))
    for count in range(problem.k, len(problem.usable) + 3):
        chosen = best_columns(problem, count, score)
        assert len(chosen) == min(count, len(problem.usable))
        assert np.all(np.diff(chosen) > 0)
        assert set(chosen) <= set(problem.usable)
        others = np.setdiff1d(problem.usable, chosen)
        if len(others):
            assert values[chosen].min() >= values[others].max()


@every_score
def test_ties_are_broken_by_the_first_column(score):
    rng = np.random.default_rng(0)
    X = np.repeat(rng.standard_normal((60, 2)), 3, axis=1)
    problem = Problem.of(X, X[:, 0] + rng.standard_normal(60) > 0, k=2)
    assert best_columns(problem, 2, score).tolist() == [0, 1]


def test_bad_choices_are_refused():
    problem = random_problem(0)
    with pytest.raises(ValueError, match="unknown score 'entropy'; choose one of mean_difference"):
        best_columns(problem, 5, "entropy")
    with pytest.raises(ValueError, match="2 candidates for k=3; keep at least k columns"):
        best_columns(problem.with_k(3), 2)


@pytest.mark.parametrize("loss", LOSSES)
def test_relaxation_scores_see_what_single_columns_hide(loss):
    """Two columns whose difference carries the label; a decoy beats one of them alone."""
    rng = np.random.default_rng(1)
    n = 400
    shared, signal = rng.standard_normal((2, n))
    y = signal > 0
    X = rng.standard_normal((n, 12))
    X[:, 3], X[:, 8] = 3.0 * shared + 0.5 * signal, 3.0 * shared - 0.5 * signal
    X[:, :2] += 0.25 * signal[:, None]
    problem = Problem.of(X, y, k=2, lam=0.03, loss=loss)
    assert best_columns(problem, 2, "mean_difference").tolist() == [0, 3]
    assert best_columns(problem, 2, "relaxation").tolist() == [3, 8]


@pytest.mark.parametrize("seed", range(0, 24, 3))
def test_relaxation_scores_put_the_columns_in_use_first(seed):
    problem = listed(seed).problem
    free = ~problem.data.by.constant
    relaxed = root_relaxation(problem.matrix, listed(seed).rows, problem.k, free, np.inf)
    scores, size = relaxation_scores(problem), np.abs(relaxed.beta[0])
    used, unused = np.flatnonzero(size), np.flatnonzero(free & (size == 0.0))
    assert scores[used].min() >= relaxed.gain[0].max()
    np.testing.assert_array_equal(np.argsort(scores[used]), np.argsort(size[used]))
    np.testing.assert_array_equal(scores[unused], relaxed.gain[0][unused])
    assert not scores[~free].any()


def test_the_root_relaxation_is_never_asked_for_more_columns_than_there_are():
    problem = random_problem(0)
    rows = Rows(problem.y, problem.weights, problem.loss, problem.lam)
    free = np.zeros(problem.d, bool)
    free[problem.usable[:2]] = True
    relaxed = root_relaxation(problem.matrix, rows, 5, free, np.inf)
    fits = fit_support(problem.matrix.columns(problem.usable[:2]), rows)
    assert relaxed.bound[0] == pytest.approx(fits.primal[0], rel=1e-5)
    assert relaxed.bound[0] <= fits.primal[0] + SLACK
