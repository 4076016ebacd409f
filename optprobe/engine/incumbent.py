"""Incumbents of the native engine: before its search and, for the hinge, in one that takes long."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float64, Int

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
    return _fit(matrix, rows, np.sort(usable[rank[:k]]))


def selected(
    matrix: DesignMatrix,
    rows: Rows,
    k: int,
    usable: Int[Array, "p"],
    known: Sequence[Int[Array, "s"]],
    stop: Callable[[], bool],
) -> Incumbent:
    """Forward selection from the last known support of fewer than k columns, if there is one; a
    known support of k columns, if that is better."""
    most = min(k, len(usable))
    start = next((support for support in reversed(known) if len(support) < most), None)
    found = [_fitted(matrix, rows, greedy(matrix, _near(rows), k, usable, stop, start))]
    found += [_fit(matrix, rows, support) for support in known if len(support) == k]
    return min(found, key=_objective)


def first_incumbent(
    matrix: DesignMatrix,
    rows: Rows,
    k: int,
    usable: Int[Array, "p"],
    known: Sequence[Int[Array, "s"]],
    start: Incumbent,
    stop: Callable[[], bool],
) -> Incumbent:
    """Single swaps from a given start, from a greedy one if that is better, and from each of the
    known supports of size k or k - 1 that the start does not have, to these any column added (the
    swaps exchange it for the best one).

    The hinge is rounded off until the support is chosen; its start, `selected` or what the search
    has found since, is greedy or better.

    Args:
        matrix: standardised columns; where the search is about few of them, it works on a copy.
        rows: labels, weights, loss and ridge.
        k: columns of the incumbent.
        usable: columns that may be chosen beside those of the known supports.
        known: supports of other solves.
        start: an incumbent to improve.
        stop: whether to give up improving.
    """
    known = [support for support in known if not np.isin(support, start.support).all()]
    inside = np.unique(np.concatenate([usable, *known, start.support]))
    if 2 * len(inside) > matrix.shape[1]:
        inside, few = np.arange(matrix.shape[1]), matrix
    else:
        few = matrix.restrict(inside)
    usable = np.searchsorted(inside, usable)
    near = _near(rows)
    first = _fitted(few, near, replace(start, support=np.searchsorted(inside, start.support)))
    if not isinstance(rows.loss, Hinge):
        first = min(first, greedy(few, near, k, usable, stop), key=_objective)
    found: list[Incumbent] = []
    for support in (np.searchsorted(inside, support) for support in known):
        if len(support) == k - 1:
            filler = np.setdiff1d(usable, support)[:1]
            support = np.sort(np.append(support, filler))
        if len(support) == k:
            found.append(swap(few, near, _fit(few, near, support), usable, stop))
    if all(first.objective < one.objective * (1.0 - SAME) for one in found):
        found.append(swap(few, near, first, usable, stop))
    best = min(found, key=_objective)
    best = replace(best, support=inside[best.support])
    if np.array_equal(best.support, start.support):
        return start
    return min(_fitted(matrix, rows, best), start, key=_objective)


def _near(rows: Rows) -> Rows:
    """With the hinge rounded off."""
    return replace(rows, loss=SoftHinge(ROUND)) if isinstance(rows.loss, Hinge) else rows


def _fitted(matrix: DesignMatrix, rows: Rows, near: Incumbent) -> Incumbent:
    """The same support for this loss, from coefficients for another."""
    return _fit(matrix, rows, near.support, np.append(near.beta, near.intercept)[None])


def _fit(
    matrix: DesignMatrix,
    rows: Rows,
    support: Int[Array, "s"],
    start: Float64[Array, "1 s1"] | None = None,
) -> Incumbent:
    return best_of(support[None], fit_many(matrix.columns, rows, support[None], start=start))


def _objective(found: Incumbent) -> float:
    return found.objective
