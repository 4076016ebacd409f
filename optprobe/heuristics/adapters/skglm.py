"""A non-convex penalty by the package skglm (Bertrand et al. 2022)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Int

from optprobe.heuristics.adapters.columns import largest
from optprobe.problem import Problem

Array = np.ndarray

EPSILON = 0.1
"""Of the penalty: the size from which a coefficient costs little more as it grows."""

GRID = 60
"""Penalties tried, from the one at which the first column enters down to 1/100 of it."""


def skglm(
    problem: Problem, ks: Sequence[int], columns: Int[Array, "p"], rng: np.random.Generator
) -> Iterator[tuple[int, Int[Array, "k"]]]:
    """For every k the k largest coefficients at the strongest penalty with at least k of them.

    min over beta, b of  mean_i ln(1 + e^-m_i) + r e sum_j ln(1 + |beta_j| / e), e = `EPSILON`
    (Candes, Wakin, Boyd 2008), each fit started from the one before. At 0 its slope is the lasso's
    r, but it shrinks what it keeps far less. skglm's logistic loss takes no weights and no ridge:
    with balanced weights this is another objective than the problem's. The first call of a
    process compiles for several seconds.
    """
    from skglm import GeneralizedLinearEstimator
    from skglm.datafits import Logistic
    from skglm.penalties import LogSumPenalty
    from skglm.solvers import ProxNewton
    from sklearn.exceptions import ConvergenceWarning

    Z, y = np.asfortranarray(problem.matrix.columns(columns).T), problem.y
    strongest = float(np.abs((y - y.mean()) @ Z).max()) / (2 * len(y))
    solver = ProxNewton(tol=1e-3, warm_start=True)
    model = GeneralizedLinearEstimator(Logistic(), solver=solver)
    left, beta = list(ks), np.zeros(len(columns))
    for strength in strongest * np.logspace(0, -2, GRID):
        model.penalty = LogSumPenalty(strength * EPSILON, EPSILON)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            beta = model.fit(Z, y).coef_.ravel()
        while left and np.count_nonzero(beta) >= left[0]:
            k = left.pop(0)
            yield k, largest(problem, columns, beta, k)
        if not left:
            return
    for k in left:
        yield k, largest(problem, columns, beta, k)
