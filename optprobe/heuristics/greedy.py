"""Forward selection: orthogonal matching pursuit for the loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from jaxtyping import Int

from optprobe.heuristics.fits import Incumbent, best_of, fit_many, gains_at, shortlist
from optprobe.matrix import DesignMatrix
from optprobe.problem import Problem
from optprobe.support import Rows, fit_supports

Array = np.ndarray

COARSE = 1e-3
"""Relative gap of the fits that choose a column on the way to k."""


def greedy(
    matrix: DesignMatrix,
    rows: Rows,
    k: int,
    usable: Int[Array, "p"],
    stop: Callable[[], bool] = lambda: False,
) -> Incumbent:
    """Forward selection: each step adds the best of the few columns of largest gain.

    When `stop` says so, the rest is filled up with the columns of largest gain, unfitted.
    """
    support = np.empty((1, 0), int)
    fits = fit_supports(rows.y[None], support, rows)
    size = min(k, len(usable))
    while True:
        gain = gains_at(matrix, rows, support, fits).gain[0]
        others = np.setdiff1d(usable, support[0])
        ranked = others[np.argsort(-gain[others], kind="stable")]
        if stop():
            filled = np.concatenate([support, ranked[None, : size - support.shape[1]]], axis=1)
            return best_of(filled, fit_many(matrix.columns, rows, filled))
        top = ranked[: shortlist(rows)]
        supports = np.concatenate([np.repeat(support, len(top), axis=0), top[:, None]], axis=1)
        start = np.concatenate([fits.beta, np.zeros((1, 1)), fits.intercept[:, None]], axis=1)
        whole = supports.shape[1] == size
        tried = fit_many(
            matrix.columns,
            rows,
            supports,
            start=np.repeat(start, len(top), axis=0),
            accuracy=0.0 if whole else COARSE,
        )
        best = int(np.argmin(tried.primal))
        support, fits = supports[best : best + 1], tried.row(best)
        if whole:
            return best_of(support, fits)


def greedy_path(
    problem: Problem, ks: Sequence[int], columns: Int[Array, "p"], rng: np.random.Generator
) -> Iterator[tuple[int, Int[Array, "k"]]]:
    """`greedy` for every k."""
    for k in ks:
        yield k, greedy(problem.matrix, problem.rows, k, columns).support
