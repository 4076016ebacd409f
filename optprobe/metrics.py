"""How well scores s_i = z_i . beta + b tell two classes apart on held-out rows.

    F1, MCC, balanced accuracy              of the calls "positive where s > 0"
    ROC-AUC, average precision, PR-AUC      over all thresholds

with the formulas of `confusion.py`, as scikit-learn computes them (PR-AUC is the trapezoid rule on
its precision-recall curve). Rows are unweighted unless weights are given; a weight of 2 counts a
row twice, which is how the bootstrap resamples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int

from optprobe import confusion
from optprobe.problem import Problem

Array = np.ndarray


@dataclass(frozen=True)
class Metrics:
    """Scores of one probe on one set of rows, larger is better.

    The MCC lies in [-1, 1], all others in [0, 1].
    """

    f1: float
    balanced_accuracy: float
    roc_auc: float
    average_precision: float
    pr_auc: float
    mcc: float


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
    """The metrics on the test rows; None without test rows or with one class only there."""
    rows = problem.data.test
    y = problem.data.y[rows]
    if not (y > 0).any() or not (y < 0).any():
        return None
    return evaluate(y, scores(problem, support, beta, intercept, rows))


def evaluate(
    y: Float64[Array, "r"],
    score: Float64[Array, "r"],
    weights: Float64[Array, "r"] | None = None,
) -> Metrics:
    """All metrics of scores against labels.

    Args:
        y: -1 or +1 per row; both must occur, with a weight above 0.
        score: one finite number per row.
        weights: one >= 0 per row; None counts every row once.

    Raises:
        ValueError: arrays that disagree, NaN or infinity, negative weights, one class only.
    """
    each = np.ones((1, len(y))) if weights is None else weights[None]
    found = evaluate_weighted(y, score, each)
    return Metrics(**{name: float(values[0]) for name, values in found.items()})


def evaluate_weighted(
    y: Float64[Array, "r"], score: Float64[Array, "r"], weights: Float64[Array, "batch r"]
) -> dict[str, Float64[Array, "batch"]]:
    """`evaluate` under every row of weights, by the names of `Metrics`; sorts once."""
    _check(y, score, weights)
    table = confusion.table(y, score[None] > 0, weights)
    stairs = confusion.staircase(y, score, weights)
    return {
        "f1": confusion.f1(table),
        "balanced_accuracy": confusion.balanced_accuracy(table),
        "roc_auc": confusion.roc_auc(stairs),
        "average_precision": confusion.average_precision(stairs),
        "pr_auc": confusion.pr_auc(stairs),
        "mcc": confusion.mcc(table),
    }


def precision_recall(y: Float64[Array, "r"], score: Float64[Array, "r"]) -> Curve:
    """Precision and recall at every distinct score, thresholds increasing."""
    unweighted = np.ones((1, len(y)))
    _check(y, score, unweighted)
    stairs = confusion.staircase(y, score, unweighted)
    precision = confusion.precision(stairs)[0, ::-1]
    recall = stairs.hits[0, ::-1] / stairs.hits[0, -1]
    return Curve(np.append(precision, 1.0), np.append(recall, 0.0), np.unique(score))


def _check(y: Array, score: Array, weights: Array) -> None:
    """Both classes present, one finite score per row, no negative weight."""
    if y.shape != score.shape or y.ndim != 1:
        raise ValueError(f"{y.shape} labels but {score.shape} scores; pass one score a row")
    if weights.shape[1:] != y.shape:
        raise ValueError(f"{weights.shape[1:]} weights but {y.shape} labels; pass one a row")
    if not np.isfinite(score).all():
        raise ValueError("the scores hold NaN or infinity")
    if not np.isfinite(weights).all() or (weights < 0.0).any():
        raise ValueError("weights must be finite and not negative")
    positive = y > 0
    for side in (positive, ~positive):
        if not side.any() or not (weights[:, side].sum(axis=1) > 0.0).all():
            raise ValueError("the rows hold one class only; these metrics compare two")
