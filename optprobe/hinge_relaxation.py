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

Source: Wright 1997, "Primal-dual interior-point methods", for the path; for the perspective of a
quadratic, Günlük and Linderoth 2010.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64

from optprobe.bounds import repair_intercept, sum_of_largest
from optprobe.losses import BarrierHinge
from optprobe.rows import Rows
from optprobe.support.interior_point import BOUNDARY, rows_moved

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

STEPS = 60
"""Passes at most; 6 to 15 are usual."""


class Centre(NamedTuple):
    """Where the path was left: coefficients (the intercept last), mu, and both values there."""

    theta: Float64[Array, "q1"]
    mu: float
    primal: float
    dual: float


class _Direction(NamedTuple):
    """A Newton direction in every variable."""

    theta: Array
    margin: Array
    a: Array
    above: Array
    below: Array
    z: Array
    lower: Array
    upper: Array
    nu: float


@dataclass
class _Node:
    """What stays on the way: signed columns, and their rows in float32 until that is too rough;
    which of them share `remaining`, and where these are; lam where they do not, 0 for the
    intercept."""

    block: Array
    single: Array | None
    rows: Rows
    shared: Array
    at: Array
    remaining: int
    ridge: Array

    def gram(self, weight: Array) -> Array:
        """sum_i weight_i x_i x_i^T, in float32 while its rounding is far below the ridge.

        Of one matrix and itself: half the work.
        """
        root = np.sqrt(weight)
        if self.single is not None:
            scaled = self.single * root.astype(np.float32)[:, None]
            gram = (scaled.T @ scaled).astype(np.float64)
            if np.finfo(np.float32).eps * float(gram.diagonal().max()) <= SINGLE * self.rows.lam:
                return gram
            self.single = None  # for good: rows near the kink weigh more and more
        scaled = self.block * root
        return scaled @ scaled.T


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
        """Largest length up to 1 / BOUNDARY that keeps the columns' variables on their side."""
        total = float(step.z.sum())
        pace = BOUNDARY
        for value, change in (
            (self.z, step.z),
            (1.0 - self.z, -step.z),
            (self.lower, step.lower),
            (self.upper, step.upper),
            (np.array([self.nu, self.room]), np.array([step.nu, -total])),
        ):
            pace = max(pace, float((-change / value).max(initial=0.0)))
        return 1.0 / pace

    def moved(self, step: _Direction, node: _Node) -> _Iterate:
        """After a step; room afresh, so that it does not drift."""
        length = BOUNDARY * self.reach(step)
        theta, z = self.theta + length * step.theta, self.z + length * step.z
        margin = self.margin + length * step.margin
        now, change = (self.a, self.above, self.below), (step.a, step.above, step.below)
        a, above, below = rows_moved(now, change, length, margin)
        return _Iterate(
            theta,
            margin,
            a,
            above,
            below,
            z,
            self.lower + length * step.lower,
            self.upper + length * step.upper,
            self.nu + length * step.nu,
            max(node.remaining - float(z.sum()), 1e-300),
        )


