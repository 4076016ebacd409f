"""Splits, intervals, tests and ridges: against scikit-learn, brute force and simulation."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from instances import brute_force, random_problem
from sklearn import metrics as reference

from optprobe.bounds import DualPoints, dual_points
from optprobe.metrics import Metrics, evaluate
from optprobe.problem import Problem
from optprobe.result import Limits
from optprobe.solver import solve
from optprobe.statistics import (
    adjust_p_values,
    bootstrap,
    bootstrap_difference,
    bounds_over_ridges,
    group_split,
    lower_between,
    refit,
    relaxed_points,
    ridge_path,
    upper_between,
)
from optprobe.support import fit_support


def documents(rng: np.random.Generator, rows: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels that lean with the document, and the documents; both classes in two of them."""
    group = rng.integers(number, size=rows)
    group[:4] = (0, 0, 1, 1)
    y = np.where(rng.random(rows) < rng.uniform(0.0, 1.0, number)[group], 1.0, -1.0)
    y[:4] = (1.0, -1.0, 1.0, -1.0)
    return y, group


@given(seed=st.integers(0, 10**6), test_size=st.floats(0.05, 0.95), grouped=st.booleans())
def test_a_split_keeps_groups_whole_and_both_classes_on_both_sides(seed, test_size, grouped):
    rng = np.random.default_rng(seed)
    y, group = documents(rng, int(rng.integers(4, 120)), int(rng.integers(2, 20)))
    held = group_split(y, group if grouped else None, test_size=test_size, seed=seed)
    assert held.dtype == bool
    for side in (held, ~held):
        assert set(y[side]) == {-1.0, 1.0}
    if grouped:
        assert not set(group[held]) & set(group[~held])
    else:
        for label in (-1.0, 1.0):
            count = (y == label).sum()
            expected = np.clip(test_size * count, 1, count - 1)
            assert abs(held[y == label].sum() - expected) <= 0.5


@pytest.mark.parametrize("seed", range(5))
def test_a_split_of_many_documents_is_stratified(seed):
    rng = np.random.default_rng(seed)
    y, group = documents(rng, 3000, 150)
    held = group_split(y, group, test_size=0.25, seed=seed)
    for label in (-1.0, 1.0):
        assert held[y == label].mean() == pytest.approx(0.25, abs=0.01)


