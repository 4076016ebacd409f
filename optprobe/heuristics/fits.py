"""Fits of whole batches of supports, and what their dual points say of the other columns.

With S fitted, no column j can lower the objective by more than its gain g_j (`bounds.py`), so most
columns need no fit at all.
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

EXACT = 1e-9
"""Relative gap at which a fit is taken to be exact; fits go further than that."""


def shortlist(rows: Rows) -> int:
    """How many columns a step fits."""
    return SHORTLIST if np.isfinite(rows.loss.lipschitz) else HINGE_SHORTLIST


@dataclass(frozen=True)
class Incumbent:
    """A support with its fit: positions of columns in one matrix, increasing.

    Attributes:
        lower: no fit of this support has a smaller objective, as this one tells.
    """

    support: Int[Array, "s"]
    beta: Float64[Array, "s"]
    intercept: float
    objective: float
    lower: float = -np.inf

    @property
    def exact(self) -> bool:
        """Whether nothing is left to gain by fitting the support once more."""
        return self.lower >= self.objective - EXACT * abs(self.objective)


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
        float(fits.lower[best]),
    )