def _direction(it: _Iterate, node: _Node, mu: float, t: float) -> _Direction:
    """Newton's direction to the path's point at mu and t, reduced to (beta, b)."""
    block, w, lam, at = node.block, node.rows.w, node.rows.lam, node.at
    beta, z = it.theta[at], it.z
    row = 1.0 / (it.above / it.a + it.below / (1.0 - it.a))
    slope = -lam * beta / z**2  # d2 / d beta d z of the penalty
    barrier = it.lower / z + it.upper / (1.0 - z)
    give = 1.0 / (lam * beta**2 / z**3 + barrier)
    stiff = it.nu / it.room
    soft = 1.0 + stiff * float(give.sum())
    curvature = row * w
    hessian = node.gram(curvature)
    schur = node.ridge.copy()  # lam / z - slope^2 give, without the cancellation
    schur[at] = lam / z * barrier * give
    hessian.flat[:: len(hessian) + 1] += schur + 1e-14
    tilt = np.zeros(len(hessian))
    tilt[at] = slope * give
    hessian += np.outer((stiff / soft) * tilt, tilt)

    residual = 1.0 - it.margin + mu / it.a - mu / (1.0 - it.a)
    push = 0.5 * lam * (beta / z) ** 2 - t / it.room - t / (1.0 - z) + t / z
    quadratic = node.ridge.copy()
    quadratic[at] = lam / z
    right = block @ (curvature * residual + w * it.a) - quadratic * it.theta
    mean = float(give @ push) / soft
    right[at] -= tilt[at] * (push - stiff * mean)
    theta = np.linalg.solve(hessian, right)
    margin = theta @ block
    a = row * (residual - margin)
    change = push - slope * theta[at]
    total = float(give @ change) / soft
    dz = give * (change - stiff * total)
    return _Direction(
        theta,
        margin,
        a,
        (mu - it.above * (it.a + a)) / it.a,
        (mu - it.below * (1.0 - it.a - a)) / (1.0 - it.a),
        dz,
        (t - it.lower * (z + dz)) / z,
        (t - it.upper * (1.0 - z - dz)) / (1.0 - z),
        (t - it.nu * (it.room - total)) / it.room,
    )


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
    # A direction need not be exact, its right-hand side is.
    single = np.ascontiguousarray(block.T, np.float32)
    node = _Node(block, single, rows, ~forced, np.flatnonzero(~forced), remaining, ridge)
    it = _first(node, theta)
    best = Centre(theta, START_MU, np.inf, -np.inf)
    centring = idle = 0
    least = np.inf
    for step in range(STEPS):
        mu, pair = it.complementarity(rows.w)
        left = mu + pair * len(it.z)
        least, idle = min(least, left), 0 if left < least else idle + 1
        primal = _primal(it, node)
        passing = primal - left > cutoff  # near the path the dual is primal - 2 left
        goal = max(floor, LEAST_MU * primal)
        if primal < cutoff < np.inf:  # it will not be pruned: a bound for fixing will do
            goal = max(goal, FIXING * (cutoff - primal))
        elif passing and _dual(it.a, node) > cutoff + 4.0 * mu:
            goal = max(goal, mu)
        near = mu <= 2.0 * goal
        centring += near
        last = centring > CENTRING or idle > CENTRING or step == STEPS - 1
        if near or passing or last:
            a = BarrierHinge(mu).dual(it.margin)
            dual = _dual(a, node)
            if dual > best.dual:
                best = Centre(it.theta, mu, primal, dual)
            done = near and (primal - dual <= 6.0 * goal or dual > cutoff)
            if done or last:
                break
        share = goal / max(len(it.z), 1)
        aim = (goal, share) if near else (max(SHRINK * mu, goal), max(SHRINK * pair, share))
        it = it.moved(_direction(it, node, *aim), node)
    return best


def _first(node: _Node, theta: Array) -> _Iterate:
    """Rows on the path of START_MU; z the larger of what the gains and the coefficients say."""
    rows, shared, r = node.rows, node.shared, node.remaining
    margin = theta @ node.block
    path = BarrierHinge(START_MU)
    a, rest = path.dual(margin), path.dual(2.0 - margin)
    count = int(shared.sum())
    t = START_MU / max(count, 1)
    gain = ((node.block[:-1] @ (rows.w * a)) ** 2 / (2.0 * rows.lam))[shared]
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
    for _ in range(20):
        nu = 0.5 * (low + high)
        ahead = nu - gain
        z = 2.0 * t / (ahead + 2.0 * t + np.sqrt(ahead * ahead + 4.0 * t * t))
        low, high = (nu, high) if z.sum() > ROOM * r else (low, nu)
    return z


def _primal(it: _Iterate, node: _Node) -> float:
    """The relaxed objective with the iterate's own z."""
    loss = float(np.maximum(1.0 - it.margin, 0.0) @ node.rows.w)
    shared = float((it.theta[:-1][node.shared] ** 2 / it.z).sum())
    return loss + 0.5 * (float(node.ridge @ it.theta**2) + node.rows.lam * shared)


def _dual(a: Array, node: _Node) -> float:
    """The bound of a dual point over the node's columns."""
    rows = node.rows
    a = repair_intercept(a[None], rows.y, rows.w, rows.loss)[0]
    gain = (node.block[:-1] @ (rows.w * a)) ** 2 / (2.0 * rows.lam)
    held = float(gain[~node.shared].sum()) + sum_of_largest(gain[node.shared], node.remaining)
    return float(rows.w @ a) - held
