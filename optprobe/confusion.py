"""Metrics from confusion counts, a batch at a time: of scores, or of row weights.

With tp and fp the weight of the rows called positive, P and N that of the classes,

    F1                  2 tp / (P + tp + fp)
    balanced accuracy   (tp / P + (N - fp) / N) / 2
    MCC                 (tp N - fp P) / sqrt(P N (tp + fp) (P + N - tp - fp)),   0 if all are called
                        alike                                                   [Matthews 1975]

and over falling thresholds t = 1, 2, ... from tp_0 = fp_0 = 0, precision_0 = 1,

    ROC-AUC             sum_t (fp_t - fp_t-1) (tp_t + tp_t-1) / (2 P N)
    average precision   sum_t (tp_t - tp_t-1) / P  precision_t
    PR-AUC              sum_t (tp_t - tp_t-1) / P  (precision_t + precision_t-1) / 2

The last two are the same curve by steps and by the trapezoid rule, which is the figure of Gurnee et
al. 2023; straight lines between its points are optimistic where many scores tie [Davis and
Goadrich 2006].
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int

Array = np.ndarray


class Table(NamedTuple):
    """Weights of one confusion table per entry: called positive in each class, and the classes."""

    hits: Float64[Array, "*batch"]
    alarms: Float64[Array, "*batch"]
    positives: Float64[Array, "*batch"]
    negatives: Float64[Array, "*batch"]


class Staircase(NamedTuple):
    """Weight of the rows of each class at or above falling thresholds; the last takes every row.

    A threshold may come twice: it adds nothing to any area.
    """

    hits: Float64[Array, "batch t"]
    alarms: Float64[Array, "batch t"]


def table(
    y: Float64[Array, "r"], called: Bool[Array, "#batch r"], weights: Float64[Array, "#batch r"]
) -> Table:
    """The tables of some calls under one set of weights, or of one set of calls under many."""
    above, below = np.where(y > 0, weights, 0.0), np.where(y > 0, 0.0, weights)
    return Table(
        np.sum(above * called, axis=1),
        np.sum(below * called, axis=1),
        above.sum(axis=1),
        below.sum(axis=1),
    )


def staircase(
    y: Float64[Array, "r"], score: Float64[Array, "r"], weights: Float64[Array, "batch r"]
) -> Staircase:
    """One sort of the scores for all rows of weights, one threshold per distinct score."""
    order = np.argsort(-score, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(score[order])), len(order) - 1)
    sorted_weights, positive = weights[:, order], y[order] > 0
    return Staircase(
        np.cumsum(sorted_weights * positive, axis=1)[:, ends],
        np.cumsum(sorted_weights * ~positive, axis=1)[:, ends],
    )


def staircases(
    y: Float64[Array, "r"], score: Float64[Array, "batch r"], order: Int[Array, "batch r"]
) -> Staircase:
    """One staircase per row of scores, every row of data counting once.

    Args:
        y: -1 or +1.
        score: a batch of scores of the same rows.
        order: np.argsort(-score); thresholds inside a tie count the whole tie.
    """
    place = np.arange(score.shape[1])
    falling = np.take_along_axis(score, order, axis=1)
    tied = np.diff(falling, axis=1) == 0.0
    last = np.full(score.shape, len(place) - 1)
    last[:, :-1] = np.where(tied, len(place) - 1, place[:-1])
    last = np.minimum.accumulate(last[:, ::-1], axis=1)[:, ::-1]
    hits = np.cumsum((y > 0)[order], axis=1, dtype=np.float64)
    hits = np.take_along_axis(hits, last, axis=1)
    return Staircase(hits, last + 1.0 - hits)


def f1(of: Table) -> Float64[Array, "*batch"]:
    """2 tp / (P + tp + fp)."""
    return 2.0 * of.hits / (of.positives + of.hits + of.alarms)


def balanced_accuracy(of: Table) -> Float64[Array, "*batch"]:
    """Mean of the two classes' recalls."""
    return (of.hits / of.positives + (of.negatives - of.alarms) / of.negatives) / 2.0


def mcc(of: Table) -> Float64[Array, "*batch"]:
    """The correlation of call and class, 0 where every row is called alike."""
    called = of.hits + of.alarms
    spread = called * (of.positives + of.negatives - called)
    root = np.sqrt(np.where(spread > 0.0, spread, 1.0)) * np.sqrt(of.positives * of.negatives)
    agreement = of.hits * of.negatives - of.alarms * of.positives
    return np.where(spread > 0.0, agreement / root, 0.0)


def roc_auc(of: Staircase) -> Float64[Array, "batch"]:
    """P(s+ > s-) + P(s+ = s-) / 2."""
    height = of.hits + _before(of.hits, 0.0)
    area = np.sum(np.diff(of.alarms, axis=1, prepend=0.0) * height, axis=1)
    return area / (2.0 * of.hits[:, -1] * of.alarms[:, -1])


def average_precision(of: Staircase) -> Float64[Array, "batch"]:
    """The precision-recall curve by steps."""
    step = np.diff(of.hits, axis=1, prepend=0.0)
    return np.sum(step * precision(of), axis=1) / of.hits[:, -1]


def pr_auc(of: Staircase) -> Float64[Array, "batch"]:
    """The precision-recall curve by the trapezoid rule."""
    step, height = np.diff(of.hits, axis=1, prepend=0.0), precision(of)
    height = height + _before(height, 1.0)
    return np.sum(step * height, axis=1) / (2.0 * of.hits[:, -1])


def precision(of: Staircase) -> Float64[Array, "batch t"]:
    """tp / (tp + fp), 1 where nothing is called."""
    called = of.hits + of.alarms
    return np.where(called > 0.0, of.hits / np.where(called > 0.0, called, 1.0), 1.0)


def _before(values: Float64[Array, "batch t"], first: float) -> Float64[Array, "batch t"]:
    """Every entry's predecessor."""
    return np.concatenate([np.full((len(values), 1), first), values[:, :-1]], axis=1)
