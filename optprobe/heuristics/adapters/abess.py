"""Adaptive best-subset selection by the package abess (Zhu et al. 2020, Zhang et al. 2023)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Int

from optprobe.heuristics.adapters.columns import largest
from optprobe.problem import Problem

Array = np.ndarray


def abess(
    problem: Problem, ks: Sequence[int], columns: Int[Array, "p"], rng: np.random.Generator
) -> Iterator[tuple[int, Int[Array, "k"]]]:
    """Splicing for every k on our own objective: n times the weighted logistic loss and ridge.

    abess sums over the rows where we average, so its weights are n w_i and its ridge n lam / 2; it
    would rescale the columns, were it not told that they are scaled. It fits the logistic loss
    whatever the problem's. It takes no seed and holds the training rows in float64.
    """
    from abess.linear import LogisticRegression

    Z = problem.matrix.columns(columns).T
    n = len(Z)
    for k in ks:
        model = LogisticRegression(support_size=k, alpha=0.5 * n * problem.lam)
        model.fit(Z, problem.y > 0, is_normal=False, sample_weight=n * problem.weights)
        yield k, largest(problem, columns, np.asarray(model.coef_, np.float64), k)
