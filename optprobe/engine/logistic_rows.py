"""Row by row work of a centre of the logistic loss, compiled: its fit, and what its rows may do.

The formulas are those of `centres.refit`, `filter.around` and `damping`; NumPy writes all the rows
for every operation. Here a row takes an exponential and a logarithm or two in one go.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from jaxtyping import Float64

from optprobe.engine.damping import table
from optprobe.engine.filter import Weightings
from optprobe.loops import combine, descend, dot, times
from optprobe.rows import Rows

Array = np.ndarray

TINY = float(np.finfo(float).tiny)
"""No smaller number is divided by, or has its logarithm taken."""


def moved(margin: Float64[Array, "n"], rows: Rows, reach: float) -> tuple[float, Weightings]:
    """sum w H(a) and the weights of the rows at the repaired dual point of these margins."""
    push, move, tilt = np.empty((3, len(margin)))
    entropy = _moved(margin, rows.y, rows.w, table(reach), push, move, tilt)
    return entropy, Weightings(push, move, move, tilt)  # c is omega


def refit(
    forced: Float64[Array, "s n"],
    fixed: Float64[Array, "n"],
    start: Float64[Array, "s1"],
    rows: Rows,
    steps: int,
) -> Float64[Array, "s1"]:
    """`centres.refit` of the logistic loss."""
    block = np.concatenate([forced, np.ones((1, len(fixed)))])
    ridge = np.append(np.full(len(forced), rows.lam), 0.0)
    base = start.copy()
    _refit(block, fixed, rows.y, rows.w, ridge, steps, base)
    return base


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "nsz", "reassoc"})
def _moved(margin, y, w, psi, push, move, tilt):  # type: ignore
    """Fills w a y, w omega and w omega y H'(a); the entropy."""
    above = below = 0.0
    for i in range(len(margin)):
        small = math.exp(-abs(margin[i]))
        a = (small if margin[i] > 0.0 else 1.0) / (1.0 + small)
        push[i] = a
        if y[i] > 0.0:
            above += w[i] * a
        else:
            below += w[i] * a
    least = min(above, below)
    up, down = least / max(above, TINY), least / max(below, TINY)
    nodes = len(psi) - 1
    entropy = 0.0
    for i in range(len(margin)):
        a = push[i] * (up if y[i] > 0.0 else down)
        rest = 1.0 - a
        place = min(a, rest) * (2 * nodes)
        left = max(0, min(int(place), nodes - 1))
        share = place - left
        omega = a * rest * (psi[left] * (1.0 - share) + psi[left + 1] * share)
        log, other = math.log(max(a, TINY)), math.log(max(rest, TINY))
        entropy -= w[i] * (a * log + rest * other)
        push[i] = w[i] * a * y[i]
        move[i] = w[i] * omega
        tilt[i] = move[i] * y[i] * (other - log)
    return entropy


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _refit(block, fixed, y, w, ridge, steps, base):  # type: ignore
    """Newton with halved steps from `base`, which the best point takes the place of."""
    size, n = block.shape
    pull, bend, part = np.empty(n), np.empty(n), np.empty(n)
    gradient, hessian = np.empty(size), np.empty((size, size))
    theta, step, slope = base.copy(), np.zeros(size), np.empty(size)
    best = np.inf
    for turn in range(steps):
        part[:] = fixed
        combine(theta, block, part)
        value = _seen(part, y, w, pull, bend)
        for p in range(size):
            value += 0.5 * ridge[p] * theta[p] * theta[p]
        if value > best:
            step *= 0.5
        else:
            base[:], best = theta, value
            if turn == steps - 1:
                return
            for p in range(size):
                slope[p] = gradient[p] = ridge[p] * theta[p] - dot(pull, block[p])
                times(part, bend, block[p])
                for q in range(p + 1):
                    hessian[p, q] = hessian[q, p] = dot(part, block[q])
                hessian[p, p] += ridge[p] + 1e-12
            step[:] = 0.0
            if not descend(hessian, gradient, step):
                return
            if -np.sum(slope * step) <= 1e-14 * abs(value):
                return
        theta[:] = base + step


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "nsz", "reassoc"})
def _seen(score, y, w, pull, bend):  # type: ignore
    """sum w l; fills w a y and w l''."""
    value = 0.0
    for i in range(len(score)):
        margin = y[i] * score[i]
        far = abs(margin)
        small = math.exp(-far)
        rest = 1.0 / (1.0 + small)
        value += w[i] * (math.log(1.0 + small) + (0.0 if margin > 0.0 else far))
        pull[i] = w[i] * y[i] * (small if margin > 0.0 else 1.0) * rest
        bend[i] = w[i] * small * rest * rest
    return value
