"""Splits, intervals, tests and ridges: against scikit-learn, brute force and simulation."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from optprobe.metrics import Metrics, evaluate
from optprobe.statistics import bootstrap, bootstrap_difference, group_split


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
