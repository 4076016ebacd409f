"""Supports of one more column, bounded at the fit on the forced columns.

That fit is a centre for all of them (`filter`), and of the sums around it the supports need no
product of two free columns: these are taken a few at a time, and no array holds them all. The step
of one column is the best one, so that it bounds no less than no step at all, D0 - v_j^2 / (2 lam):
beside no forced column two in three are proven out by that, before their sums are taken.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int

from optprobe.engine.centres import refit
from optprobe.engine.damping import limits
from optprobe.engine.filter import allowance, around, quadratic_of, sizes_of
from optprobe.engine.support_costs import costs
from optprobe.matrix.resident import Block
from optprobe.matrix.standardise import slices
from optprobe.rows import Rows
from optprobe.threads import in_threads, nothing

Array = np.ndarray

TOGETHER, NUMBERS, LEAST = 64, 2**21, 8
"""Columns that are taken at once: as many as hold so many numbers, up to the first. Where they are
fewer than the last, it does not pay."""

FETCHED = 16
"""Times as many are fetched together."""

RESERVE = 1e-6
"""Of what an entropy may be: what columns without a step are charged more, whose residual of the
intercept condition is not at hand."""


class Singles(NamedTuple):
    """The centre, as a certificate stores it, and the columns that it leaves.

    Attributes:
        beta, intercept: on the forced columns.
        reach: e.
        margin: y (x . beta + b).
        left: free columns; None if told to stop.
    """

    beta: Float64[Array, "s"]
    intercept: float
    reach: float
    margin: Float64[Array, "n"]
    left: Int[Array, "m"] | None


def together(n: int) -> int:
    """Columns of n rows that are taken at once; 0 if so few that it does not pay."""
    number = min(TOGETHER, NUMBERS // n)
    return number if number >= LEAST else 0


def singles(
    columns: Callable[[Int[Array, "p"]], Block],
    chosen: Int[Array, "s"],
    members: Int[Array, "f"],
    start: Float64[Array, "s1"],
    rows: Rows,
    cutoff: float,
    stop: Callable[[], bool],
    tick: Callable[[], None] = nothing,
) -> Singles:
    """The supports of the forced columns and one more whose bound is below the cutoff.

    Args:
        columns: fetches columns.
        chosen, members: the forced columns and the free ones.
        start: first coefficients on the forced ones, and an intercept.
        rows: labels, weights, a loss of `damping.MOVED` and ridge.
        cutoff: what a bound must reach.
        stop: whether to give up.
        tick: called now and then, in the caller's thread.
    """
    forced, reach = np.asarray(columns(chosen)), limits(rows).reach
    theta = refit(forced, np.zeros(len(rows.y)), start, rows)
    beta = theta[:-1].astype(np.float32).astype(np.float64)
    margin = rows.y * (beta @ forced + theta[-1])

    at = around(forced, margin, rows, reach)

    def left(few: Block) -> Bool[Array, "m"]:
        sizes, kept = sizes_of(few, forced), np.arange(len(few))
        if not len(chosen):  # no residual but that of rounding
            charged = allowance(at, 0, rows, sizes, np.zeros(1)) + RESERVE * rows.spread * rows.size
            gain = (few @ at.given.push) ** 2 / (2.0 * rows.lam)
            kept = np.flatnonzero(~(at.value - charged - gain >= cutoff))
        below = np.zeros(len(few), np.bool_)
        if len(kept):
            those = quadratic_of(at, forced, few[kept], rows, sizes)
            cost = costs(those, np.arange(len(kept))[None], rows.lam)
            below[kept] = ~(those.value - cost >= cutoff)
        return below

    found = [np.empty(0, np.int64)]
    step = together(len(rows.y))
    for fetched in slices(len(members), FETCHED * step):
        if stop():
            return Singles(beta, float(theta[-1]), reach, margin, None)
        some = members[fetched]
        block = columns(some)  # here: a thread may not fetch what others read with threads
        each = in_threads(left, [block[part] for part in slices(len(some), step)], tick)
        found.append(some[np.concatenate(each)])
    return Singles(beta, float(theta[-1]), reach, margin, np.concatenate(found))
