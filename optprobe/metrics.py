"""How well scores s_i = z_i . beta + b tell two classes apart on held-out rows.

    F1                  2 tp / (2 tp + fp + fn), positive where s > 0
    balanced accuracy   (tp / P + tn / N) / 2
    ROC-AUC             P(s+ > s-) + P(s+ = s-) / 2 over pairs of rows, one of each class
    average precision   sum over thresholds of (recall_t - recall_t-1) precision_t

and, for squared error, how well they predict targets:

    mean squared error  sum (y - s)^2 / n
    R^2                 1 - sum (y - s)^2 / sum (y - mean y)^2

All as scikit-learn computes them, rows unweighted, with numpy alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int

from optprobe.problem import Problem

Array = np.ndarray


@dataclass(frozen=True)
class Metrics:
    """Scores of one probe on one set of rows, all in [0, 1], larger is better."""

    f1: float
    balanced_accuracy: float
    roc_auc: float
    average_precision: float


@dataclass(frozen=True)
class TargetMetrics:
    """Errors of one probe of targets on one set of rows; R^2 is at most 1, larger is better."""

    r2: float
    mean_squared_error: float


class Curve(NamedTuple):
    """Precision and recall at "positive where s >= threshold", thresholds increasing.

    One entry per distinct score, then the end point precision 1, recall 0 (no threshold).
    """

    precision: Float64[Array, "t1"]
    recall: Float64[Array, "t1"]
    threshold: Float64[Array, "t"]


def scores(
    problem: Problem,
    support: Int[Array, "s"],
    beta: Float64[Array, "s"],
    intercept: float,
    rows: Int[Array, "r"],
) -> Float64[Array, "r"]:
    """z_i . beta + b in float64 for any rows of X, standardised as in training."""
    return beta @ problem.data.columns(support, rows) + intercept


def held_out(
    problem: Problem, support: Int[Array, "s"], beta: Float64[Array, "s"], intercept: float
) -> Metrics | None:
    """The metrics on the test rows; None without test rows or with one class only there.

    Raises:
        ValueError: the problem has targets, see `held_out_targets`.
    """
    rows = problem.data.test
    y = problem.data.signs[rows]
    if not (y > 0).any() or not (y < 0).any():
        return None
    return evaluate(y, scores(problem, support, beta, intercept, rows))


def held_out_targets(
    problem: Problem, support: Int[Array, "s"], beta: Float64[Array, "s"], intercept: float
) -> TargetMetrics | None:
    """R^2 and mean squared error on the test rows; None without two different targets there."""
    rows = problem.data.test
    y = problem.data.y[rows]
    if not len(y) or y.min() == y.max():
        return None
    error = float(np.mean((y - scores(problem, support, beta, intercept, rows)) ** 2))
    return TargetMetrics(1.0 - error / float(np.var(y)), error)


def evaluate(y: Float64[Array, "r"], score: Float64[Array, "r"]) -> Metrics:
    """All metrics of scores against labels -1/+1, both of which must occur."""
    _check(y, score)
    return Metrics(
        f1(y, score),
        balanced_accuracy(y, score),
        roc_auc(y, score),
        average_precision(y, score),
    )


def f1(y: Float64[Array, "r"], score: Float64[Array, "r"]) -> float:
    """2 tp / (2 tp + fp + fn) at s > 0."""
    positive, called = y > 0, score > 0
    hits = int((positive & called).sum())
    return 2 * hits / (int(positive.sum()) + int(called.sum()))


def balanced_accuracy(y: Float64[Array, "r"], score: Float64[Array, "r"]) -> float:
    """Mean of the two classes' recalls at s > 0."""
    positive, called = y > 0, score > 0
    return float((called[positive].mean() + (~called[~positive]).mean()) / 2)


def roc_auc(y: Float64[Array, "r"], score: Float64[Array, "r"]) -> float:
    """(sum of the positives' ranks - P (P+1) / 2) / (P N), ties sharing their mean rank."""
    positive = y > 0
    _, inverse, count = np.unique(score, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    rank = (last - 0.5 * (count - 1))[inverse]
    above = int(positive.sum())
    below = len(y) - above
    return float((rank[positive].sum() - above * (above + 1) / 2) / (above * below))


def precision_recall(y: Float64[Array, "r"], score: Float64[Array, "r"]) -> Curve:
    """Precision and recall at every distinct score, thresholds increasing."""
    _check(y, score)
    threshold, inverse = np.unique(score, return_inverse=True)
    hits = np.bincount(inverse, y > 0, len(threshold))
    calls = np.bincount(inverse, minlength=len(threshold)).astype(float)
    hits, calls = (np.cumsum(part[::-1])[::-1] for part in (hits, calls))
    precision = np.append(hits / calls, 1.0)
    recall = np.append(hits / hits[0], 0.0)
    return Curve(precision, recall, threshold)


def average_precision(y: Float64[Array, "r"], score: Float64[Array, "r"]) -> float:
    """The step-wise area under the precision-recall curve."""
    curve = precision_recall(y, score)
    return float(-np.diff(curve.recall) @ curve.precision[:-1])


def _check(y: Array, score: Array) -> None:
    """Both classes present, one finite score per row."""
    if y.shape != score.shape or y.ndim != 1:
        raise ValueError(f"{y.shape} labels but {score.shape} scores; pass one score a row")
    if not np.isfinite(score).all():
        raise ValueError("the scores hold NaN or infinity")
    if not (y > 0).any() or not (y < 0).any():
        raise ValueError("the rows hold one class only; these metrics compare two")
