"""Where H of a dual variable lies above a parabola, for the losses that have one.

    H(a - omega y s) >= H(a) - omega y s H'(a) - c s^2 / 2,  a - omega y s in the box,  |s| <= e

Squared hinge. H'' = -1/2: equality with c = omega^2 / 2. omega = min(2, a/e) a few u less, so that
omega e <= a and the box, a >= 0, is kept; c <= omega. Squared error. H'' = -1 and there is no box:
equality with omega = c = 1. Either slope, 1 - a/2 and y - a, has the relative error u.

Logistic, c = omega:

    omega <= a (1 - a),  0 <= a + s omega <= 1,  KL(a + s omega || a) <= omega s^2 / 2,  |s| <= e

KL(a + u || a) / u^2 = int_0^1 (1 - t) / ((a + t u) (1 - a - t u)) dt is convex in u, for 1 / (x (1
- x)) is convex in x: over |u| <= omega e it is largest at an end, so only the two ends need
checking. Exchanging a and 1 - a changes nothing: from here on a <= 1/2.

omega = a (1 - a) psi(a) with psi by straight lines through a table. The table is not relied upon:
every omega is tested at both ends, and is 0 if it fails. With t = omega e, r = 1 - a, the terms

    (a + t) ln(1 + t/a) + (r - t) ln(1 - t/r),    (a - t) ln(1 - t/a) + (r + t) ln(1 + t/r)

are computed with an error of at most 80 u a. None is larger than 2a, for x |ln x| <= 1 - x in (0,
1), so a logarithm's 8u and the 3u of the factors cost 22 u a each; a relative error of 3u in t/a or
t/r, neither nearer to 1 than 2^-50, moves a term by 5 u a at most. The test asks for 128 u a to
spare.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from optprobe.checker.duals import Rows
from optprobe.checker.rounding import U

if TYPE_CHECKING:
    from jaxtyping import Bool, Float64

Array = np.ndarray

NODES = 4096
"""The table has psi at a = i / (2 NODES), i = 0 ... NODES, times SHRUNK: part of the format."""

SHRUNK = 1.0 - 1e-5

SMALLEST = 2.0**-900
"""Rows with a below it do not move: nothing underflows in the others."""


class Parabola(NamedTuple):
    """omega, c and H'(a) of every row.

    Attributes:
        size: at least omega |H'(a)|; omega H'(a) is computed with an error of 16 u size.
    """

    omega: Float64[Array, "n"]
    bend: Float64[Array, "n"]
    slope: Float64[Array, "n"]
    size: Float64[Array, "n"]


def parabola(rows: Rows, dual: Float64[Array, "n"], reach: float) -> Parabola:
    """The parabolas for |s| <= reach at a point of the box; not for the hinge."""
    if rows.loss == "squared_error":
        one, slope = np.ones(rows.n), rows.y - dual
        return Parabola(one, one, slope, np.abs(slope))
    if rows.loss == "squared_hinge":
        moved = np.minimum(2.0, dual / reach * (1.0 - 2.0**-50))
        moved = np.where(dual > SMALLEST, moved, 0.0)
        slope = 1.0 - 0.5 * dual
        return Parabola(moved, 0.5 * moved * moved, slope, moved * np.abs(slope))
    moved = omega(dual, reach)
    inside = np.where(moved > 0.0, dual, 0.5)
    slope = np.log1p(-inside) - np.log(inside)
    return Parabola(moved, moved, slope, np.ones(rows.n))  # see section 9 of `rounding`


def omega(dual: Float64[Array, "n"], reach: float) -> Float64[Array, "n"]:
    """omega of the logistic loss, 0 where the table's does not pass the test."""
    least = np.minimum(dual, 1.0 - dual)
    psi = np.interp(least, np.linspace(0.0, 0.5, NODES + 1), _table(reach))
    moved = dual * (1.0 - dual) * psi
    return np.where(_passes(least, moved, reach), moved, 0.0)


def _passes(
    least: Float64[Array, "n"], moved: Float64[Array, "n"], reach: float
) -> Bool[Array, "n"]:
    """Whether omega = moved holds at a = least <= 1/2, whatever rounding does."""
    usable = least > SMALLEST
    a = np.where(usable, least, 0.5)
    t = np.where(usable, moved, 0.0) * reach
    inside = t <= a * (1.0 - 2.0**-50)
    rest, t = 1.0 - a, np.minimum(t, a * (1.0 - 2.0**-50))
    up = (a + t) * np.log1p(t / a) + (rest - t) * np.log1p(-np.minimum(t / rest, 1.0 - U))
    down = (a - t) * np.log1p(-np.minimum(t / a, 1.0 - U)) + (rest + t) * np.log1p(t / rest)
    limit = 0.5 * t * reach * (1.0 - 8.0 * U) - 128.0 * U * a
    return usable & inside & (np.maximum(up, down) <= limit) & (moved <= a * rest)


@functools.cache
def _table(reach: float) -> Float64[Array, "nodes"]:
    """The largest psi <= 1 at every node, found by halving, times SHRUNK."""
    a = np.linspace(0.0, 0.5, NODES + 1)
    a[0] = 1e-9
    rest, psi, step = 1.0 - a, np.zeros(NODES + 1), 1.0
    for _ in range(60):
        tried = np.minimum(psi + step, 1.0)
        x = np.minimum(rest * tried * reach, 1.0)  # t / a
        z = a * x / rest
        up = (1.0 + x) * np.log1p(x) + (rest - a * x) / a * np.log1p(-np.minimum(z, 1.0 - U))
        down = (1.0 - x) * np.log1p(-np.minimum(x, 1.0 - U)) + (rest + a * x) / a * np.log1p(z)
        fits = (rest * tried * reach <= 1.0) & (np.maximum(up, down) <= 0.5 * x * reach)
        psi = np.where(fits, tried, psi)
        step *= 0.5
    return psi * SHRUNK
