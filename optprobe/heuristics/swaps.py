"""Single swaps: exchange one column at a time while that helps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from jaxtyping import Int

from optprobe.heuristics.fits import Incumbent, best_of, fit_many, gains_at, shortlist
from optprobe.heuristics.greedy import greedy
from optprobe.matrix import DesignMatrix
from optprobe.problem import Problem
from optprobe.support import Rows

Array = np.ndarray


def swap(
    matrix: DesignMatrix,
    rows: Rows,
    incumbent: Incumbent,
    usable: Int[Array, "p"],
    stop: Callable[[], bool] = lambda: False,
) -> Incumbent:
    """Exchange one column at a time while that helps, each time the best exchange found."""
    while not stop():
        support = incumbent.support
        size = len(support)
        kept = np.array([np.delete(support, i) for i in range(size)]).reshape(size, size - 1)
        without = fit_many(matrix.columns, rows, kept)
        points = gains_at(matrix, rows, kept, without)
        supports, starts = [], []
        outside = np.setdiff1d(usable, support)
        for i in range(size):
            gain = points.gain[i, outside]
            top = np.argsort(-gain, kind="stable")[: shortlist(rows)]
            # P(S - s + j) >= P(S - s) - g_j: the rest cannot improve.
            top = top[without.primal[i] - gain[top] < incumbent.objective]
            for j in outside[top]:
                supports.append(np.append(kept[i], j))
                starts.append(np.concatenate([without.beta[i], [0.0, without.intercept[i]]]))
        if not supports:
            return incumbent
        batch = np.array(supports)
        cutoff = incumbent.objective * (1.0 - 1e-12)
        tried = fit_many(matrix.columns, rows, batch, start=np.array(starts), cutoff=cutoff)
        found = best_of(batch, tried)
        if found.objective >= cutoff:
            return incumbent
        incumbent = found
    return incumbent


def greedy_swaps(
    problem: Problem, ks: Sequence[int], columns: Int[Array, "p"], rng: np.random.Generator
) -> Iterator[tuple[int, Int[Array, "k"]]]:
    """Swaps from the greedy support of every k."""
    matrix, rows = problem.matrix, problem.rows
    for k in ks:
        yield k, swap(matrix, rows, greedy(matrix, rows, k, columns), columns).support
