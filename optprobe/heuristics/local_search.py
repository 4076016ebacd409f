"""Our local search: a beam, single swaps, pair swaps and restarts.

    1. beam search over the whole layer, for all sizes at once; what follows looks at the columns
       that were promising on its way (the pool), and ends with single swaps over the whole layer;
    2. single swaps from the best few supports of the beam, then pair swaps with single swaps after
       each, until neither helps;
    3. restarts: a third of the support leaves at random, promising columns take its place, and 2
       follows; the best support is the one that is disturbed.

Iterated local search (Lourenco, Martin and Stutzle 2003) on exact fits. It promises nothing: the
bound comes from `solve`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Int

from optprobe.heuristics.beam import COARSE, beam
from optprobe.heuristics.fits import Incumbent, best_of, fit_many
from optprobe.heuristics.model import additions
from optprobe.heuristics.pair_swaps import pair_swap
from optprobe.heuristics.swaps import swap
from optprobe.matrix import DenseMatrix, DesignMatrix
from optprobe.problem import Problem
from optprobe.support import Rows

Array = np.ndarray

STARTS = 3
"""Supports of the beam that single swaps start from."""

RESTARTS = 6
"""Disturbances in a row that may fail before the search ends."""

POOL = 64
"""Most promising columns of every size of the beam that the searches after it look at."""

CHOICES = 8
"""A disturbed support is filled again with one of so many of the most promising columns."""


def descend(
    matrix: DesignMatrix,
    rows: Rows,
    found: Incumbent,
    usable: Int[Array, "p"],
) -> Incumbent:
    """Single swaps and pair swaps until neither finds anything better."""
    while True:
        found = swap(matrix, rows, found, usable)
        better = pair_swap(matrix, rows, found, usable)
        if better is found:
            return found
        found = better


def disturbed(
    matrix: DesignMatrix,
    rows: Rows,
    found: Incumbent,
    usable: Int[Array, "p"],
    rng: np.random.Generator,
) -> Incumbent:
    """A third of the support (at least one column) exchanged for other promising columns."""
    size = len(found.support)
    kept = rng.permutation(found.support)[: size - max(1, size // 3)]
    others = np.setdiff1d(usable, found.support)
    while len(kept) < size and len(others):
        support = np.sort(kept)[None]
        fits = fit_many(matrix.columns, rows, support, accuracy=COARSE)
        gain = additions(matrix, rows, support, fits).gain[0, others]
        top = np.argsort(-gain, kind="stable")[:CHOICES]
        kept = np.append(kept, others[rng.choice(top)])
        others = np.setdiff1d(others, kept)
    if len(kept) < size:
        return found
    support = np.sort(kept)[None]
    return best_of(support, fit_many(matrix.columns, rows, support))


def iterated(
    matrix: DesignMatrix,
    rows: Rows,
    starts: Sequence[Incumbent],
    usable: Int[Array, "p"],
    rng: np.random.Generator,
) -> Incumbent:
    """The best support that swaps reach from starts of one size and from disturbances of it."""
    reached = [swap(matrix, rows, start, usable) for start in starts]
    best = descend(matrix, rows, min(reached, key=_objective), usable)
    failed = 0
    while failed < RESTARTS:
        start = disturbed(matrix, rows, best, usable, rng)
        found = descend(matrix, rows, start, usable)
        failed = 0 if found.objective < best.objective * (1.0 - 1e-9) else failed + 1
        best = min(best, found, key=_objective)
    return best


def local_search(
    problem: Problem, ks: Sequence[int], columns: Int[Array, "p"], rng: np.random.Generator
) -> Iterator[tuple[int, Int[Array, "k"]]]:
    """The search above for every k of a path."""
    matrix, rows = problem.matrix, problem.rows
    levels = list(beam(matrix, rows, ks[-1], columns))
    best = [np.argsort(-level.promise, kind="stable")[:POOL] for level in levels]
    pool = np.intersect1d(np.unique(best), columns)
    small, every = DenseMatrix(matrix.columns(pool)), np.arange(len(pool))
    for k in ks:
        supports = levels[k - 1].supports[:STARTS]
        inside = np.searchsorted(pool, np.array(supports))
        fits = fit_many(small.columns, rows, inside)
        starts = [best_of(inside[i : i + 1], fits.row(i)) for i in range(len(inside))]
        found = iterated(small, rows, starts, every, rng)
        found = replace(found, support=pool[found.support])
        yield k, swap(matrix, rows, found, columns).support


def _objective(found: Incumbent) -> float:
    return found.objective
