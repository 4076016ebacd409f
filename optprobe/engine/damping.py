"""How far the dual variable of a row may move, and what it costs.

With delta = -omega y s, and a + delta in the box of the loss for every |s| <= e,

    H(a + delta) >= H(a) + H'(a) delta - c s^2 / 2

                   omega         c            H'(a)
    logistic       q psi(a)      omega        ln((1 - a) / a)     q = a (1 - a)
    squared_hinge  min(2, a/e)   omega^2 / 2  1 - a/2             equality: H'' = -1/2
    squared_error  1             1            y - a               equality: H'' = -1; no box

psi(a) is the largest psi <= 1 such that, for the Bernoulli KL,

    0 <= a +- q psi e <= 1   and   KL(a +- q psi e || a) <= q psi e^2 / 2

and then KL(a + q psi s || a) <= q psi s^2 / 2 for every |s| <= e, not only at its ends: with
g(x) = 1 / (x (1 - x)),

    KL(a + u || a) / u^2 = int_0^1 (1 - t) g(a + t u) dt

is convex in u, as g is, so that it is largest at one of the ends u = +- q psi e. For e = 2, psi is
0.5 near a = 0 or 1, 0.55 at 0.1 and 0.85 at 0.5.

The hinge has no curvature to pay for (c = 0, omega = min(a, 1 - a) / e), but most of its dual
variables are 0 or 1 and could not move; a smoothing that frees them costs more than is won.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64

from optprobe.losses import Logistic, Loss, SquaredError, SquaredHinge
from optprobe.rows import Rows

Array = np.ndarray

CLIP, REACH = 0.8, 2.0
"""kappa, in standard deviations of a column, and e, where the dual variables have a box."""

FREE_CLIP, FREE_REACH = 4.0, 4.0
"""The same without a box, e in standard deviations of the targets: it only limits rounding."""

MOVED = (Logistic, SquaredHinge, SquaredError)
"""The losses with a parabola below H."""

NODES = 4096
"""Intervals of the table of psi, equal steps of min(a, 1 - a) from 0 to 1/2."""

ALMOST = 1.0 - 2.0**-50
"""No end is nearer to the boundary of the box."""

ROUNDED = 1.0 - 1e-5
"""Times this, straight lines between the nodes lie below psi."""


class Range(NamedTuple):
    """What the steps of a loss are held to: kappa and e."""

    clip: float
    reach: float


def limits(rows: Rows) -> Range:
    """Kappa and e for the rows' loss, one of `MOVED`."""
    if isinstance(rows.loss, SquaredError):
        return Range(FREE_CLIP, FREE_REACH * rows.spread)
    return Range(CLIP, REACH)


class Moves(NamedTuple):
    """omega, c and H'(a) of every row; the slope is finite where omega is 0."""

    omega: Float64[Array, "n"]
    bend: Float64[Array, "n"]
    slope: Float64[Array, "n"]


def moves(loss: Loss, dual: Float64[Array, "n"], reach: float) -> Moves:
    """The moves for |s| <= reach from dual variables inside the box; a loss of `MOVED`."""
    match loss:
        case Logistic():
            omega = dual * (1.0 - dual) * damping(dual, reach)
            inside = np.where(omega > 0.0, dual, 0.5)
            return Moves(omega, omega, np.log1p(-inside) - np.log(inside))
        case SquaredHinge():
            omega = np.minimum(2.0, dual / reach * ALMOST)
            return Moves(omega, 0.5 * omega * omega, 1.0 - 0.5 * dual)
        case SquaredError():
            return Moves(np.ones_like(dual), np.ones_like(dual), loss.target - dual)
        case _:
            raise ValueError(f"no parabola lies below the H of {loss.name}")


def damping(dual: Float64[Array, "n"], reach: float) -> Float64[Array, "n"]:
    """psi(a) of the logistic loss, from the table."""
    least = np.minimum(dual, 1.0 - dual)
    place = least * (2 * NODES)
    left = np.minimum(place.astype(np.int64), NODES - 1)
    share = place - left
    nodes = table(reach)
    return nodes[left] * (1.0 - share) + nodes[left + 1] * share


def admissible(
    least: Float64[Array, "*rows"], psi: Float64[Array, "*rows"], reach: float
) -> Bool[Array, "*rows"]:
    """Whether psi meets both conditions at a = least, 0 < least <= 1/2 (psi(1 - a) = psi(a)).

    With x = (1 - a) psi e, the two ends are a (1 +- x), and KL is divided by a throughout.
    """
    rest = 1.0 - least
    x = rest * psi * reach
    limit = 0.5 * x * reach
    worst = np.zeros_like(limit)
    for move in (np.minimum(x, ALMOST), -np.minimum(x, ALMOST)):
        left = rest - least * move
        kl = (1.0 + move) * np.log1p(move) + left / least * np.log1p(-least * move / rest)
        worst = np.maximum(worst, kl)
    return (x <= ALMOST) & (worst <= limit)


@functools.cache
def table(reach: float) -> Float64[Array, "nodes"]:
    """psi at the nodes, by bisection, rounded down."""
    least = np.maximum(np.linspace(0.0, 0.5, NODES + 1), 1e-9)
    low, high = np.zeros(NODES + 1), np.ones(NODES + 1)
    for _ in range(60):
        middle = 0.5 * (low + high)
        good = admissible(least, middle, reach)
        low, high = np.where(good, middle, low), np.where(good, high, middle)
    return low * ROUNDED
