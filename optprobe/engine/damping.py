"""How far a logistic dual variable may move when its entropy is replaced by a parabola.

For a in (0, 1), q = a (1 - a) and a reach e, psi(a) is the largest psi <= 1 with

    0 <= a +- q psi e <= 1   and   KL(a +- q psi e || a) <= q psi e^2 / 2     (Bernoulli KL)

and then KL(a + q psi s || a) <= q psi s^2 / 2 for every |s| <= e, not only at its ends: with
g(x) = 1 / (x (1 - x)),

    KL(a + u || a) / u^2 = int_0^1 (1 - t) g(a + t u) dt

is convex in u, as g is, so that it is largest at one of the ends u = +- q psi e. For e = 2, psi is
0.5 near a = 0 or 1, 0.55 at 0.1 and 0.85 at 0.5.
"""

from __future__ import annotations

import functools

import numpy as np
from jaxtyping import Bool, Float64

Array = np.ndarray

NODES = 4096
"""Intervals of the table, equal steps of min(a, 1 - a) from 0 to 1/2."""

ALMOST = 1.0 - 2.0**-53
"""No end is nearer to the boundary of [0, 1]."""

ROUNDED = 1.0 - 1e-5
"""Times this, straight lines between the nodes lie below psi."""


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


def damping(dual: Float64[Array, "n"], reach: float) -> Float64[Array, "n"]:
    """omega = q psi(a): a + s omega stays in [0, 1] and costs at most omega s^2 / 2, |s| <= e."""
    least = np.minimum(dual, 1.0 - dual)
    place = least * (2 * NODES)
    left = np.minimum(place.astype(np.int64), NODES - 1)
    share = place - left
    nodes = table(reach)
    psi = nodes[left] * (1.0 - share) + nodes[left + 1] * share
    return dual * (1.0 - dual) * psi
