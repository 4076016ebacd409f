"""Rows of the hinge on its central path, compiled: what both interior points do with them.

    m - 1 = above - below,   above a = mu,   below (1 - a) = mu

A row's variables are eliminated from Newton's system and found again from the change of its margin.
The formulas are those of `losses.BarrierHinge`, whose smoothing the path is. `now` holds a, above
and below of every row.

Source: Wright 1997, "Primal-dual interior-point methods"; Ferris and Munson 2002, "Interior-point
methods for massive support vector machines", for the elimination.
"""

from __future__ import annotations

import numba
import numpy as np

BOUNDARY = 0.9
"""Fraction of the way to the boundary that a step may go."""

TINY = float(np.finfo(float).tiny)
"""No smaller number is divided by."""

FAST = {"contract", "nsz", "reassoc"}
"""What lets sums over rows go in lanes; infinities and what is no number keep their meaning."""


@numba.njit(inline="always")
def _smaller(margin, mu):  # type: ignore
    """The smaller of a and 1 - a: 2 mu / (|t| + 2 mu + (t^2 + 4 mu^2)^(1/2)), t = m - 1."""
    far = abs(margin - 1.0)
    return 2.0 * mu / (far + 2.0 * mu + np.sqrt(far * far + 4.0 * mu * mu))


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath=FAST)
def on_path(margin, mu, a):  # type: ignore
    """a(m), which is the smaller of the two where m >= 1."""
    for i in range(len(margin)):
        small = _smaller(margin[i], mu)
        a[i] = small if margin[i] >= 1.0 else 1.0 - small


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath=FAST)
def started(margin, mu, now):  # type: ignore
    """Every row on the path at its margin."""
    a, above, below = now
    for i in range(len(margin)):
        small, beyond = _smaller(margin[i], mu), margin[i] >= 1.0
        a[i] = small if beyond else 1.0 - small
        above[i] = mu / a[i]
        below[i] = mu / (1.0 - small if beyond else small)


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath=FAST)
def apart(margin, now, w):  # type: ignore
    """mu of the rows, sum w (above a + below (1 - a)) / 2, and the hinge loss."""
    a, above, below = now
    mu = loss = 0.0
    for i in range(len(w)):
        mu += w[i] * (above[i] * a[i] + below[i] * (1.0 - a[i]))
        short = 1.0 - margin[i]
        loss += w[i] * (short if short > 0.0 else 0.0)
    return 0.5 * mu, loss


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath=FAST)
def directed(margin, now, w, mu, step):  # type: ignore
    """What Newton's system to the path's point at mu takes of the rows.

    Fills weights of the Hessian, the right-hand side's, da / dm but for its sign, the residual and
    1 / (a (1 - a)).
    """
    a, above, below = now
    bend, pull, row, residual, ends = step
    for i in range(len(w)):
        rest = 1.0 - a[i]
        ends[i] = 1.0 / (a[i] * rest)
        row[i] = a[i] * rest / (above[i] * rest + below[i] * a[i])
        residual[i] = 1.0 - margin[i] + mu * (rest - a[i]) * ends[i]
        bend[i] = row[i] * w[i]
        pull[i] = bend[i] * residual[i] + w[i] * a[i]


@numba.njit(inline="always")
def _changes(a, above, below, step, i, change, mu):  # type: ignore
    """What a row's variables change by in a whole step, in which its margin changes like this."""
    _, _, row, residual, ends = step
    rest = 1.0 - a[i]
    da = row[i] * (residual[i] - change[i])
    up = (mu - above[i] * (a[i] + da)) * rest * ends[i]
    down = (mu - below[i] * (rest - da)) * a[i] * ends[i]
    return da, up, down


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath=FAST)
def reach(now, change, step, mu):  # type: ignore
    """The largest length in (0, 1] at which no row leaves its side."""
    a, above, below = now
    pace = 1.0
    for i in range(len(change)):
        da, up, down = _changes(a, above, below, step, i, change, mu)
        pace = max(pace, -da / a[i], da / (1.0 - a[i]), -up / above[i], -down / below[i])
    return 1.0 / pace


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath=FAST)
def moved(margin, now, change, step, mu, length):  # type: ignore
    """So much of the step that changes margins like this, to these: a in (0, 1), the others > 0.

    A row that would leave its side goes BOUNDARY of the way there; the others go all of theirs.
    What that leaves of m - 1 = above - below is made up by one of the two.
    """
    a, above, below = now
    left = 1.0 - BOUNDARY
    for i in range(len(margin)):
        da, up, down = _changes(a, above, below, step, i, change, mu)
        up, down = above[i] + length * up, below[i] + length * down
        low, bar = left * above[i], left * below[i]
        up = up if up > low else low
        down = down if down > bar else bar
        off = margin[i] - 1.0 - (up - down)
        above[i] = up + (off if off > 0.0 else 0.0)
        below[i] = down - (off if off < 0.0 else 0.0)
        inside, low, bar = a[i] + length * da, left * a[i], 1.0 - left * (1.0 - a[i])
        inside = inside if inside > low else low
        a[i] = inside if inside < bar else bar


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath=FAST)
def class_scaled(a, y, w):  # type: ignore
    """`bounds.repair_intercept` where the loss has a box: the heavier class is scaled down."""
    above = below = 0.0
    for i in range(len(a)):
        weight = w[i] * a[i]
        above += weight if y[i] > 0.0 else 0.0
        below += 0.0 if y[i] > 0.0 else weight
    least = min(above, below)
    up, down = least / max(above, TINY), least / max(below, TINY)
    for i in range(len(a)):
        a[i] *= up if y[i] > 0.0 else down
