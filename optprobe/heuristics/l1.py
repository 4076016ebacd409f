"""The lasso's choice: the columns that enter an L1-penalised logistic regression first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Int

from optprobe.problem import Problem

Array = np.ndarray

GRID = 40
"""Penalties tried, from the one at which the first column enters down to 1/1000 of it."""


def l1_path(
    problem: Problem, ks: Sequence[int], columns: Int[Array, "p"], rng: np.random.Generator
) -> Iterator[tuple[int, Int[Array, "k"]]]:
    """For every k the k largest coefficients at the strongest L1 penalty with at least k of them.

    min over beta, b of  C sum_i n w_i ln(1 + e^-m_i) + ||beta||_1, whatever the problem's loss, by
    scikit-learn's liblinear on the dense training rows (which penalises the intercept too).
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import l1_min_c

    Z = problem.matrix.columns(columns).T
    least = float(l1_min_c(Z, problem.y, loss="log"))
    model = LogisticRegression(l1_ratio=1.0, solver="liblinear", tol=1e-3, random_state=0)
    sizes, left = np.zeros(len(columns)), list(ks)
    for strength in least * np.logspace(0, 3, GRID):
        model.set_params(C=strength)
        model.fit(Z, problem.y, sample_weight=problem.weights * len(problem.y))
        sizes = np.abs(model.coef_[0])
        while left and np.count_nonzero(sizes) >= left[0]:
            k = left.pop(0)
            yield k, columns[np.argsort(-sizes, kind="stable")[:k]]
        if not left:
            return
    for k in left:
        yield k, columns[np.argsort(-sizes, kind="stable")[:k]]
