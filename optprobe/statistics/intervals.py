"""Confidence intervals of held-out metrics, by resampling documents.

    theta*_b = metric with every group drawn Multinomial(G; 1/G, ..., 1/G) times,   b = 1..B
    interval = the (1 - level)/2 and (1 + level)/2 quantiles of theta*_1..B

the percentile interval of Efron and Tibshirani 1993 (chapter 13) over clusters (Field and Welsh
2007): the rows of a group stay together, because tokens of one document repeat each other and a
bootstrap over rows would claim far more precision than there is. It tells how the metrics of these
fitted probes vary over test documents, not over training sets. With few groups (below 20 or so)
it is too narrow, as every cluster bootstrap is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int

from optprobe.metrics import Metrics, evaluate, evaluate_weighted

Array = np.ndarray

CHUNK = 2**21
"""Resamples x rows held at once."""


@dataclass(frozen=True)
class Bootstrap:
    """Percentile intervals of every metric.

    Attributes:
        estimate: on the rows themselves (of a difference: first probe less second).
        low, high: ends of the interval of each metric; the intervals are not joint.
        level: the share of resamples within each.
        resamples: how many were used.
        dropped: how many more held one class only, where no metric is defined.
    """

    estimate: Metrics
    low: Metrics
    high: Metrics
    level: float
    resamples: int
    dropped: int


def bootstrap(
    y: Float64[Array, "r"],
    score: Float64[Array, "r"],
    groups: Array | None = None,
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Bootstrap:
    """Intervals of one probe's metrics.

    Args:
        y: -1 or +1 per row.
        score: one per row; positive calls the positive class.
        groups: one per row, e.g. the document; None lets every row stand alone.
        resamples: how many.
        level: of the intervals, in (0, 1).
        seed: of the resamples.

    Raises:
        ValueError: arrays that disagree, NaN, one class or one group only, level or resamples out
            of range, or not one resample with both classes.
    """

    def measure(weights: Float64[Array, "batch r"]) -> dict[str, Float64[Array, "batch"]]:
        return evaluate_weighted(y, score, weights)

    return _intervals(y, groups, measure, evaluate(y, score), resamples, level, seed)


def bootstrap_difference(
    y: Float64[Array, "r"],
    score_a: Float64[Array, "r"],
    score_b: Float64[Array, "r"],
    groups: Array | None = None,
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Bootstrap:
    """Intervals of metric(a) - metric(b), both probes on the same resamples (paired).

    Two probes are alike on most rows, so this is far narrower than two intervals side by side.
    An interval without 0 tells them apart at that level, metric by metric. Arguments and errors
    are those of `bootstrap`.
    """

    def measure(weights: Float64[Array, "batch r"]) -> dict[str, Float64[Array, "batch"]]:
        a, b = (evaluate_weighted(y, score, weights) for score in (score_a, score_b))
        return {name: a[name] - b[name] for name in a}

    whole = measure(np.ones((1, len(y))))
    estimate = Metrics(**{name: float(values[0]) for name, values in whole.items()})
    return _intervals(y, groups, measure, estimate, resamples, level, seed)


def _intervals(
    y: Float64[Array, "r"],
    groups: Array | None,
    measure: Callable[[Float64[Array, "batch r"]], dict[str, Float64[Array, "batch"]]],
    estimate: Metrics,
    resamples: int,
    level: float,
    seed: int,
) -> Bootstrap:
    """Quantiles of what `measure` says of every resample with both classes."""
    if resamples < 1 or not 0.0 < level < 1.0:
        raise ValueError(
            f"resamples={resamples}, level={level}: pass resamples >= 1 and a level between 0 and "
            "1, such as 0.95"
        )
    group = _numbered(y, groups)
    positive, found, dropped = y > 0, list[dict[str, Array]](), 0
    for weights in _resamples(group, resamples, np.random.default_rng(seed)):
        both = _both_classes(weights, positive)
        dropped += int((~both).sum())
        if both.any():
            found.append(measure(weights[both]))
    if not found:
        raise ValueError(
            f"none of {resamples} resamples held both classes: one class is in too few groups; "
            "hold out more of them"
        )
    tails = ((1.0 - level) / 2.0, (1.0 + level) / 2.0)
    ends = {
        name: np.quantile(np.concatenate([part[name] for part in found]), tails)
        for name in found[0]
    }
    low, high = (
        Metrics(**{name: float(values[side]) for name, values in ends.items()}) for side in (0, 1)
    )
    return Bootstrap(estimate, low, high, level, resamples - dropped, dropped)


def _numbered(y: Float64[Array, "r"], groups: Array | None) -> Int[Array, "r"]:
    """Groups as 0, 1, ..."""
    if groups is None:
        return np.arange(len(y))
    if np.shape(groups) != y.shape:
        raise ValueError(f"{len(y)} labels but groups of shape {np.shape(groups)}; pass one a row")
    found, group = np.unique(groups, return_inverse=True)
    if len(found) < 2:
        raise ValueError("all rows are of one group: nothing varies over groups; pass two or more")
    return group


def _resamples(
    group: Int[Array, "r"], count: int, rng: np.random.Generator
) -> Iterator[Float64[Array, "batch r"]]:
    """How often every row is drawn, a chunk of resamples at a time."""
    number = int(group.max()) + 1
    step = max(1, CHUNK // len(group))
    for first in range(0, count, step):
        size = min(step, count - first)
        drawn = rng.integers(number, size=(size, number)) + number * np.arange(size)[:, None]
        times = np.bincount(drawn.ravel(), minlength=size * number).reshape(size, number)
        yield times[:, group].astype(np.float64)


def _both_classes(
    weights: Float64[Array, "batch r"], positive: Bool[Array, "r"]
) -> Bool[Array, "batch"]:
    """Whether a resample holds rows of both classes."""
    return (weights[:, positive].sum(axis=1) > 0.0) & (weights[:, ~positive].sum(axis=1) > 0.0)