def test_the_seed_of_a_split_matters_and_repeats():
    y, group = documents(np.random.default_rng(0), 500, 40)
    first, again, other = (group_split(y, group, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_a_split_finds_the_only_possible_one():
    """A holds both classes, B and C one each: only {A} against {B, C} will do."""
    y, group = ["n", "p", "p", "n"], ["A", "A", "B", "C"]
    for seed in range(10):
        held = group_split(y, group, seed=seed)
        assert held.tolist() in ([True, True, False, False], [False, False, True, True])


@pytest.mark.parametrize(
    ("y", "groups", "test_size", "message"),
    [
        ([0, 1, 0, 1], [0, 0], 0.3, "4 labels but groups of shape"),
        ([0, 1, 0, 1], ["a", "b", "a", "b"], 0.3, "label 0 lies in group 'a'"),
        ([0, 1, 1, 1], ["a", "a", "b", "c"], 0.3, "label 0 lies in group 'a'"),
        ([0, 1, 1, 1], None, 0.3, "single row has the label 0"),
        ([0, 1, 0, 1], None, 1.0, "between 0 and 1"),
        ([0, 0, 0, 0], None, 0.3, "1 distinct label"),
    ],
)
def test_impossible_splits_are_refused(y, groups, test_size, message):
    with pytest.raises(ValueError, match=message):
        group_split(y, groups, test_size=test_size)


def scored(seed: int, rows: int = 120, number: int = 15) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    y, group = documents(rng, rows, number)
    score = rng.standard_normal(rows) + 0.7 * y + 0.5 * rng.standard_normal(number)[group]
    return y, np.round(score, 1), group


@pytest.mark.parametrize("seed", range(3))
def test_intervals_are_quantiles_of_the_metrics_of_repeated_documents(seed):
    """Every resample's rows are written out and measured by scikit-learn."""
    y, score, group = scored(seed)
    number, resamples, rng = 15, 60, np.random.default_rng(seed)
    values: dict[str, list[float]] = {name: [] for name in ("roc_auc", "average_precision", "f1")}
    for _ in range(resamples):
        drawn = rng.integers(number, size=number)
        rows = np.concatenate([np.flatnonzero(group == one) for one in drawn])
        values["roc_auc"].append(reference.roc_auc_score(y[rows], score[rows]))
        values["average_precision"].append(reference.average_precision_score(y[rows], score[rows]))
        values["f1"].append(reference.f1_score(y[rows] > 0, score[rows] > 0))
    found = bootstrap(y, score, group, resamples=resamples, level=0.8, seed=seed)
    assert (found.resamples, found.dropped, found.level) == (resamples, 0, 0.8)
    assert found.estimate == evaluate(y, score)
    for name, drawn in values.items():
        low, high = np.quantile(drawn, (0.1, 0.9))
        assert getattr(found.low, name) == pytest.approx(low)
        assert getattr(found.high, name) == pytest.approx(high)


def test_groups_of_one_row_are_the_bootstrap_over_rows():
    y, score, _ = scored(0)
    assert bootstrap(y, score, seed=3) == bootstrap(y, score, np.arange(len(y)), seed=3)


def test_chunks_do_not_change_the_resamples(monkeypatch):
    y, score, group = scored(0)
    whole = bootstrap(y, score, group, resamples=50)
    monkeypatch.setattr("optprobe.statistics.intervals.CHUNK", 7 * len(y))
    assert bootstrap(y, score, group, resamples=50) == whole


def test_repeating_every_row_in_its_document_changes_nothing():
    """Copies within documents are no evidence; a bootstrap over rows would take them for some."""
    y, score, group = scored(1)
    doubled = [np.concatenate([part, part]) for part in (y, score, group)]
    once, twice = bootstrap(y, score, group), bootstrap(*doubled)
    assert asdict(twice.low) == pytest.approx(asdict(once.low))
    assert asdict(twice.high) == pytest.approx(asdict(once.high))
    over_rows = bootstrap(*doubled[:2])
    assert over_rows.high.roc_auc - over_rows.low.roc_auc < 0.8 * (
        once.high.roc_auc - once.low.roc_auc
    )


def test_coverage_in_a_simulation():
    """Scores N(+-0.5, 1) with an effect per document; the true ROC-AUC is known."""
    from scipy.stats import norm

    rng, inside, runs = np.random.default_rng(0), 0, 150
    truth = norm.cdf(1.0 / np.sqrt(2.0 * (1.0 + 0.6**2)))
    for run in range(runs):
        group = np.repeat(np.arange(60), 5)
        y = np.where(np.arange(300) % 2 == 0, 1.0, -1.0)
        score = 0.5 * y + rng.standard_normal(300) + 0.6 * rng.standard_normal(60)[group]
        found = bootstrap(y, score, group, resamples=200, level=0.9, seed=run)
        inside += found.low.roc_auc <= truth <= found.high.roc_auc
    assert 0.82 <= inside / runs <= 0.96


def test_a_difference_is_paired():
    y, score, group = scored(2)
    same = bootstrap_difference(y, score, score, group)
    assert same.estimate == same.low == same.high == Metrics(*[0.0] * 6)
    other = score + 0.1 * np.random.default_rng(0).standard_normal(len(y))
    found = bootstrap_difference(y, other, score, group)
    a, b = asdict(evaluate(y, other)), asdict(evaluate(y, score))
    assert asdict(found.estimate) == pytest.approx({name: a[name] - b[name] for name in a})
    alone = bootstrap(y, score, group)
    assert found.high.roc_auc - found.low.roc_auc < 0.5 * (alone.high.roc_auc - alone.low.roc_auc)
    turned = bootstrap_difference(y, score, other, group)
    assert turned.high.roc_auc == pytest.approx(-found.low.roc_auc)


def test_resamples_of_one_class_are_dropped_and_counted():
    """One of four rows is positive: (3/4)^4 of the resamples miss it, (1/4)^4 hold no other."""
    y, group = np.array([1.0, -1.0, -1.0, -1.0]), np.arange(4)
    found = bootstrap(y, np.array([1.0, 0.5, -1.0, -2.0]), group, resamples=2000)
    assert found.resamples + found.dropped == 2000
    assert found.dropped / 2000 == pytest.approx(0.75**4 + 0.25**4, abs=0.03)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"level": 1.0}, "level between 0 and 1"),
        ({"resamples": 0}, "resamples >= 1"),
        ({"groups": np.zeros(4)}, "one group"),
        ({"groups": np.zeros(3)}, "pass one a row"),
        ({"y": np.ones(4)}, "one class only"),
        ({"score": np.ones(3)}, "one score a row"),
    ],
)
def test_senseless_bootstraps_are_refused(changes, message):
    rows = {"y": np.array([1.0, -1.0, 1.0, -1.0]), "score": np.arange(4.0), "groups": np.arange(4)}
    with pytest.raises(ValueError, match=message):
        bootstrap(**(rows | changes))


