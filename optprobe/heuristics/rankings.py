"""Scores of single columns, larger is better; one pass over the activations each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from jaxtyping import Float64, Int

from optprobe.heuristics.base import Method, ranked
from optprobe.problem import Problem

Array = np.ndarray


def ranking(score: Callable[[Problem], Float64[Array, "d"]]) -> Method:
    """The heuristic that takes the columns of largest score."""

    def choose(
        problem: Problem, ks: Sequence[int], columns: Int[Array, "p"], rng: np.random.Generator
    ) -> Iterator[tuple[int, Int[Array, "k"]]]:
        return ranked(score(problem), ks, columns)

    return choose


def mean_difference(problem: Problem) -> Float64[Array, "d"]:
    """|weighted mean of z_j over the positive rows - over the negative rows|.

    The ranking of Gurnee et al. 2023 and of TransformerLens' sparse probe.
    """
    y, w = problem.y, problem.weights
    side = np.stack([np.where(y > 0, w, 0.0), np.where(y < 0, w, 0.0)])
    side /= side.sum(axis=1, keepdims=True)
    means = problem.matrix.correlations(side)
    return np.abs(means[0] - means[1])


def f_statistic(problem: Problem) -> Float64[Array, "d"]:
    """One-way analysis of variance of column j between the two classes, unweighted.

    F = (n_+ n_- / n) (difference of means)^2 / (within-class sum of squares / (n - 2)). Columns
    are standardised, so the total sum of squares is n (less where the scale floor acts).
    """
    y = problem.y
    n, above = len(y), float((y > 0).sum())
    below = n - above
    side = np.stack([(y > 0) / above, (y < 0) / below])
    means = problem.matrix.correlations(side)
    between = above * below / n * (means[0] - means[1]) ** 2
    by = problem.data.by
    total = np.where(by.constant, 1.0, n * by.variance / by.scale**2)
    within = np.maximum(total - between, 1e-12 * n)
    return np.where(by.constant, 0.0, between / (within / max(n - 2, 1)))
