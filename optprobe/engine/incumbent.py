"""The first incumbent of the native engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Int

from optprobe.heuristics.fits import Incumbent, best_of, fit_many
from optprobe.heuristics.greedy import greedy
from optprobe.heuristics.swaps import swap
from optprobe.matrix import DesignMatrix
from optprobe.relaxation import Relaxed
from optprobe.rows import Rows

Array = np.ndarray


def rounded(
    matrix: DesignMatrix, rows: Rows, k: int, usable: Int[Array, "p"], relaxed: Relaxed
) -> Incumbent:
    """The k columns of largest relaxed coefficient (of largest gain, where it has fewer)."""
    rank = np.lexsort((-relaxed.gain[0, usable], -np.abs(relaxed.beta[0, usable])))
    support = np.sort(usable[rank[:k]])
    return best_of(support[None], fit_many(matrix.columns, rows, support[None]))


def first_incumbent(
    matrix: DesignMatrix,
    rows: Rows,
    k: int,
    usable: Int[Array, "p"],
    known: Sequence[Int[Array, "s"]],
    start: Incumbent | None,
    stop: Callable[[], bool],
) -> Incumbent:
    """Single swaps from the best of: greedy, a given start, the known supports of size k, and those
    of size k - 1 with any column added (the swaps exchange it for the best one).

    Args:
        matrix: standardised columns; where the search is about few of them, it works on a copy.
        rows: labels, weights, loss and ridge.
        k: columns of the incumbent.
        usable: columns that may be chosen beside those of the known supports.
        known: supports of other solves.
        start: an incumbent to improve.
        stop: whether to give up improving.
    """
    supports = [*known] if start is None else [*known, start.support]
    inside = np.unique(np.concatenate([usable, *supports]))
    if 2 * len(inside) > matrix.shape[1]:
        inside = np.arange(matrix.shape[1])
    else:
        matrix = matrix.restrict(inside)
    usable = np.searchsorted(inside, usable)
    best = greedy(matrix, rows, k, usable, stop)
    if start is not None:
        start = replace(start, support=np.searchsorted(inside, start.support))
        best = min(best, start, key=_objective)
    for support in (np.searchsorted(inside, support) for support in known):
        if len(support) == k - 1:
            filler = np.setdiff1d(usable, support)[:1]
            support = np.sort(np.append(support, filler))
        if len(support) == k:
            found = best_of(support[None], fit_many(matrix.columns, rows, support[None]))
            best = min(best, swap(matrix, rows, found, usable, stop), key=_objective)
    best = swap(matrix, rows, best, usable, stop)
    return replace(best, support=inside[best.support])


def _objective(found: Incumbent) -> float:
    return found.objective
