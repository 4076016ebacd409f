"""The perspective relaxation of the hinge by an interior point, one node at a time.

    min  sum_i w_i xi_i + (lam/2) (sum_S1 beta_j^2 + sum_F beta_j^2 / z_j)
    s.t. xi_i >= 1 - m_i,  xi >= 0,  0 <= z <= 1,  sum_F z_j <= r

Primal-dual path following. The rows' variables are eliminated as in `support/interior_point.py`
(z a = mu there, here called `above`); those of the columns satisfy, on the central path,

    grad_z + nu + upper_j - lower_j = 0,   lower_j z_j = upper_j (1 - z_j) = nu (r - sum z) = t

with t = mu / (number of free columns), and are eliminated too: what is left in (beta, b) is the
rows' Gram matrix plus a diagonal plus a matrix of rank one. On the path the rows are those of
`BarrierHinge(mu)`, so (beta, b, mu) stands for a dual point, as everywhere.

Of thousands of rows a few cross the kink at every next mu, and one length for all would be theirs:
the columns' variables set it, and a row that would leave its side stops short alone. What that
leaves of the gradient, the weight of such rows at most, the next step is aimed at too. A predictor
and a corrector with one length for all need more passes, and two solves in each.

All of it is compiled and lets go of the interpreter: in NumPy a step on some thousand rows is sixty
short calls, and nodes could not go side by side.

Source: Wright 1997, "Primal-dual interior-point methods", for the path; for the perspective of a
quadratic, Günlük and Linderoth 2010.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from jaxtyping import Bool, Float64

from optprobe.hinge_rows import BOUNDARY, apart, class_scaled, directed, moved, on_path, started
from optprobe.loops import add, combine, descend, dot, gram, times
from optprobe.rows import Rows

Array = np.ndarray

START_MU = 0.05
"""Smoothing of the first iterate, which a few first-order steps have found."""

LEAST_MU = 3e-7
"""Smallest mu relative to the objective; the bound loses about 4 mu."""

ROOM = 0.95
"""Share of r that the first z take up, and the largest of them."""

FIXING = 0.1
"""Share of (cutoff - primal) that mu need not fall below."""

CENTRING = 8
"""Centring steps at the last mu, at most."""

SHRINK = 0.3
"""Share of mu that a step aims at."""

SINGLE = 1e-3
"""Share of the ridge that float32 rounding of a Gram matrix may reach."""

ROUNDING = float(np.finfo(np.float32).eps)
"""Relative, of an entry of a Gram matrix in float32."""

STEPS = 120
"""Passes at most; 6 to 15 are usual."""


class Centre(NamedTuple):
    """Where the path was left: coefficients (the intercept last), mu, and both values there."""

    theta: Float64[Array, "q1"]
    mu: float
    primal: float
    dual: float


def follow(
    block: Float64[Array, "q1 n"],
    rows: Rows,
    forced: Bool[Array, "q"],
    remaining: int,
    theta: Float64[Array, "q1"],
    cutoff: float,
    floor: float = 0.0,
) -> Centre:
    """Follow the central path of one node over its columns.

    Args:
        block: signed columns of the node, the intercept's last (`support.signed`).
        forced: which of them are forced; the others share `remaining`, 1 <= remaining < others.
        theta: first coefficients, the intercept last.
        cutoff: the path is left once the dual passes it; where the primal is below it, the bound
            cannot, and need not be tight.
        floor: mu at which it is left in any case.
    """
    ridge = np.append(np.where(forced, rows.lam, 0.0), 0.0)
    single = block.astype(np.float32)  # a direction need not be exact, its right-hand side is
    given = rows.y, rows.w, rows.lam, ridge, np.flatnonzero(~forced), float(remaining)
    best = theta.copy()
    return Centre(best, *_follow(block, single, given, best, cutoff, floor, STEPS))


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _follow(block, single, given, best, cutoff, floor, steps):  # type: ignore
    """`follow` from `best`, which the best coefficients take the place of: mu and both values.

    Rows of `now` are a, above and below. Those of `step` are the rows' weights in the Hessian and
    on the right-hand side, and what `moved` takes.
    """
    _, w, lam, ridge, at, r = given
    q, n = block.shape
    margin, now, step = np.empty(n), np.empty((3, n)), np.empty((5, n))
    theta, part = best.copy(), np.empty(n)
    hessian, right, move = np.empty((q, q)), np.empty(q), np.empty(q)
    margin[:] = 0.0
    combine(theta, block, margin)
    started(margin, START_MU, now)
    c = len(at)
    t = START_MU / max(c, 1)
    z = _first(_gain(block, now[0], w, lam, part)[at], np.abs(theta[at]), t, r)
    room = r - z.sum()
    lower, upper, nu = t / z, t / (1.0 - z), t / room
    found = START_MU, np.inf, -np.inf
    centring = idle = 0
    least = np.inf
    rough, stuck = True, False
    for turn in range(steps):
        mu, loss = apart(margin, now, w)
        pair = (np.sum(lower * z + upper * (1.0 - z)) + nu * room) / (2 * c + 1)
        left = mu + pair * c
        if turn:  # the first step may lead far from the path of START_MU
            idle = 0 if left < least else idle + 1
            least = min(least, left)
        beta = theta[at]
        primal = loss + 0.5 * (np.sum(ridge * theta**2) + lam * np.sum(beta**2 / z))
        passing = primal - left > cutoff  # near the path the dual is primal - 2 left
        goal = max(floor, LEAST_MU * primal)
        if primal < cutoff < np.inf:  # it will not be pruned: a bound for fixing will do
            goal = max(goal, FIXING * (cutoff - primal))
        elif passing:
            part[:] = now[0]
            if _dual(block, part, given) > cutoff + 4.0 * mu:
                goal = max(goal, mu)
        near = mu <= 2.0 * goal
        centring += near
        last = stuck or centring > CENTRING or idle > CENTRING or turn == steps - 1
        if near or passing or last:
            on_path(margin, mu, part)
            dual = _dual(block, part, given)
            if dual > found[2]:
                best[:] = theta
                found = mu, primal, dual
            if last or (near and (primal - dual <= 6.0 * goal or dual > cutoff)):
                break
        share = goal / max(c, 1)
        aim, t = (goal, share) if near else (max(SHRINK * mu, goal), max(SHRINK * pair, share))

        # Newton's direction to the path's point at these, reduced to (beta, b).
        directed(margin, now, w, aim, step)
        slope = -lam * beta / z**2  # d2 / d beta d z of the penalty
        barrier = lower / z + upper / (1.0 - z)
        give = 1.0 / (lam * beta**2 / z**3 + barrier)
        stiff = nu / room
        soft = 1.0 + stiff * give.sum()
        push = 0.5 * lam * (beta / z) ** 2 - t / room - t / (1.0 - z) + t / z
        mean = np.sum(give * push) / soft
        tilt = slope * give
        while True:
            if rough:  # until rows near the kink weigh too much for it
                gram(single, step[0].astype(np.float32), hessian)
                rough = ROUNDING * np.diag(hessian).max() <= SINGLE * lam
            if not rough:
                gram(block, step[0], hessian)
            for p in range(q):
                hessian[p, p] += ridge[p] + 1e-14
                right[p] = ridge[p] * theta[p] - dot(block[p], step[1])
            for i in range(c):
                for k in range(c):
                    hessian[at[i], at[k]] += stiff / soft * tilt[i] * tilt[k]
                # lam / z - slope^2 give, without the cancellation
                hessian[at[i], at[i]] += lam / z[i] * barrier[i] * give[i]
                right[at[i]] += lam / z[i] * beta[i] + tilt[i] * (push[i] - stiff * mean)
            move[:] = 0.0
            stuck = not descend(hessian, right, move)
            if not (stuck and rough):
                break
            rough = False  # columns that nearly repeat each other show its rounding
        if stuck:
            continue
        change = push - slope * move[at]
        total = np.sum(give * change) / soft
        dz = give * (change - stiff * total)
        dlower, dupper = (t - lower * (z + dz)) / z, (t - upper * (1.0 - z - dz)) / (1.0 - z)
        dnu = (t - nu * (room - total)) / room

        # The length is the columns': a row that would leave its side stops short alone.
        pace = max(BOUNDARY, -dnu / nu, dz.sum() / room)
        for i in range(c):
            pace = max(pace, -dz[i] / z[i], dz[i] / (1.0 - z[i]))
            pace = max(pace, -dlower[i] / lower[i], -dupper[i] / upper[i])
        length = BOUNDARY / pace
        part[:] = 0.0
        combine(move, block, part)
        theta += length * move
        add(margin, length, part)
        moved(margin, now, part, step, aim, length)
        z, lower, upper = z + length * dz, lower + length * dlower, upper + length * dupper
        nu += length * dnu
        room = max(r - z.sum(), 1e-300)  # afresh, so that it does not drift
    return found


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _gain(block, a, w, lam, part):  # type: ignore
    """v_j^2 / (2 lam) of every column but the intercept's."""
    times(part, w, a)
    gain = np.empty(len(block) - 1)
    for p in range(len(gain)):
        gain[p] = dot(block[p], part) ** 2 / (2.0 * lam)
    return gain


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _first(gain, size, t, r):  # type: ignore
    """The first z: the larger of what the gains and the coefficients say, within `ROOM`."""
    z = _on_path(gain, t, r)
    scale = r / max(size.sum(), 1e-300)
    for i in range(len(z)):
        z[i] = max(z[i], min(size[i] * scale, 1.0))
    scale = min(1.0, ROOM * r / max(z.sum(), 1e-300))
    for i in range(len(z)):
        z[i] = min(max(z[i] * scale, 1e-9), ROOM)
    return z


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _on_path(gain, t, r):  # type: ignore
    """z on the path at these gains: t/z - t/(1-z) = nu - gain, nu such that sum z = ROOM r."""
    z = np.empty(len(gain))
    if not len(gain):
        return z
    low = min(gain.min(), 0.0) - 2.0 * t
    high = gain.max() + t * (len(gain) + 2) / max(r, 1.0)  # where every z < r / count
    for _ in range(20):
        nu = 0.5 * (low + high)
        for i in range(len(gain)):
            ahead = nu - gain[i]
            z[i] = 2.0 * t / (ahead + 2.0 * t + np.sqrt(ahead * ahead + 4.0 * t * t))
        if z.sum() > ROOM * r:
            low = nu
        else:
            high = nu
    return z


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _dual(block, a, given):  # type: ignore
    """The bound of a dual point over the node's columns; a is repaired in place."""
    y, w, lam, ridge, at, r = given
    class_scaled(a, y, w)
    value, gain = dot(w, a), _gain(block, a, w, lam, np.empty(len(w)))
    for p in range(len(gain)):
        if ridge[p] > 0.0:
            value -= gain[p]
    return value - np.sort(gain[at])[len(at) - min(int(r), len(at)) :].sum()
