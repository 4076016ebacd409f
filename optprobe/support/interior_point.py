"""Primal-dual path following on the hinge, for a chunk of supports of one size at a time.

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

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int

from optprobe.losses import BarrierHinge
from optprobe.support.rows import ChunkFits, Rows, dual_value, row_dots

Array = np.ndarray

HINGE_GAP = 5e-10
"""A fit ends once (primal - lower) <= HINGE_GAP * primal."""

STORED_MU = 1e-8
"""Smallest smoothing, relative to the objective, at which a hinge fit is stored as (beta, b, mu).

Margins carry rounding errors of 1e-16, which a(m) magnifies by 1/(8 mu): with a smaller mu the
coefficients would not reproduce their dual value, and it costs only 2 mu.
"""

START_MU = 2.0
"""Smoothing of the first iterate, large enough for every row to be well centred there."""

WARM_MU, NEAR = (5e-2, 1e-3, 1e-5), 10.0
"""A start begins at the smallest of these of which its gap is at most so many times."""

BOUNDARY = 0.9
"""Fraction of the way to the boundary that a step may go."""

SHRINK = 0.2
"""Share of mu that a step aims at."""

STALLED = 0.9
"""Share of its last mu above which a support got nowhere."""

CENTRING = 10
"""At most this many centring steps at STORED_MU."""

STEPS = 200
"""Passes before a support is left as it is (its bound is whatever its dual value says)."""


class _Step(NamedTuple):
    """A Newton direction."""

    theta: Array
    a: Array
    z: Array
    u: Array


@dataclass
class _Iterate:
    """The live supports: coefficients, their columns, margins, and the three row variables."""

    theta: Array
    gathered: Array
    margin: Array
    a: Array
    z: Array
    u: Array

    def keep(self, rows: Array) -> _Iterate:
        """The chosen supports only."""
        return _Iterate(*(part[rows] for part in vars(self).values()))

    def complementarity(self, w: Array) -> Array:
        """mu = sum w (a z + (1-a) u) / 2."""
        return 0.5 * ((self.a * self.z + (1.0 - self.a) * self.u) @ w)

    def reach(self, step: _Step) -> Array:
        """Largest length in (0, 1] that stays inside a in (0,1), z > 0, u > 0."""
        side = np.maximum(-step.a / self.a, step.a / (1.0 - self.a))
        pace = np.maximum(side, np.maximum(-step.z / self.z, -step.u / self.u))
        return 1.0 / np.maximum(pace.max(axis=1), 1.0)

    def moved(self, step: _Step, length: Array) -> _Iterate:
        """After a step. Margins are computed afresh: what is stored must be reproduced from the
        coefficients alone, and a running sum would drift from them."""
        pace = length[:, None]
        theta = self.theta + pace * step.theta
        margin = np.matmul(theta[:, None, :], self.gathered)[:, 0]
        now, change = (self.a, self.z, self.u), (step.a, step.z, step.u)
        return _Iterate(theta, self.gathered, margin, *rows_moved(now, change, pace, margin))


def rows_moved(
    now: tuple[Array, Array, Array],
    change: tuple[Array, Array, Array],
    length: float | Array,
    margin: Array,
) -> tuple[Array, Array, Array]:
    """a, z and u after a step to these margins: a in (0, 1), z and u > 0, z - u = m - 1.

    A row that would leave its side goes BOUNDARY of the way there; the others go all of theirs.
    """
    left = 1.0 - BOUNDARY
    a, z, u = (value + length * step for value, step in zip(now, change, strict=True))
    z, u = np.maximum(z, left * now[1]), np.maximum(u, left * now[2])
    apart = margin - 1.0 - (z - u)
    a = np.clip(a, left * now[0], 1.0 - left * (1.0 - now[0]))
    return a, z + np.maximum(apart, 0.0), u + np.maximum(-apart, 0.0)


def _direction(it: _Iterate, rows: Rows, ridge: Array, mu: Array) -> _Step:
    """Newton's direction to the path's point at mu, reduced to k + 1 unknowns."""
    rest = 1.0 - it.a
    row = 1.0 / (it.z / it.a + it.u / rest)
    curved = it.gathered * (row * rows.w)[:, None, :]
    hessian = np.matmul(curved, it.gathered.transpose(0, 2, 1))
    diagonal = np.arange(len(ridge))
    hessian[:, diagonal, diagonal] += ridge + 1e-14
    residual = 1.0 - it.margin + mu / it.a - mu / rest
    right = row_dots(it.gathered, rows.w * (row * residual + it.a)) - it.theta * ridge
    theta = np.linalg.solve(hessian, right[:, :, None])[:, :, 0]
    a = row * (residual - np.matmul(theta[:, None, :], it.gathered)[:, 0])
    z = (mu - it.z * (it.a + a)) / it.a
    u = (mu - it.u * (rest - a)) / rest
    return _Step(theta, a, z, u)


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
    w = rows.w
    ridge = np.append(np.full(size - 1, rows.lam), 0.0)
    best, solution, best_mu = start.copy(), start.copy(), np.ones(batch)
    primal, dual = np.full(batch, np.inf), np.full(batch, -np.inf)
    lower, point = dual.copy(), np.zeros((batch, block.shape[1]))
    centred = np.zeros(batch, int)  # centring steps taken at STORED_MU
    careful, last = np.zeros(batch, bool), np.full(batch, np.inf)
    live = np.arange(batch)
    it = _first(block[full], start, rows)
    for step_number in range(STEPS):
        mu = it.complementarity(w)
        value = rows.loss.value(it.margin) @ w + 0.5 * (it.theta * it.theta) @ ridge
        lowest = value < primal[live]
        primal[live[lowest]], solution[live[lowest]] = value[lowest], it.theta[lowest]
        # Near the path a dual value is 2 mu below the primal: what cannot end a fit can wait.
        enough = (value - mu > cutoff) | (mu <= accuracy * value) | (centred[live] > 0)
        if enough.any() or step_number == STEPS - 1:
            path = BarrierHinge(np.maximum(mu, 1e-300)[:, None]).dual(it.margin)
            bound = dual_value(it.gathered, path, rows)
            better = (bound > dual[live]) & (mu >= 0.5 * STORED_MU * primal[live])
            dual[live[better]], best_mu[live[better]] = bound[better], mu[better]
            best[live[better]] = it.theta[better]
        if (centred[live] >= CENTRING).any():
            own = dual_value(it.gathered, it.a, rows)
            better = own > lower[live]
            lower[live[better]], point[live[better]] = own[better], it.a[better]
        exact = primal[live] - lower[live] <= HINGE_GAP * primal[live]
        coarse = primal[live] - dual[live] <= accuracy * primal[live]
        going = (dual[live] <= cutoff) & ~coarse & ~(exact & (centred[live] >= CENTRING))
        live = live[going]
        if not len(live):
            break
        if not going.all():
            it, mu = it.keep(going), mu[going]
        # The path is followed down to `least` and no further: there, pure centring steps.
        stored = centred[live] < CENTRING
        least = np.where(stored, STORED_MU, 0.05 * HINGE_GAP) * primal[live]
        centring = mu <= 2.0 * least
        settled = primal[live] - dual[live] <= 6.0 * STORED_MU * primal[live]
        centred[live] += np.where(centring & stored, np.where(settled, CENTRING, 1), 0)
        aim = np.where(centring, least, np.maximum(SHRINK * mu, least))[:, None]
        step = _direction(it, rows, ridge, aim)
        careful[live] |= (mu > STALLED * last[live]) & ~centring
        last[live] = mu
        length, slow = np.ones(len(live)), careful[live]
        if slow.any():
            length[slow] = BOUNDARY * it.reach(step)[slow]
        it = it.moved(step, length)
    return ChunkFits(best, solution, primal, dual, best_mu, np.maximum(lower, dual), point)


def _first(gathered: Array, start: Array, rows: Rows) -> _Iterate:
    """On the path of its first mu: centred, only lam beta = Z_S (w a) is still to come."""
    margin = np.matmul(start[:, None, :], gathered)[:, 0]
    mu = np.full((len(start), 1), START_MU)
    if start.any():
        penalty = 0.5 * rows.lam * np.sum(start[:, :-1] ** 2, axis=1)
        primal = rows.loss.value(margin) @ rows.w + penalty
        for smaller in WARM_MU:
            dual = dual_value(gathered, BarrierHinge(smaller).dual(margin), rows)
            mu[primal - dual <= NEAR * smaller] = smaller
    path = BarrierHinge(mu)
    a, rest = path.dual(margin), path.dual(2.0 - margin)
    return _Iterate(start, gathered, margin, a, mu / a, mu / rest)
