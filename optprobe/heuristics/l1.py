"""The lasso's choice: the columns that enter an L1-penalised logistic regression first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float64, Int

from optprobe.heuristics.base import ranked
from optprobe.losses import Logistic
from optprobe.problem import Problem

Array = np.ndarray

GRID = 40
"""Penalties tried, from the one at which the first column enters down to 1/1000 of it."""

TOLERANCE = 1e-3
"""Of liblinear's own stopping rule."""

SLACK = 1e-2
"""Relative: how far |v_j| of a column left out of a fit may pass the penalty."""


def l1_path(
    problem: Problem, ks: Sequence[int], columns: Int[Array, "p"], rng: np.random.Generator
) -> Iterator[tuple[int, Int[Array, "k"]]]:
    """For every k the k largest coefficients at the strongest L1 penalty with at least k of them.

    min over beta, b of  sum_i w_i ln(1 + e^-m_i) + r (||beta||_1 + |b|), whatever the problem's
    loss, by scikit-learn's liblinear, which penalises the intercept too. Each fit is one of a few
    columns and one pass over the activations: with v_j the derivative at the fit before, the
    sequential strong rule leaves out |v_j| < 2 r - r_before (Tibshirani et al. 2012), and a column
    that was left out wrongly, |v_j| > r after the fit, joins another one.
    """
    zero = np.zeros(problem.d)
    slopes = _slopes(problem, np.zeros(len(problem.y)))[columns]
    path = float(slopes.max()) * np.logspace(0, -3, GRID)
    active, sizes, left = columns[:0], zero, list(ks)
    for before, strength in pairwise(path):
        entering = columns[slopes >= 2.0 * strength - before]
        while True:
            active = np.union1d(active, entering)
            sizes = zero.copy()
            sizes[active], scores = _fit(problem, active, strength)
            slopes = _slopes(problem, scores)[columns]
            entering = np.setdiff1d(columns[slopes > strength * (1.0 + SLACK)], active)
            if not len(entering):
                break
        reached = [k for k in left if k <= np.count_nonzero(sizes)]
        yield from ranked(sizes, reached, columns)
        left = left[len(reached) :]
        if not left:
            return
    yield from ranked(sizes, left, columns)


def _slopes(problem: Problem, scores: Float64[Array, "n"]) -> Float64[Array, "d"]:
    """|v_j| = |sum_i w_i y_i a(m_i) z_ij|, a pass over the activations."""
    dual = Logistic().dual(problem.y * scores)
    return np.abs(problem.matrix.correlations((problem.weights * problem.y * dual)[None])[0])


def _fit(
    problem: Problem, active: Int[Array, "a"], strength: float
) -> tuple[Float64[Array, "a"], Float64[Array, "n"]]:
    """|beta| on some columns, and the scores z_i . beta + b of every row."""
    from sklearn.linear_model import LogisticRegression

    Z = problem.matrix.columns(active).T
    model = LogisticRegression(
        l1_ratio=1.0, C=1.0 / strength, solver="liblinear", tol=TOLERANCE, random_state=0
    )
    model.fit(Z, problem.y, sample_weight=problem.weights)
    beta = np.ravel(model.coef_)
    return np.abs(beta), Z @ beta + model.intercept_
