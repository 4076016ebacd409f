"""Greedy forward selection and single swaps, on fits of whole batches of supports.

Both are ranked by the gains of one dual point per support (`bounds.py`): with S fitted, no column
j can lower the objective by more than g_j, so the rest of the columns need no fit at all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int

from optprobe.bounds import DualPoints, dual_points
from optprobe.matrix import DesignMatrix
from optprobe.support import Fits, Rows, fit_supports, signed

Array = np.ndarray

SHORTLIST, HINGE_SHORTLIST = 16, 6
"""Columns fitted per greedy step, and per column removed in a swap; a hinge fit costs ten."""

COARSE = 1e-3
"""Relative gap of the fits that choose a column on the way to k."""


def shortlist(rows: Rows) -> int:
    """How many columns a step fits."""
    return SHORTLIST if np.isfinite(rows.loss.lipschitz) else HINGE_SHORTLIST


@dataclass(frozen=True)
class Incumbent:
    """A support with its fit: positions of columns in one matrix, increasing."""

    support: Int[Array, "s"]
    beta: Float64[Array, "s"]
    intercept: float
    objective: float


Columns = Callable[[Int[Array, "p"]], Float64[Array, "p n"]]
"""Fetches columns by position, as `DesignMatrix.columns` does."""


def fit_many(
    columns: Columns,
    rows: Rows,
    supports: Int[Array, "batch s"],
    *,
    start: Float64[Array, "batch q"] | None = None,
    cutoff: float = np.inf,
    accuracy: float = 0.0,
) -> Fits:
    """`support.fit_supports`, each column fetched once."""
    used, inside = np.unique(supports, return_inverse=True)
    block = signed(columns(used), rows)
    return fit_supports(
        block, inside.reshape(supports.shape), rows, start=start, cutoff=cutoff, accuracy=accuracy
    )


def gains_at(
    matrix: DesignMatrix, rows: Rows, supports: Int[Array, "batch s"], fits: Fits
) -> DualPoints:
    """The dual point of every fit, over all columns."""
    used, inside = np.unique(supports, return_inverse=True)
    beta = np.zeros((len(supports), len(used)))
    np.put_along_axis(beta, inside.reshape(supports.shape), fits.beta, axis=1)
    margin = (matrix.scores(used, beta) + fits.intercept[:, None]) * rows.y
    smooth = rows.loss.smoothed(np.maximum(fits.mu, 1e-12)[:, None])
    return dual_points(matrix, smooth.dual(margin), rows.y, rows.w, rows.loss, rows.lam)


def best_of(supports: Int[Array, "batch s"], fits: Fits) -> Incumbent:
    """The best fit of a batch, its support sorted."""
    best = int(np.argmin(fits.primal))
    order = np.argsort(supports[best])
    return Incumbent(
        supports[best][order],
        fits.solution[best, order],
        float(fits.solution[best, -1]),
        float(fits.primal[best]),
    )


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