def test_a_class_that_no_resample_holds_is_an_error():
    y = np.array([1.0, *[-1.0] * 400])
    with pytest.raises(ValueError, match="none of 1 resamples"):
        bootstrap(y, y, resamples=1, seed=0)


def optima(problem: Problem, ridges: np.ndarray) -> np.ndarray:
    """The optimum at every ridge by brute force, from below."""
    return np.array([brute_force(replace(problem, lam=float(lam))).lower for lam in ridges])


@pytest.mark.parametrize("seed", range(12))
def test_dual_points_bound_every_ridge_and_k(seed):
    """Whatever the dual point: at random, and the best of a relaxation."""
    problem = random_problem(seed)
    rng = np.random.default_rng(seed)
    ridges, ks = np.logspace(-3, 0.5, 5), [1, 2, 3]
    top = min(problem.loss.upper, 2.0)
    duals = rng.uniform(0.0, top, (3, len(problem.y)))
    random = dual_points(
        problem.matrix, duals, problem.y, problem.weights, problem.loss, problem.lam
    )
    best = relaxed_points(problem, ridges[:3].tolist())
    for points in (random, best):
        bounds = bounds_over_ridges(problem, points, ridges, ks)
        assert bounds.shape == (5, 3)
        assert (np.diff(bounds, axis=0) >= 0.0).all()  # a stronger ridge costs more
        assert (np.diff(bounds, axis=1) <= 0.0).all()  # another column costs less
        for i, k in enumerate(ks):
            assert (bounds[:, i] <= optima(problem.with_k(k), ridges) + 1e-9).all()
    each = [
        bounds_over_ridges(problem, DualPoints(v[None], g[None]), ridges, ks)
        for v, g in zip(best.value, best.gain, strict=True)
    ]
    np.testing.assert_array_equal(np.max(each, axis=0), bounds)


@pytest.mark.parametrize("seed", range(6))
def test_a_dual_point_is_tight_at_its_own_ridge(seed):
    """Over all columns there is no choice left, so that strong duality holds."""
    problem = random_problem(seed)
    d, usable = len(problem.usable), problem.usable
    fit = fit_support(problem.matrix.columns(usable), problem.rows)
    assert fit.point is not None
    points = dual_points(
        problem.matrix, fit.point, problem.y, problem.weights, problem.loss, problem.lam
    )
    at_own, weaker = bounds_over_ridges(problem, points, [problem.lam, 0.1 * problem.lam], [d])
    assert at_own[0] == pytest.approx(float(fit.primal[0]), rel=1e-6)
    assert weaker[0] < at_own[0]


@pytest.mark.parametrize("seed", range(12))
def test_bounds_at_some_ridges_bound_all_ridges(seed):
    problem = random_problem(seed)
    known, at = np.array([0.5, 0.004, 0.05]), np.logspace(-3.5, 0.5, 9)
    solved = [brute_force(replace(problem, lam=float(lam))) for lam in known]
    truth = optima(problem, at)
    lower = lower_between(known, np.array([one.lower for one in solved]), at)
    assert (lower <= truth + 1e-9).all()
    assert (np.diff(lower) >= 0.0).all()
    assert (np.diff(np.diff(lower) / np.diff(at)) <= 1e-9).all()  # concave
    np.testing.assert_allclose(
        lower_between(known, np.array([one.lower for one in solved]), known),
        [one.lower for one in solved],
    )
    refits = [
        refit(problem, np.array(one.support), lam=float(lam))
        for one, lam in zip(solved, known, strict=True)
    ]
    squares = np.array([one.beta @ one.beta for one in refits])
    upper = upper_between(known, np.array([one.objective for one in refits]), squares, at)
    assert (upper >= truth - 1e-9).all()


def test_two_solves_enclose_the_ridges_between_them():
    """The chord and the affine functions meet at both ends and stay near each other between."""
    problem = random_problem(3, "logistic")
    known = np.array([0.05, 0.1])
    at = np.linspace(0.05, 0.1, 7)
    results = [solve(replace(problem, lam=float(lam)), limits=Limits(gap=1e-7)) for lam in known]
    assert all(result.verified is not None for result in results)
    lower = lower_between(known, np.array([r.verified.lower for r in results if r.verified]), at)
    squares = np.array([r.beta @ r.beta for r in results])
    upper = upper_between(known, np.array([r.objective for r in results]), squares, at)
    assert (lower <= upper).all()
    assert ((upper - lower) / upper).max() < 0.02
    assert (lower <= optima(problem, at)).all()


