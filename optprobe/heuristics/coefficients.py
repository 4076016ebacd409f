"""Rankings by |beta_j| of the dense ridge probe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float64, Int

from optprobe.heuristics.base import Method, ranked
from optprobe.losses import get_loss
from optprobe.problem import Problem
from optprobe.support.dense import fit_dense

Array = np.ndarray

ACCURACY = 1e-6
"""Of the fits: enough for the order of the first columns, ties apart."""


def by_coefficient(loss: str) -> Method:
    """The columns of largest |beta_j| in the dense probe of this loss, at the problem's ridge."""

    def choose(
        problem: Problem, ks: Sequence[int], columns: Int[Array, "p"], rng: np.random.Generator
    ) -> Iterator[tuple[int, Int[Array, "k"]]]:
        return ranked(coefficient_sizes(problem, columns, loss), ks, columns)

    return choose


def coefficient_sizes(problem: Problem, columns: Int[Array, "p"], loss: str) -> Float64[Array, "d"]:
    """|beta_j| of the dense probe on these columns, 0 elsewhere."""
    rows = replace(problem.rows, loss=get_loss(loss))
    # Constant columns are 0 in Z and get no coefficient: all columns need no copy.
    inside = None if len(columns) == len(problem.usable) else columns
    beta = fit_dense(problem.matrix, rows, inside, accuracy=ACCURACY).beta
    sizes = np.zeros(problem.d)
    sizes[slice(None) if inside is None else columns] = np.abs(beta)
    return sizes
