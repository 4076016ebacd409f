"""Forward selection: orthogonal matching pursuit for the loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from jaxtyping import Int

from optprobe.heuristics.fits import Incumbent, best_of, fit_many, gains_at, shortlist
from optprobe.matrix import DesignMatrix
from optprobe.problem import Problem
from optprobe.support import Rows

Array = np.ndarray

COARSE = 1e-3
"""Relative gap of the fits that choose a column; at the sizes asked for, those that this leaves."""


def greedy(
    matrix: DesignMatrix,
    rows: Rows,
    k: int,
    usable: Int[Array, "p"],
    stop: Callable[[], bool] = lambda: False,
    start: Int[Array, "s"] | None = None,
) -> Incumbent:
    """Forward selection up to k columns (all of them if there are fewer); see `selection`."""
    return next(selection(matrix, rows, [min(k, len(usable))], usable, stop, start))


def selection(
    matrix: DesignMatrix,
    rows: Rows,
    sizes: Sequence[int],
    usable: Int[Array, "p"],
    stop: Callable[[], bool] = lambda: False,
    start: Int[Array, "s"] | None = None,
) -> Iterator[Incumbent]:
    """Forward selection: each step adds the best of the few columns of largest gain.

    When `stop` says so, every size that is left is filled up with the columns of largest gain,
    unfitted.

    Args:
        matrix: standardised columns.
        rows: labels, weights, loss and ridge.
        sizes: at which to yield, increasing; the fits at these are exact, those between coarse.
        usable: columns to choose from, at least as many as the largest size.
        stop: asked before every step.
        start: columns that every support has, fewer than the smallest size; by default none.
    """
    support = np.empty((1, 0), int) if start is None else start[None]
    fits = fit_many(matrix.columns, rows, support)
    while support.shape[1] < sizes[-1]:
        gain = gains_at(matrix, rows, support, fits).gain[0]
        others = np.setdiff1d(usable, support[0])
        ranked = others[np.argsort(-gain[others], kind="stable")]
        if stop():
            for size in sizes:
                if size > support.shape[1]:
                    filler = ranked[None, : size - support.shape[1]]
                    filled = np.concatenate([support, filler], axis=1)
                    yield best_of(filled, fit_many(matrix.columns, rows, filled))
            return
        top = ranked[: shortlist(rows)]
        supports = np.concatenate([np.repeat(support, len(top), axis=0), top[:, None]], axis=1)
        theta = np.concatenate([fits.beta, np.zeros((1, 1)), fits.intercept[:, None]], axis=1)
        theta = np.repeat(theta, len(top), axis=0)
        tried = fit_many(matrix.columns, rows, supports, start=theta, accuracy=COARSE)
        best = int(np.argmin(tried.primal))
        wanted = supports.shape[1] in sizes
        if wanted:
            close = tried.dual <= tried.primal[best]
            close[best] = True  # also where its two values round to the other order
            supports, theta = supports[close], tried.solution[close]
            tried = fit_many(matrix.columns, rows, supports, start=theta)
            best = int(np.argmin(tried.primal))
        support, fits = supports[best : best + 1], tried.row(best)
        if wanted:
            yield best_of(support, fits)


def greedy_path(
    problem: Problem, ks: Sequence[int], columns: Int[Array, "p"], rng: np.random.Generator
) -> Iterator[tuple[int, Int[Array, "k"]]]:
    """The supports of every k on one path of forward selection."""
    for found in selection(problem.matrix, problem.rows, ks, columns):
        yield len(found.support), found.support