@pytest.mark.parametrize(
    ("ridges", "at"), [([], [0.1]), ([0.0], [0.1]), ([0.1], [-1.0])], ids=["none", "zero", "at"]
)
def test_ridges_must_be_positive(ridges, at):
    with pytest.raises(ValueError, match="ridges > 0"):
        lower_between(np.array(ridges), np.ones(len(ridges)), np.array(at))


def test_a_ridge_path_is_solved_from_strong_to_weak():
    problem = random_problem(0, "logistic")
    found = list(ridge_path(problem, [2, 1], [0.01, 0.3], limits=Limits(gap=1e-6)))
    assert [lam for lam, _ in found] == [0.3, 0.01]
    for lam, results in found:
        assert [result.k for result in results] == [1, 2]
        for result in results:
            best = brute_force(replace(problem, k=result.k, lam=lam))
            assert result.objective == pytest.approx(best.value, rel=1e-5)
            assert result.verified is not None
            assert result.verified.gap <= 1e-5


def test_senseless_ridge_paths_are_refused():
    problem = random_problem(0)
    with pytest.raises(ValueError, match="no ridge"):
        ridge_path(problem, [1], [])
    with pytest.raises(ValueError, match="must be positive"):
        ridge_path(problem, [1], [0.1, -1.0])
    points = relaxed_points(problem, [0.1])
    with pytest.raises(ValueError, match="k >= 1"):
        bounds_over_ridges(problem, points, [0.1], [0])


@pytest.mark.parametrize("seed", range(6))
def test_a_refit_is_the_best_on_its_support(seed):
    problem = random_problem(seed)
    best = brute_force(problem)
    found = refit(problem, np.array(best.support[::-1]))
    assert found.support.tolist() == list(best.support)
    assert found.objective == pytest.approx(best.value, rel=1e-8)
    other = refit(problem, np.array(best.support), lam=0.1 * problem.lam)
    assert other.lam == 0.1 * problem.lam
    assert other.beta @ other.beta >= found.beta @ found.beta * (1.0 - 1e-6)  # less shrinkage
    X = problem.data.on_host()
    score = found.probe.decision_function(X)
    again = refit(problem, np.array(best.support)).probe.predict(X)
    np.testing.assert_array_equal(again, np.where(score > 0, True, False))


@pytest.mark.parametrize(
    ("support", "message"), [([0, 0], "twice"), ([99], "not one of"), ([2], "constant")]
)
def test_supports_that_cannot_be_fitted_are_refused(support, message):
    X = np.random.default_rng(0).standard_normal((30, 4))
    X[:, 2] = 1.0
    with pytest.raises(ValueError, match=message):
        refit(Problem.of(X, np.arange(30) % 2, k=1), np.array(support))


def test_adjusted_p_values_by_hand():
    """Holm: the running maximum of 4 p1, 3 p2, 2 p3, p4; BH: 4 p1, 2 p2, 4/3 p3, p4 all agree."""
    p = [0.04, 0.01, 0.03, 0.02]
    assert adjust_p_values(p).tolist() == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert adjust_p_values(p, "benjamini_hochberg").tolist() == pytest.approx([0.04] * 4)
    harmonic = 1 + 1 / 2 + 1 / 3 + 1 / 4
    found = adjust_p_values(p, "benjamini_yekutieli")
    assert found.tolist() == pytest.approx([0.04 * harmonic] * 4)
    assert adjust_p_values([0.6, 0.9]).tolist() == [1.0, 1.0]
    assert adjust_p_values([]).tolist() == []


def test_holm_rejects_no_more_than_its_level_under_the_null():
    rng = np.random.default_rng(0)
    families = rng.random((2000, 8))
    families[:, 4:] = families[:, :4]  # dependent tests are allowed
    wrong = np.mean([(adjust_p_values(p) <= 0.1).any() for p in families])
    assert wrong <= 0.11


@pytest.mark.parametrize("p", [[0.5, 1.1], [np.nan], [[0.5]]], ids=["above 1", "nan", "table"])
def test_senseless_p_values_are_refused(p):
    with pytest.raises(ValueError, match="between 0 and 1"):
        adjust_p_values(p)
    with pytest.raises(ValueError, match="unknown method"):
        adjust_p_values([0.5], "bonferroni")  # type: ignore[arg-type]
