"""Permutation and random-coordinate tests: what is shuffled, sizes by simulation, refusals."""

from __future__ import annotations

import signal
from itertools import combinations

import numpy as np
import pytest
from instances import random_problem

from optprobe.heuristics import get_heuristic
from optprobe.problem import Problem
from optprobe.statistics import NullTest, permutation_test, random_support_test, refit
from optprobe.statistics.permutation import _exchange


def noise(seed: int, rows: int = 40, d: int = 4, **more) -> Problem:
    """Activations that know nothing of the labels."""
    rng = np.random.default_rng(seed)
    X, y = rng.standard_normal((rows, d)), rng.permutation(np.arange(rows) % 2)
    return Problem.of(X, y, k=1, lam=0.01, **more)


def documents(seed: int) -> Problem:
    """One label per document; activations that vary by document, whatever its label."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(16), 8)
    label = rng.permutation(np.arange(16) % 2)
    X = rng.standard_normal((16, 1))[group] + 0.3 * rng.standard_normal((128, 1))
    return Problem.of(X, label[group], k=1, lam=0.01, groups=group)


def test_relabelling_shares_the_matrix_and_balances_the_new_labels():
    problem = noise(0, test=np.arange(40) >= 30)
    y = np.where(np.arange(30) < 4, 1.0, -1.0)
    other = problem.relabelled(y)
    assert other.matrix is problem.matrix
    np.testing.assert_array_equal(other.y, y)
    np.testing.assert_allclose(other.weights, np.where(y > 0, 1 / 8, 1 / 52))
    np.testing.assert_array_equal(other.data.y[30:], problem.data.y[30:])
    X, by = problem.data.on_host(), problem.data.by
    again = Problem.of(
        X, np.append(y, problem.data.y[30:]), k=1, lam=0.01, test=np.arange(40) >= 30
    )
    np.testing.assert_array_equal(again.data.by.mean, by.mean)
    assert again.digest == other.digest != problem.digest
    with pytest.raises(ValueError, match="no training row"):
        problem.relabelled(np.ones(30))


def test_weights_of_the_caller_stay_with_their_rows():
    given = np.random.default_rng(1).random(40)
    problem = noise(0, weights=given)
    other = problem.relabelled(-problem.y)
    np.testing.assert_array_equal(other.weights, problem.weights)


def test_what_is_shuffled_follows_from_the_documents():
    rng = np.random.default_rng(0)
    problem = noise(0)
    draw, what = _exchange(problem)
    assert what == "rows"
    assert sorted(draw(rng)) == sorted(problem.y)

    group = np.random.default_rng(2).integers(5, size=40)
    problem = noise(0, groups=group)
    draw, what = _exchange(problem)
    assert what == "rows within groups"
    shuffled = [draw(rng) for _ in range(50)]
    for one in range(5):
        for y in shuffled:
            assert sorted(y[group == one]) == sorted(problem.y[group == one])
    assert len({tuple(y) for y in shuffled}) > 40
    # Every row of a mixed document takes either label in the end.
    mixed = [len(set(problem.y[group == g])) == 2 for g in group]
    np.testing.assert_array_equal(np.ptp(shuffled, axis=0) > 0, mixed)

    problem = documents(0)
    draw, what = _exchange(problem)
    assert what == "groups"
    y = draw(rng).reshape(16, 8)
    assert (np.ptp(y, axis=1) == 0.0).all()
    assert sorted(y[:, 0]) == sorted(problem.y[::8])


@pytest.mark.parametrize("heuristic", ["mean_difference", "greedy"])
def test_the_selection_is_repeated_on_every_permutation(heuristic):
    problem = random_problem(4, "logistic")
    found = permutation_test(problem, heuristic=heuristic, permutations=10, seed=5)
    chosen = get_heuristic(heuristic)
    draw, _ = _exchange(problem)
    rng = np.random.default_rng(5)
    for value in found.null:
        other = problem.relabelled(draw(rng))
        support = chosen.path(other, [problem.k])[0].support
        assert value == refit(other, support).objective
    support = chosen.path(problem, [problem.k])[0].support
    assert found.observed == refit(problem, support).objective
    np.testing.assert_array_equal(found.support, support)


def test_p_values_are_uniform_where_there_is_nothing_to_find():
    chosen, fixed = [], []
    for seed in range(80):
        problem = noise(seed)
        test = permutation_test(problem, heuristic="mean_difference", permutations=19, seed=seed)
        chosen.append(test.p_value)
        fixed.append(
            permutation_test(problem, support=np.array([0]), permutations=19, seed=seed).p_value
        )
    for p in (np.array(chosen), np.array(fixed)):
        assert set(np.round(20 * p).astype(int)) <= set(range(1, 21))
        assert p.mean() == pytest.approx(0.525, abs=0.09)
        assert (p <= 0.1).mean() <= 0.19


def test_documents_with_one_label_are_shuffled_whole():
    """Rows shuffled alone find a label in what only tells documents apart."""
    whole, alone, support = [], [], np.array([0])
    for seed in range(60):
        problem = documents(seed)
        found = permutation_test(problem, support=support, permutations=19, seed=seed)
        whole.append(found.p_value)
        rows = Problem.of(problem.data.on_host(), problem.data.y, k=1, lam=0.01)
        alone.append(permutation_test(rows, support=support, permutations=19, seed=seed).p_value)
    assert (np.array(whole) <= 0.1).mean() <= 0.2
    assert (np.array(alone) <= 0.1).mean() >= 0.35


def test_a_signal_is_found():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((120, 5))
    y = X[:, 3] + 0.5 * rng.standard_normal(120) > 0
    problem = Problem.of(X, y, k=1, groups=np.arange(120) // 10)
    test = permutation_test(problem, permutations=49)
    assert test.p_value == 1 / 50
    assert test.support.tolist() == [3]
    assert len(test.null) == 49
    assert permutation_test(problem, support=np.array([0]), permutations=49).p_value > 0.05


def test_a_support_chosen_with_the_labels_is_not_a_fixed_one():
    """The best of forty noise columns: significant if its selection is not repeated."""
    problem = noise(3, d=40)
    chosen = permutation_test(problem, permutations=99)
    fixed = permutation_test(problem, support=chosen.support, permutations=99)
    assert fixed.p_value <= 0.03 < chosen.p_value


@pytest.mark.parametrize("seed", range(3))
def test_random_supports_estimate_the_share_that_is_as_good(seed):
    problem = random_problem(seed)
    supports = list(combinations(problem.usable.tolist(), 2))
    objective = np.array([refit(problem, np.array(one)).objective for one in supports])
    middle = int(np.argsort(objective)[len(objective) // 3])
    test = random_support_test(problem, np.array(supports[middle]), draws=1500, seed=seed)
    share = (objective <= objective[middle] * (1 + 1e-9)).mean()
    assert test.p_value == pytest.approx(share, abs=0.05)
    assert test.shuffled == "columns"
    for value in test.null:
        assert np.isclose(objective, value, rtol=1e-8).any()


def test_ties_count_against_significance():
    test = NullTest(np.array([0]), 0.5, np.array([0.5 + 1e-12, 0.4, 0.6]), "rows")
    assert test.p_value == 3 / 4


def test_ctrl_c_keeps_what_was_drawn(monkeypatch):
    calls = []

    def interrupted(problem, support):
        calls.append(support)
        if len(calls) == 4:
            signal.raise_signal(signal.SIGINT)
        return refit(problem, support)

    monkeypatch.setattr("optprobe.statistics.permutation.refit", interrupted)
    test = permutation_test(noise(0), heuristic="mean_difference", permutations=500)
    assert len(test.null) == 3  # the first fit is the observed one


def test_senseless_tests_are_refused():
    problem = noise(0)
    with pytest.raises(ValueError, match="permutations=0"):
        permutation_test(problem, permutations=0)
    with pytest.raises(ValueError, match="unknown heuristic"):
        permutation_test(problem, heuristic="oracle")
    with pytest.raises(ValueError, match="not one of"):
        permutation_test(problem, support=np.array([9]))
    with pytest.raises(ValueError, match="draws=0"):
        random_support_test(problem, np.array([0]), draws=0)
    with pytest.raises(ValueError, match="empty support"):
        random_support_test(problem, np.array([], int))
