"""Single swaps: exchange one column at a time while that helps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from jaxtyping import Int

from optprobe.heuristics.fits import Incumbent, best_of, fit_many, gains_at, shortlist
from optprobe.heuristics.greedy import selection
from optprobe.heuristics.model import additions
from optprobe.matrix import DesignMatrix
from optprobe.problem import Problem
from optprobe.support import Rows

Array = np.ndarray


HOPE = 1.5
"""An exchange is fitted only if HOPE times the promised gain would beat the incumbent."""

ENTRANTS = 256
"""Columns that the model looks at, those of largest gain."""

TRIES = 2
"""At most TRIES shortlists of exchanges are fitted before the best of them is made."""


def swap(
    matrix: DesignMatrix,
    rows: Rows,
    incumbent: Incumbent,
    usable: Int[Array, "p"],
    stop: Callable[[], bool] = lambda: False,
) -> Incumbent:
    """Exchange one column at a time while that helps, each time the best exchange found.

    For every column that leaves, the most promising entries (`model.py`) are fitted.
    """
    while not stop():
        support = incumbent.support
        size = len(support)
        outside = np.setdiff1d(usable, support)
        if not len(outside):
            return incumbent
        kept = np.array([np.delete(support, i) for i in range(size)]).reshape(size, size - 1)
        without = fit_many(matrix.columns, rows, kept)
        # P(S - s + j) >= P(S - s) - g_j: most columns cannot help, whatever they replace.
        gain = gains_at(matrix, rows, kept, without).gain[:, outside]
        lowest = (without.primal[:, None] - gain).min(axis=0)
        first = np.argsort(lowest, kind="stable")[:ENTRANTS]
        entrants = np.sort(outside[first[lowest[first] < incumbent.objective]])
        if not len(entrants):
            return incumbent
        columns = np.union1d(support, entrants)
        small, inside = matrix.restrict(columns), np.searchsorted(columns, kept)
        promise = additions(small, rows, inside, without).gain[:, np.isin(columns, entrants)]
        hope = without.primal[:, None] - HOPE * promise
        best = np.argsort(hope, axis=None, kind="stable")[: TRIES * shortlist(rows)]
        best = best[hope.ravel()[best] < incumbent.objective]
        if not len(best):
            return incumbent
        leaving, entering = np.unravel_index(best, hope.shape)
        batch = np.concatenate([kept[leaving], entrants[entering][:, None]], axis=1)
        start = np.concatenate([without.beta, np.zeros((size, 1)), without.intercept[:, None]], 1)
        cutoff = incumbent.objective * (1.0 - 1e-12)
        tried = fit_many(matrix.columns, rows, batch, start=start[leaving], cutoff=cutoff)
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
    for found in selection(matrix, rows, ks, columns):
        yield len(found.support), swap(matrix, rows, found, columns).support
