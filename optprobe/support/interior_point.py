"""Primal-dual path following on the hinge, compiled, one support after another.

    central path:  m - 1 = z - u,  z a = mu,  u (1-a) = mu,  lam beta = Z_S (w a),  y.(w a) = 0

A row that would leave its side stops short alone (see `hinge_relaxation.py`); a support that gets
nowhere like this, where the few rows that stop are those that hold it, takes one length for all
from then on.

Source: Wright 1997, "Primal-dual interior-point methods"; Ferris and Munson 2002, "Interior-point
methods for massive support vector machines", for the algebra of rank k + 1. The path is the
smoothing `BarrierHinge`, so (beta, b, mu) stands for a dual point at every iterate: the path is
followed to STORED_MU, centred there, and then on to the accuracy of the lower bound.
"""

from __future__ import annotations

import numba
import numpy as np
from jaxtyping import Float64, Int

from optprobe.hinge_rows import (
    BOUNDARY,
    apart,
    class_scaled,
    directed,
    moved,
    on_path,
    reach,
    started,
)
from optprobe.loops import combine, descend, dot, gram, times
from optprobe.support.rows import STORED_MU, ChunkFits, Rows

Array = np.ndarray

HINGE_GAP = 5e-10
"""A fit ends once (primal - lower) <= HINGE_GAP * primal."""

START_MU = 2.0
"""Smoothing of the first iterate, large enough for every row to be well centred there."""

WARM_MU, NEAR = (5e-2, 1e-3, 1e-5), 10.0
"""A start begins at the smallest of these of which its gap is at most so many times."""

SHRINK = 0.2
"""Share of mu that a step aims at."""

STALLED = 0.9
"""Share of its last mu above which a support got nowhere."""

CENTRING = 10
"""At most this many centring steps at STORED_MU."""

STEPS = 200
"""Passes before a support is left as it is (its bound is whatever its dual value says)."""


def interior_point(
    block: Float64[Array, "q n"],
    full: Int[Array, "batch k1"],
    rows: Rows,
    start: Float64[Array, "batch k1"],
    cutoff: float,
    accuracy: float,
) -> ChunkFits:
    """Fit a chunk; `full` holds the rows of `block` of each support, the intercept's last."""
    batch, size = full.shape
    ridge = np.append(np.full(size - 1, rows.lam), 0.0)
    best, solution, point = start.copy(), start.copy(), np.zeros((batch, block.shape[1]))
    values = np.empty((4, batch))
    for i in range(batch):
        given = block[full[i]], rows.y, rows.w, ridge
        into = best[i], solution[i], point[i]
        values[:, i] = _fitted(given, float(cutoff), float(accuracy), STEPS, into)
    primal, dual, mu, lower = values
    return ChunkFits(best, solution, primal, dual, mu, np.maximum(lower, dual), point)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _fitted(given, cutoff, accuracy, steps, into):  # type: ignore
    """Fit one support; fills `into`: primal, dual, mu of the dual, lower."""
    block, _, w, ridge = given
    best, solution, point = into
    q, n = block.shape
    theta, margin, part = best.copy(), np.empty(n), np.empty(n)
    now, step = np.empty((3, n)), np.empty((5, n))
    hessian, right, move = np.empty((q, q)), np.empty(q), np.empty(q)
    primal, dual, best_mu, lower = np.inf, -np.inf, 1.0, -np.inf
    centred, careful, stuck, last = 0, False, False, np.inf  # centring steps taken at STORED_MU
    margin[:] = 0.0
    combine(theta, block, margin)
    started(margin, _first(given, theta, margin, part), now)
    for turn in range(steps):
        mu, loss = apart(margin, now, w)
        value = loss + 0.5 * np.sum(ridge * theta**2)
        if value < primal:
            primal = value
            solution[:] = theta
        # Near the path a dual value is 2 mu below the primal: what cannot end a fit can wait.
        enough = value - mu > cutoff or mu <= accuracy * value or centred > 0
        if enough or stuck or turn == steps - 1:
            on_path(margin, max(mu, 1e-300), part)
            bound = _dual(given, part)
            if bound > dual and mu >= 0.5 * STORED_MU * primal:
                dual, best_mu = bound, mu
                best[:] = theta
        if centred >= CENTRING:
            part[:] = now[0]
            own = _dual(given, part)
            if own > lower:
                lower = own
                point[:] = now[0]
        exact = primal - lower <= HINGE_GAP * primal and centred >= CENTRING
        if dual > cutoff or primal - dual <= accuracy * primal or exact or stuck:
            break
        # The path is followed down to `least` and no further: there, pure centring steps.
        stored = centred < CENTRING
        least = (STORED_MU if stored else 0.05 * HINGE_GAP) * primal
        centring = mu <= 2.0 * least
        if centring and stored:
            centred += CENTRING if primal - dual <= 6.0 * STORED_MU * primal else 1
        aim = least if centring else max(SHRINK * mu, least)
        careful = careful or (mu > STALLED * last and not centring)
        last = mu

        # Newton's direction to the path's point at this mu, reduced to q unknowns.
        directed(margin, now, w, aim, step)
        gram(block, step[0], hessian)
        for p in range(q):
            hessian[p, p] += ridge[p] + 1e-14
            right[p] = ridge[p] * theta[p] - dot(block[p], step[1])
        move[:] = 0.0
        stuck = not descend(hessian, right, move)
        if stuck:
            continue
        part[:] = 0.0
        combine(move, block, part)
        length = BOUNDARY * reach(now, part, step, aim) if careful else 1.0
        theta += length * move
        # Afresh: what is stored must be reproduced from the coefficients alone, and a running sum
        # would drift from them.
        margin[:] = 0.0
        combine(theta, block, margin)
        moved(margin, now, part, step, aim, length)
    return primal, dual, best_mu, lower


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _first(given, theta, margin, part):  # type: ignore
    """The mu to begin at."""
    _, _, w, ridge = given
    mu = START_MU
    if not theta.any():
        return mu
    primal = 0.5 * np.sum(ridge * theta**2)
    for i in range(len(w)):
        primal += w[i] * max(1.0 - margin[i], 0.0)
    for smaller in WARM_MU:
        on_path(margin, smaller, part)
        if primal - _dual(given, part) <= NEAR * smaller:
            mu = smaller
    return mu


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _dual(given, a):  # type: ignore
    """`rows.dual_value` of one dual point, which is repaired and weighted in place."""
    block, y, w, ridge = given
    class_scaled(a, y, w)
    times(a, w, a)
    value = a.sum()
    for p in range(len(block) - 1):
        value -= dot(block[p], a) ** 2 / (2.0 * ridge[p])
    return value
