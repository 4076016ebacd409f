"""The first incumbent of the native engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Int

from optprobe.heuristics.fits import Incumbent, best_of, fit_many
from optprobe.heuristics.greedy import greedy
from optprobe.heuristics.swaps import swap
from optprobe.losses import Hinge, SoftHinge
from optprobe.matrix import DesignMatrix
from optprobe.relaxation import Relaxed
from optprobe.rows import Rows

Array = np.ndarray

ROUND = 0.05
"""How far the hinge is rounded off while supports are searched: fits then take Newton's method."""

SAME = 1e-9
"""Relative difference below which two objectives are those of one support."""


def rounded(
    matrix: DesignMatrix, rows: Rows, k: int, usable: Int[Array, "p"], relaxed: Relaxed
) -> Incumbent:
    """The k columns of largest relaxed coefficient (of largest gain, where it has fewer)."""
    rank = np.lexsort((-relaxed.gain[0, usable], -np.abs(relaxed.beta[0, usable])))
    support = np.sort(usable[rank[:k]])
    return _fitted(matrix, rows, support)


def first_incumbent(
    matrix: DesignMatrix,
    rows: Rows,
    k: int,
    usable: Int[Array, "p"],
    known: Sequence[Int[Array, "s"]],
    start: Incumbent | None,
    stop: Callable[[], bool],
) -> Incumbent:
    """Single swaps from the best of greedy and a given start, and from each of the known supports
    of size k or k - 1, to these any column added (the swaps exchange it for the best one).

    The hinge is rounded off until the support is chosen.

    Args:
        matrix: standardised columns; where the search is about few of them, it works on a copy.
        rows: labels, weights, loss and ridge.
        k: columns of the incumbent.
        usable: columns that may be chosen beside those of the known supports.
        known: supports of other solves.
        start: an incumbent to improve.
        stop: whether to give up improving.
    """
    given = [] if start is None else [start.support]
    inside = np.unique(np.concatenate([usable, *known, *given]))
    if 2 * len(inside) > matrix.shape[1]:
        inside, few = np.arange(matrix.shape[1]), matrix
    else:
        few = matrix.restrict(inside)
    usable = np.searchsorted(inside, usable)
    near = rows
    if isinstance(rows.loss, Hinge):
        near = replace(rows, loss=SoftHinge(ROUND))
    begun = [_fitted(few, near, np.searchsorted(inside, support)) for support in given]
    first = min([*begun, greedy(few, near, k, usable, stop)], key=_objective)
    found: list[Incumbent] = []
    for support in (np.searchsorted(inside, support) for support in known):
        if len(support) == k - 1:
            filler = np.setdiff1d(usable, support)[:1]
            support = np.sort(np.append(support, filler))
        if len(support) == k:
            found.append(swap(few, near, _fitted(few, near, support), usable, stop))
    if all(first.objective < one.objective * (1.0 - SAME) for one in found):
        found.append(swap(few, near, first, usable, stop))
    best = min(found, key=_objective)
    best = _fitted(matrix, rows, inside[best.support])
    return best if start is None else min(best, start, key=_objective)


def _fitted(matrix: DesignMatrix, rows: Rows, support: Int[Array, "s"]) -> Incumbent:
    return best_of(support[None], fit_many(matrix.columns, rows, support[None]))


def _objective(found: Incumbent) -> float:
    return found.objective
