"""Metrics against scikit-learn, ties and degenerate rows included."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
from sklearn import metrics as reference

from optprobe import metrics
from optprobe.problem import Problem


def labelled_scores(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels of both classes and scores, rounded in every second case so that many tie."""
    rng = np.random.default_rng(seed)
    rows = int(rng.integers(2, 80))
    y = np.where(rng.random(rows) < rng.uniform(0.1, 0.9), 1.0, -1.0)
    y[0], y[1] = 1.0, -1.0
    score = rng.standard_normal(rows) + rng.uniform(-1.0, 2.0) * y
    return y, np.round(score) if seed % 2 else score


@pytest.mark.parametrize("seed", range(40))
def test_metrics_agree_with_scikit_learn(seed):
    y, score = labelled_scores(seed)
    called = np.where(score > 0, 1.0, -1.0)
    found = metrics.evaluate(y, score)
    assert found.f1 == pytest.approx(reference.f1_score(y, called, zero_division=0.0))
    expected = reference.balanced_accuracy_score(y, called)
    assert found.balanced_accuracy == pytest.approx(expected)
    assert found.roc_auc == pytest.approx(reference.roc_auc_score(y, score))
    expected = reference.average_precision_score(y, score)
    assert found.average_precision == pytest.approx(expected)
    precision, recall, _ = reference.precision_recall_curve(y, score)
    assert found.pr_auc == pytest.approx(reference.auc(recall, precision))
    assert found.mcc == pytest.approx(reference.matthews_corrcoef(y, called))


@pytest.mark.parametrize("seed", range(40))
def test_weighted_metrics_agree_with_scikit_learn(seed):
    y, score = labelled_scores(seed)
    rng = np.random.default_rng(seed)
    weights = rng.integers(0, 3, len(y)) * rng.choice([1.0, 0.7])
    weights[:2] = 1.0  # one row of each class
    called = np.where(score > 0, 1.0, -1.0)
    found = metrics.evaluate(y, score, weights)
    w = {"sample_weight": weights}
    assert found.f1 == pytest.approx(reference.f1_score(y, called, zero_division=0.0, **w))
    assert found.balanced_accuracy == pytest.approx(
        reference.balanced_accuracy_score(y, called, **w)
    )
    assert found.roc_auc == pytest.approx(reference.roc_auc_score(y, score, **w))
    assert found.average_precision == pytest.approx(
        reference.average_precision_score(y, score, **w)
    )
    precision, recall, _ = reference.precision_recall_curve(y, score, **w)
    assert found.pr_auc == pytest.approx(reference.auc(recall, precision))
    assert found.mcc == pytest.approx(reference.matthews_corrcoef(y, called, **w))


@pytest.mark.parametrize("seed", range(20))
def test_a_weight_of_two_counts_a_row_twice(seed):
    y, score = labelled_scores(seed)
    times = np.random.default_rng(seed).integers(0, 3, len(y))
    times[:2] = 1
    repeated = np.repeat(np.arange(len(y)), times)
    weighted = astuple(metrics.evaluate(y, score, times.astype(float)))
    assert weighted == pytest.approx(astuple(metrics.evaluate(y[repeated], score[repeated])))


@pytest.mark.parametrize("seed", range(20))
def test_precision_recall_agrees_with_scikit_learn(seed):
    y, score = labelled_scores(seed)
    curve = metrics.precision_recall(y, score)
    precision, recall, threshold = reference.precision_recall_curve(y, score)
    np.testing.assert_allclose(curve.precision, precision)
    np.testing.assert_allclose(curve.recall, recall)
    np.testing.assert_array_equal(curve.threshold, threshold)


def test_constant_scores_are_chance():
    y = np.array([1.0, 1.0, -1.0, -1.0, -1.0])
    found = metrics.evaluate(y, np.zeros(5))
    assert found == metrics.Metrics(0.0, 0.5, 0.5, 0.4, 0.7, 0.0)


@pytest.mark.parametrize(
    ("y", "score", "message"),
    [
        ([1.0, 1.0], [0.0, 1.0], "one class only"),
        ([1.0, -1.0], [0.0, np.nan], "NaN"),
        ([1.0, -1.0], [0.0], "one score a row"),
    ],
)
def test_senseless_scores_are_refused(y, score, message):
    with pytest.raises(ValueError, match=message):
        metrics.evaluate(np.array(y), np.array(score))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0, 1.0], "pass one a row"),
        ([1.0, -1.0, 1.0], "not negative"),
        ([0.0, 0.0, 1.0], "one class only"),
    ],
)
def test_senseless_weights_are_refused(weights, message):
    y = np.array([1.0, 1.0, -1.0])
    with pytest.raises(ValueError, match=message):
        metrics.evaluate(y, np.arange(3.0), np.array(weights))


def split_problem(test: np.ndarray | None, y: np.ndarray) -> Problem:
    rng = np.random.default_rng(7)
    X = rng.standard_normal((len(y), 4)) + y[:, None]
    return Problem.of(X, y, k=2, lam=0.1, test=test)


def test_held_out_scores_use_the_training_scale_and_the_test_rows():
    y = np.tile([1, -1, -1], 20)
    test = np.arange(60) >= 40
    problem = split_problem(test, y)
    support, beta = np.array([0, 2]), np.array([0.7, -0.2])
    X = problem.data.X[:, support]
    scale = np.maximum(X[~test].std(axis=0), 1e-3)
    expected = ((X[test] - X[~test].mean(axis=0)) / scale) @ beta + 0.3
    score = metrics.scores(problem, support, beta, 0.3, problem.data.test)
    np.testing.assert_allclose(score, expected, rtol=1e-12)
    found = metrics.held_out(problem, support, beta, 0.3)
    assert found == metrics.evaluate(np.where(y[test] > 0, 1.0, -1.0), score)


@pytest.mark.parametrize("held_out", ["none", "one class"])
def test_no_metrics_without_both_classes_held_out(held_out):
    y = np.tile([1, -1, -1], 20)
    test = None if held_out == "none" else (np.arange(60) < 40) & (y > 0)
    problem = split_problem(test, y)
    support, beta = np.array([1]), np.array([1.0])
    assert metrics.held_out(problem, support, beta, 0.0) is None
