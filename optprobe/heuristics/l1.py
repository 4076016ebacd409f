"""The lasso's choice: the columns that enter an L1-penalised logistic regression first."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from optprobe.problem import Problem

Array = np.ndarray

GRID = 40
"""Penalties tried, from the one at which the first column enters down to 1/1000 of it."""


def l1_logistic(problem: Problem) -> Int[Array, "k"]:
    """The k largest coefficients at the strongest L1 penalty that leaves at least k of them.

    min over beta, b of  C sum_i n w_i ln(1 + e^-m_i) + ||beta||_1, whatever the problem's loss, by
    scikit-learn's liblinear on the dense training rows (which penalises the intercept too).
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import l1_min_c

    columns = problem.usable
    Z = problem.matrix.columns(columns).T
    least = float(l1_min_c(Z, problem.y, loss="log"))
    model = LogisticRegression(l1_ratio=1.0, solver="liblinear", tol=1e-3, random_state=0)
    sizes = np.zeros(len(columns))
    for strength in least * np.logspace(0, 3, GRID):
        model.set_params(C=strength)
        model.fit(Z, problem.y, sample_weight=problem.weights * len(problem.y))
        sizes = np.abs(model.coef_[0])
        if np.count_nonzero(sizes) >= problem.k:
            break
    best = np.argsort(-sizes, kind="stable")[: problem.k]
    return np.sort(columns[best])
