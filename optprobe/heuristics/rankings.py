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

    The ranking of Gurnee et al. 2023 and of TransformerLens' sparse probe. With W_+ and W_- the
    weights of the classes it is the covariance over 2 W_+ W_-.
    """
    above = problem.weights[problem.y > 0].sum()
    return np.abs(problem.data.covariance) / (2.0 * above * (1.0 - above))


def f_statistic(problem: Problem) -> Float64[Array, "d"]:
    """One-way analysis of variance of column j between the two classes, unweighted.

    F = (n_+ n_- / n) (difference of means)^2 / (within-class sum of squares / (n - 2)). Columns
    are standardised, so the total sum of squares is n (less where the scale floor acts), and F
    orders columns as the mean difference does unless rows of a class differ in weight.
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


def correlation(problem: Problem) -> Float64[Array, "d"]:
    """|c_j| / (s_j s_y): the weighted (point-biserial) correlation of column j with y.

    c_j = sum_i w_i z_ij (y_i - ybar), s_j^2 = sum_i w_i (z_ij - zbar_j)^2, all means weighted. The
    mean difference is |c_j| up to a constant; this divides by the column's own weighted
    deviation, which balanced weights move away from 1. With uniform weights the order is that of
    the F statistic.
    """
    y, w, matrix = problem.y, problem.weights, problem.matrix
    centred = y - w @ y
    covariance, mean = matrix.correlations(np.stack([w * centred, w]))
    square = matrix.squares(w[None])[0]
    variance = square - mean * mean
    varies = variance > 16.0 * matrix.roundoff * np.maximum(square, mean * mean)
    spread = np.sqrt(np.where(varies, variance, 1.0) * (w @ (centred * centred)))
    return np.where(varies, np.abs(covariance) / spread, 0.0)


def random_order(
    problem: Problem, ks: Sequence[int], columns: Int[Array, "p"], rng: np.random.Generator
) -> Iterator[tuple[int, Int[Array, "k"]]]:
    """The first k of one random order of the columns: the floor of every comparison."""
    order = rng.permutation(columns)
    for k in ks:
        yield k, order[:k]
