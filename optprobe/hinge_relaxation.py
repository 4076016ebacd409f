"""The perspective relaxation of the hinge by an interior point, one node at a time.

    min  sum_i w_i xi_i + (lam/2) (sum_S1 beta_j^2 + sum_F beta_j^2 / z_j)
    s.t. xi_i >= 1 - m_i,  xi >= 0,  0 <= z <= 1,  sum_F z_j <= r

Mehrotra's predictor-corrector. The rows' variables are eliminated as in `support/interior_point.py`
(z a = mu there, here called `above`); those of the columns satisfy, on the central path,

    grad_z + nu + upper_j - lower_j = 0,   lower_j z_j = upper_j (1 - z_j) = nu (r - sum z) = t

with t = mu / (number of free columns), and are eliminated too: what is left in (beta, b) is the
rows' Gram matrix plus a diagonal plus a matrix of rank one. On the path the rows are those of
`BarrierHinge(mu)`, so (beta, b, mu) stands for a dual point, as everywhere.

Source: Mehrotra 1992; for the perspective of a quadratic, Günlük and Linderoth 2010.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64

from optprobe.bounds import repair_intercept, sum_of_largest
from optprobe.losses import BarrierHinge
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

BOUNDARY = 0.95
"""Fraction of the way to the boundary that a step may go."""

FASTEST = 0.05
"""A step aims at no less than this share of mu: beta^2 / z is far from linear beyond it."""

SINGLE = 1e-3
"""Share of the ridge that float32 rounding of a Gram matrix may reach."""

STEPS = 60
"""Passes at most; 20 to 25 are usual."""


class Centre(NamedTuple):
    """Where the path was left: coefficients (the intercept last), mu, and both values there."""

    theta: Float64[Array, "q1"]
    mu: float
    primal: float
    dual: float


class _Direction(NamedTuple):
    """A Newton direction in every variable."""

    theta: Array
    a: Array
    above: Array
    below: Array
    z: Array
    lower: Array
    upper: Array
    nu: float


@dataclass
class _Iterate:
    """Coefficients, margins; a, above, below of the rows; z and its multipliers of the columns."""

    theta: Array
    margin: Array
    a: Array
    above: Array
    below: Array
    z: Array
    lower: Array
    upper: Array
    nu: float
    room: float  # r - sum z

    def complementarity(self, w: Array) -> tuple[float, float]:
        """mu of the rows and t of the columns."""
        rows = 0.5 * float((self.a * self.above + (1.0 - self.a) * self.below) @ w)
        pairs = float(self.lower @ self.z + self.upper @ (1.0 - self.z)) + self.nu * self.room
        return rows, pairs / (2 * len(self.z) + 1)

    def reach(self, step: _Direction) -> float:
        """Largest length in (0, 1] that keeps every variable on its side."""
        total = float(step.z.sum())
        pace = 1.0
        for value, change in (
            (self.a, step.a),
            (1.0 - self.a, -step.a),
            (self.above, step.above),
            (self.below, step.below),
            (self.z, step.z),
            (1.0 - self.z, -step.z),
            (self.lower, step.lower),
            (self.upper, step.upper),
            (np.array([self.nu, self.room]), np.array([step.nu, -total])),
        ):
            pace = max(pace, float((-change / value).max(initial=0.0)))
        return 1.0 / pace

    def moved(self, step: _Direction, length: float, block: Array, r: int) -> _Iterate:
        """After a step; margins and room afresh, so that nothing drifts."""
        theta, z = self.theta + length * step.theta, self.z + length * step.z
        return _Iterate(
            theta,
            theta @ block,
            self.a + length * step.a,
            self.above + length * step.above,
            self.below + length * step.below,
            z,
            self.lower + length * step.lower,
            self.upper + length * step.upper,
            self.nu + length * step.nu,
            max(r - float(z.sum()), 1e-300),
        )


class _System:
    """The Newton system of one iterate, reduced to (beta, b), for several targets."""

    def __init__(
        self, it: _Iterate, block: Array, single: Array, rows: Rows, shared: Array, ridge: Array
    ) -> None:
        lam = rows.lam
        self.it, self.block, self.w = it, block, rows.w
        beta, z = it.theta[:-1][shared], it.z
        self.row = 1.0 / (it.above / it.a + it.below / (1.0 - it.a))
        self.slope = -lam * beta / z**2  # d2 / d beta d z of the penalty
        barrier = it.lower / z + it.upper / (1.0 - z)
        self.give = 1.0 / (lam * beta**2 / z**3 + barrier)
        self.stiff = it.nu / it.room
        self.soft = 1.0 + self.stiff * float(self.give.sum())
        quadratic = ridge.copy()
        quadratic[:-1][shared] = lam / z
        self.gradient = quadratic * it.theta - block @ (rows.w * it.a)
        self.grad_z = -0.5 * lam * (beta / z) ** 2
        self.curvature = self.row * rows.w
        hessian = _gram(block, single, self.curvature, rows.lam)
        at = np.flatnonzero(shared)
        schur = ridge.copy()  # lam / z - slope^2 give, without the cancellation
        schur[at] = lam / z * barrier * self.give
        hessian[np.diag_indices_from(hessian)] += schur + 1e-14
        tilt = self.slope * self.give
        hessian[np.ix_(at, at)] += (self.stiff / self.soft) * np.outer(tilt, tilt)
        self.hessian, self.at = hessian, at

    def towards(
        self, above: Array | float, below: Array | float, lower: Array | float,
        upper: Array | float, room: float,
    ) -> _Direction:  # fmt: skip
        """The direction to these five products (second-order terms folded in)."""
        it = self.it
        residual = 1.0 - it.margin + above / it.a - below / (1.0 - it.a)
        push = -(self.grad_z + room / it.room) - upper / (1.0 - it.z) + lower / it.z
        right = self.block @ (self.curvature * residual) - self.gradient
        mean = float(self.give @ push) / self.soft
        right[self.at] -= self.slope * self.give * (push - self.stiff * mean)
        theta = np.linalg.solve(self.hessian, right)
        da = self.row * (residual - theta @ self.block)
        change = push - self.slope * theta[self.at]
        total = float(self.give @ change) / self.soft
        dz = self.give * (change - self.stiff * total)
        return _Direction(
            theta,
            da,
            (above - it.a * it.above - it.above * da) / it.a,
            (below - (1.0 - it.a) * it.below + it.below * da) / (1.0 - it.a),
            dz,
            (lower - it.lower * it.z - it.lower * dz) / it.z,
            (upper - it.upper * (1.0 - it.z) + it.upper * dz) / (1.0 - it.z),
            (room - it.nu * it.room + it.nu * total) / it.room,
        )


def _gram(block: Array, single: Array, weight: Array, lam: float) -> Array:
    """sum_i weight_i x_i x_i^T, in float32 where its rounding is far below the ridge."""
    largest = float(((single * single) @ weight.astype(np.float32)).max())
    if np.finfo(np.float32).eps * largest > SINGLE * lam:
        return (block * weight) @ block.T
    return ((single * weight.astype(np.float32)) @ single.T).astype(np.float64)


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
    shared = ~forced
    ridge = np.append(np.where(forced, rows.lam, 0.0), 0.0)
    single = block.astype(np.float32)  # a direction need not be exact, its right-hand side is
    it = _first(block, shared, remaining, theta, rows)
    best = Centre(theta, START_MU, np.inf, -np.inf)
    centring = idle = 0
    least = np.inf
    for _ in range(STEPS):
        mu, pair = it.complementarity(rows.w)
        left = mu + pair * len(it.z)
        least, idle = min(least, left), 0 if left < least else idle + 1
        primal = _primal(it, rows, ridge, shared)
        goal = max(floor, LEAST_MU * primal)
        if primal < cutoff < np.inf:  # it will not be pruned: a bound for fixing will do
            goal = max(goal, FIXING * (cutoff - primal))
        elif _dual(it.a, block, rows, forced, remaining) > cutoff + 4.0 * mu:
            goal = max(goal, mu)
        near = mu <= 2.0 * goal
        a = BarrierHinge(mu).dual(it.margin)
        dual = _dual(a, block, rows, forced, remaining)
        if dual > best.dual:
            best = Centre(it.theta, mu, primal, dual)
        centring += near
        done = near and (primal - dual <= 6.0 * goal or dual > cutoff)
        if done or centring > CENTRING or idle > CENTRING:
            break
        it = _step(
            it, _System(it, block, single, rows, shared, ridge), mu, pair, goal, near, remaining
        )
    return best


def _step(
    it: _Iterate, system: _System, mu: float, pair: float, goal: float, near: bool, r: int
) -> _Iterate:
    """Centre at the goal where it is near; else aim at the mu that the affine step promises."""
    block, count = system.block, len(it.z)
    least = goal / max(count, 1)
    if near:
        step = system.towards(goal, goal, least, least, least)
        return it.moved(step, min(1.0, BOUNDARY * it.reach(step)), block, r)
    affine = system.towards(0.0, 0.0, 0.0, 0.0, 0.0)
    far = it.reach(affine)
    a, above, below = (
        part + far * change
        for part, change in (
            (it.a, affine.a), (it.above, affine.above), (it.below, affine.below)
        )
    )  # fmt: skip
    after = 0.5 * float((a * above + (1.0 - a) * below) @ system.w)
    shrink = max(min(max(after / mu, 0.0), 1.0) ** 3, FASTEST)
    target, share = max(shrink * mu, goal), max(shrink * pair, least)
    trust = far * far  # a short affine step says little about the curvature ahead
    step = system.towards(
        target - trust * affine.a * affine.above,
        target + trust * affine.a * affine.below,
        share - trust * affine.z * affine.lower,
        share + trust * affine.z * affine.upper,
        share + trust * float(affine.z.sum()) * affine.nu,
    )
    return it.moved(step, min(1.0, BOUNDARY * it.reach(step)), block, r)


def _first(block: Array, shared: Array, r: int, theta: Array, rows: Rows) -> _Iterate:
    """Rows on the path of START_MU; z the larger of what the gains and the coefficients say."""
    margin = theta @ block
    path = BarrierHinge(START_MU)
    a, rest = path.dual(margin), path.dual(2.0 - margin)
    count = int(shared.sum())
    t = START_MU / max(count, 1)
    gain = ((block[:-1] @ (rows.w * a)) ** 2 / (2.0 * rows.lam))[shared]
    size = np.abs(theta[:-1][shared])
    z = np.maximum(_on_path(gain, t, r), np.minimum(size * r / max(size.sum(), 1e-300), 1.0))
    z = np.clip(z * min(1.0, ROOM * r / max(z.sum(), 1e-300)), 1e-9, ROOM)
    room = r - float(z.sum())
    return _Iterate(
        theta, margin, a, START_MU / a, START_MU / rest,
        z, t / z, t / (1.0 - z), t / room, room,
    )  # fmt: skip


def _on_path(gain: Array, t: float, r: int) -> Array:
    """z on the path at these gains: t/z - t/(1-z) = nu - gain, nu such that sum z = ROOM r."""
    low, high = float(gain.min(initial=0.0)) - 2.0 * t, float(gain.max(initial=0.0))
    high += t * (len(gain) + 2) / max(r, 1)  # where every z < r / count
    z = np.empty(0)
    for _ in range(60):
        nu = 0.5 * (low + high)
        ahead = nu - gain
        z = 2.0 * t / (ahead + 2.0 * t + np.sqrt(ahead * ahead + 4.0 * t * t))
        low, high = (nu, high) if z.sum() > ROOM * r else (low, nu)
    return z


def _primal(it: _Iterate, rows: Rows, ridge: Array, shared: Array) -> float:
    """The relaxed objective with the iterate's own z."""
    loss = float(np.maximum(1.0 - it.margin, 0.0) @ rows.w)
    penalty = float(ridge @ it.theta**2) + rows.lam * float(
        (it.theta[:-1][shared] ** 2 / it.z).sum()
    )
    return loss + 0.5 * penalty


def _dual(a: Array, block: Array, rows: Rows, forced: Array, remaining: int) -> float:
    """The bound of a dual point over the node's columns."""
    a = repair_intercept(a[None], rows.y, rows.w, rows.loss)[0]
    gain = (block[:-1] @ (rows.w * a)) ** 2 / (2.0 * rows.lam)
    held = float(gain[forced].sum()) + sum_of_largest(gain[~forced], remaining)
    return float(rows.w @ a) - held
