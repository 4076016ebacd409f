"""Supports of one more column, bounded at the fit on the forced columns.

That fit is a centre for all of them (`filter`), and of the sums around it the supports need no
product of two free columns: these are taken a few at a time, and no array holds them all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int

from optprobe.engine.centres import refit
from optprobe.engine.damping import limits
from optprobe.engine.filter import costs, quadratic
from optprobe.matrix.resident import Block
from optprobe.matrix.standardise import slices
from optprobe.rows import Rows
from optprobe.threads import in_threads

Array = np.ndarray

TOGETHER = 64
"""Columns that are taken at once."""


class Singles(NamedTuple):
    """The centre, as a certificate stores it, and the columns that it leaves.

    Attributes:
        beta, intercept: on the forced columns.
        reach: e.
        margin: y (x . beta + b).
        left: free columns.
    """

    beta: Float64[Array, "s"]
    intercept: float
    reach: float
    margin: Float64[Array, "n"]
    left: Int[Array, "m"]


def singles(
    columns: Callable[[Int[Array, "p"]], Block],
    chosen: Int[Array, "s"],
    members: Int[Array, "f"],
    start: Float64[Array, "s1"],
    rows: Rows,
    cutoff: float,
) -> Singles:
    """The supports of the forced columns and one more whose bound is below the cutoff.

    Args:
        columns: fetches columns.
        chosen, members: the forced columns and the free ones.
        start: first coefficients on the forced ones, and an intercept.
        rows: labels, weights, a loss of `damping.MOVED` and ridge.
        cutoff: what a bound must reach.
    """
    forced, reach = np.asarray(columns(chosen)), limits(rows).reach
    theta = refit(forced, np.zeros(len(rows.y)), start, rows)
    beta = theta[:-1].astype(np.float32).astype(np.float64)
    margin = rows.y * (beta @ forced + theta[-1])

    def left(part: slice) -> Int[Array, "m"]:
        few = members[part]
        at = quadratic(forced, columns(few), margin, rows, reach)
        return few[at.value - costs(at, np.arange(len(few))[None], rows.lam) < cutoff]

    found = in_threads(left, list(slices(len(members), TOGETHER)))
    return Singles(beta, float(theta[-1]), reach, margin, np.concatenate(found))
