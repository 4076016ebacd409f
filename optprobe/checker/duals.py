"""Dual points and objectives of the four losses, each number with its error on the safe side.

    P(S) >= sum_i w_i H(a_i) - sum_{j in S} g_j,   g_j = v_j^2 / (2 lam),   v = Z^T (w a y)
    for a in the box with sum_i w_i a_i y_i = 0

`rounding` says why what is computed here lies below the left number and above each right one.
Rows are ordered with the positive class first; for squared error they all count as positive, and
the margin is the score itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from optprobe.checker.rounding import TINY, UP, U, gamma

if TYPE_CHECKING:
    from jaxtyping import Float64

Array = np.ndarray

BLOCK = 64
"""Class sums are taken over blocks of so many terms, which keeps their proven error small."""


@dataclass(frozen=True)
class Rows:
    """Weights and y (-1/+1 or target) of the training rows, `positives` of sign +1; loss, ridge."""

    w: Float64[Array, "n"]
    y: Float64[Array, "n"]
    positives: int
    loss: str
    lam: float

    @property
    def n(self) -> int:
        """Number of training rows."""
        return len(self.w)


@dataclass(frozen=True)
class Duals:
    """A batch of feasible dual points, ready to be turned into gains.

    Attributes:
        value: at most sum w H(a).
        u: w a y, rounded.
        rho: at least the residual of the intercept condition.
    """

    value: Float64[Array, "batch"]
    u: Float64[Array, "batch n"]
    rho: Float64[Array, "batch"]


def box_point(
    rows: Rows, scores: Float64[Array, "batch n"], mu: Float64[Array, "batch"]
) -> Float64[Array, "batch n"]:
    """a(m) at m = y * scores, clipped into the box, the heavier class scaled down.

    For squared error, which has no box, y - scores less their weighted mean. Whatever is returned
    is a member of the box; its residual is measured afterwards.
    """
    margin = scores.copy()
    margin[:, rows.positives :] *= -1.0
    if rows.loss == "squared_error":
        dual = np.subtract(rows.y, margin, out=margin)
        dual[np.isnan(dual)] = 0.0
        dual -= (_dot(dual, rows.w) / rows.w.sum())[:, None]
        return dual
    if rows.loss == "logistic":
        dual = np.exp(margin, out=margin)
        dual += 1.0
        np.divide(1.0, dual, out=dual)
    elif rows.loss == "squared_hinge":
        dual = 2.0 * np.maximum(1.0 - margin, 0.0)
    else:
        distance, smooth = np.abs(margin - 1.0), 2.0 * mu[:, None]
        small = smooth / (distance + smooth + np.sqrt(distance * distance + smooth * smooth))
        dual = np.clip(np.where(margin >= 1.0, small, 1.0 - small), 0.0, 1.0)
    classes = (slice(None, rows.positives), slice(rows.positives, None))
    mass = [_dot(dual[:, part], rows.w[part]) for part in classes]
    wrong = ~np.isfinite(mass[0] + mass[1])
    if wrong.any():  # some scores were no numbers: 0 is in the box
        dual[wrong], mass[0][wrong], mass[1][wrong] = 0.0, 0.0, 0.0
    least = np.minimum(*mass)
    for part, total in zip(classes, mass, strict=True):
        factor = np.where(total > 0.0, least / total, 0.0)
        dual[:, part] *= np.clip(factor, 0.0, 1.0)[:, None]
    return dual


def _dot(terms: Float64[Array, "batch q"], weights: Float64[Array, "q"]) -> Float64[Array, "batch"]:
    """terms @ weights without BLAS, whose threads would wait for each other beside ours."""
    return np.einsum("bq,q->b", terms, weights)


def duals(rows: Rows, dual: Float64[Array, "batch n"]) -> Duals:
    """Value and residual of points of the box (sections 1, 2 and 5 of `rounding`)."""
    growth = gamma(rows.n + 32)
    u = dual * rows.w
    value, absolute = _entropy(rows, dual, u)
    error = growth * absolute + rows.n * TINY
    short = gamma(rows.n // BLOCK + BLOCK + 32)
    if rows.loss == "squared_error":
        rho = np.abs(_blocked(u)) + short * _blocked(np.abs(u)) + rows.n * TINY
        size = (rows.w @ np.abs(rows.y)) * (1.0 + growth) + rows.n * TINY
        fall = rho / (rows.w.sum() * (1.0 - growth)) * size
        error += rows.n * TINY * np.abs(rows.y).max()
    else:
        above, below = _blocked(u[:, : rows.positives]), _blocked(u[:, rows.positives :])
        rho = np.abs(above - below) + short * (above + below) + rows.n * TINY
        heavier = np.maximum(above, below) * (1.0 - short)
        fall = np.where(rho < heavier, rho / heavier, 1.0) * absolute * (1.0 + growth)
    if rows.loss == "logistic":
        error += 64.0 * U * rows.w.sum() * UP
    low = value - (fall + error) * UP - 4.0 * U * np.abs(value)
    u[:, rows.positives :] *= -1.0
    return Duals(np.where(np.isfinite(low), low, -np.inf), u, rho)


def _blocked(terms: Float64[Array, "batch q"]) -> Float64[Array, "batch"]:
    """Sums of rows by way of the sums of BLOCK terms: error gamma(q / BLOCK + BLOCK)."""
    starts = np.arange(0, terms.shape[1], BLOCK)
    return np.add.reduceat(terms, starts, axis=1).sum(axis=1)


def _entropy(rows: Rows, dual: Array, u: Array) -> tuple[Array, Array]:
    """sum w H(a) and the sum of the absolute values of its terms, per point."""
    if rows.loss == "logistic":
        smallest = np.finfo(np.float64).tiny
        # Of numbers that are larger at most: the logarithms are, and the entropy smaller.
        logarithm = dual + smallest
        np.log(logarithm, out=logarithm)
        value = -np.einsum("bn,bn->b", u, logarithm)
        rest = 1.0 - dual
        np.log(np.add(rest, smallest, out=logarithm), out=logarithm)
        rest *= rows.w
        value -= np.einsum("bn,bn->b", rest, logarithm)
        return value, value
    if rows.loss == "squared_error":
        square = 0.5 * np.einsum("bn,bn->b", u, dual)
        return _dot(u, rows.y) - square, _dot(np.abs(u), np.abs(rows.y)) + square
    first = u.sum(axis=1)
    if rows.loss == "hinge":
        return first, first
    second = 0.25 * np.einsum("bn,bn->b", u, dual)
    return first - second, first + second


def gains(
    points: Duals,
    v: Float64[Array, "batch q"],
    norm: Float64[Array, "*q"],
    peak: Float64[Array, "*q"],
    lam: float,
) -> Float64[Array, "batch q"]:
    """At least g_j for every column (sections 3 and 4); infinite where v is not a number.

    Args:
        points: the dual points.
        v: u Z for the columns asked for.
        norm, peak: of those columns, one row for all points or one for each.
        lam: ridge strength.
    """
    n = points.u.shape[1]
    size = np.sqrt(np.einsum("bn,bn->b", points.u, points.u)) * (1.0 + gamma(n + 8)) + n * TINY
    error = (gamma(n + 8) * UP * size)[:, None] * norm
    error += (points.rho[:, None] * UP + n * TINY) * peak + n * TINY
    reach = (np.abs(v) + error) * UP
    gain = reach * reach / (2.0 * lam) * UP + TINY
    return np.where(np.isnan(gain), np.inf, gain)


def objective(
    rows: Rows, columns: Float64[Array, "s n"], beta: Float64[Array, "s"], intercept: float
) -> tuple[float, float]:
    """f(beta, b) to the nearest, and rounded up."""
    sizes = np.abs(beta)
    spread = sizes @ np.abs(columns) + abs(intercept)
    margin = beta @ columns + intercept
    margin[rows.positives :] *= -1.0
    error = gamma(len(beta) + 8) * spread + (len(beta) + 1) * TINY
    if rows.loss == "squared_error":
        at = np.abs(rows.y - margin)
        worst = np.nextafter(at + error, np.inf)
    else:
        at, worst = margin, np.nextafter(margin - error, -np.inf)
    ridge = 0.5 * rows.lam * _sum(beta * beta)
    plain = _sum(rows.w * _loss(rows.loss, at)) + ridge
    total = _sum(rows.w * _loss(rows.loss, worst)) * (1.0 + gamma(64))
    above = (total + ridge * (1.0 + gamma(16)) + rows.n * TINY) * UP
    return plain, above


def _sum(terms: Float64[Array, "n"]) -> float:
    try:
        return math.fsum(terms)
    except (OverflowError, ValueError):  # beyond float64, or infinities of both signs
        return math.inf


def _loss(loss: str, margin: Float64[Array, "n"]) -> Float64[Array, "n"]:
    """The loss of margins; for squared error, of distances to the target."""
    if loss == "squared_error":
        return 0.5 * margin * margin
    if loss == "logistic":
        return np.maximum(-margin, 0.0) + np.log1p(np.exp(-np.abs(margin)))
    slack = np.maximum(1.0 - margin, 0.0)
    return slack * slack if loss == "squared_hinge" else slack
