"""Iterative pruning: solve, remove the best neuron, solve again.

A probe of WIDTH neurons is fitted by greedy selection and swaps; of its neurons the one that is
the best probe by itself is removed from the layer; again, until k neurons have been removed. They
are the support. Gurnee et al. 2023 ask with it whether one neuron carries a feature or many do: a
second best neuron that is nearly as good speaks for many. As a way to choose a support it ignores
that the removed neurons may all say the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Int

from optprobe.heuristics.fits import fit_many
from optprobe.heuristics.greedy import greedy
from optprobe.heuristics.swaps import swap
from optprobe.problem import Problem

Array = np.ndarray

WIDTH = 4
"""Neurons of the probe that is solved for at every step."""


def pruning_path(
    problem: Problem, ks: Sequence[int], columns: Int[Array, "p"], rng: np.random.Generator
) -> Iterator[tuple[int, Int[Array, "k"]]]:
    """The first k neurons removed, for every k."""
    matrix, rows = problem.matrix, problem.rows
    left, removed = columns, np.empty(0, int)
    while len(removed) < ks[-1]:
        found = greedy(matrix, rows, WIDTH, left)
        support = swap(matrix, rows, found, left).support
        alone = fit_many(matrix.columns, rows, support[:, None]).primal
        removed = np.append(removed, support[np.argmin(alone)])
        left = np.setdiff1d(left, removed)
        if len(removed) in ks:
            yield len(removed), removed
