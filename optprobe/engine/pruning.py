"""Newton steps on thousands of supports, compiled, until the dual value of an iterate prunes.

Every iterate of a logistic fit is a dual point, whose value needs one pass over the rows:

    D = sum w H(a') - ||X_S' (w a' y)||^2 / (2 lam),   H(a) = l(m) + a m  for a = 1 / (1 + e^m)

where a' is a with one class c, the one with the larger sum of w a, scaled by s = 1 - tau so that
sum w a' y = 0. No second pass is needed for its entropy, because H is concave and H(0) = 0, and
because KL <= chi^2:

    sum_c w H(s a) >= max(s sum_c w H(a), sum_c w (H(a) - tau a m - tau^2 a / (1 - a)))

Most supports of a leaf are pruned by their first iterate, the Newton step from a point that they
share (`expansion`). What is left after `STEPS` goes to the careful method of `support.newton`.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from jaxtyping import Float64, Int

from optprobe.engine.expansion import Expansion
from optprobe.rows import Rows
from optprobe.threads import in_threads

Array = np.ndarray

STEPS = 4
"""Iterates of a support."""

PART = 128
"""Supports of one piece of work."""

FAR = 40.0
"""Margins beyond it are taken for it in e^-|m|."""


class Pruned(NamedTuple):
    """The best iterate of every support (coefficients, intercept last), and its dual value."""

    theta: Float64[Array, "m k1"]
    dual: Float64[Array, "m"]


def prune(
    block: Float64[Array, "q n"],
    supports: Int[Array, "m k"],
    rows: Rows,
    start: Expansion,
    cutoff: float,
) -> Pruned:
    """Iterate every support until its dual value exceeds the cutoff.

    Args:
        block: signed columns, the intercept's last (see `support.signed`).
        supports: rows of `block`.
        rows: labels, weights, the logistic loss and ridge.
        start: whose Newton steps are the first iterates.
        cutoff: what prunes.
    """
    order = np.argsort(-rows.y, kind="stable")  # the positive class first
    table, weight = np.ascontiguousarray(block[:, order]), rows.w[order]
    split = int((rows.y > 0).sum())
    full = np.column_stack([supports, np.full(len(supports), len(block) - 1)])
    theta, dual = np.zeros(full.shape), np.full(len(full), -np.inf)

    def work(first: int) -> None:
        part = slice(first, first + PART)
        found = full[part], theta[part], dual[part]
        _prune(table, weight, split, tuple(start), rows.lam, cutoff, *found)

    in_threads(work, range(0, len(full), PART))
    return Pruned(theta, dual)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _prune(block, weight, split, expansion, lam, cutoff, full, best, dual):  # type: ignore
    """`prune`: fills `best` and `dual`."""
    start, slope, curvature = expansion
    n, size = len(weight), full.shape[1]
    margin, pull, bend = np.empty(n), np.empty(n), np.empty(n)
    theta, gradient = np.empty(size), np.empty(size)
    hessian, v = np.empty((size, size)), np.empty((2, size))
    mass, sums = np.empty(2), np.empty((2, 3))
    for s in range(len(full)):
        support = full[s]
        for p in range(size):
            theta[p] = start[support[p]]
            gradient[p] = slope[support[p]] + (lam * theta[p] if p < size - 1 else 0.0)
            for q in range(size):
                hessian[p, q] = curvature[support[p], support[q]]
        for step in range(STEPS):
            for p in range(size):
                hessian[p, p] += lam if p < size - 1 else 1e-12
            if not _descend(hessian, gradient, theta):
                break
            margin[:] = 0.0
            for p in range(size):
                _add(margin, theta[p], block[support[p]])
            for c in range(2):
                rows = slice(0, split) if c == 0 else slice(split, n)
                mass[c], sums[c, 0], sums[c, 1], sums[c, 2] = _terms(
                    margin[rows], weight[rows], pull[rows], bend[rows]
                )
                for p in range(size):
                    v[c, p] = _dot(pull[rows], block[support[p], rows])
            if not mass[0] + mass[1] > 0.0:
                break
            heavy = 0 if mass[0] > mass[1] else 1
            tau = 1.0 - mass[1 - heavy] / mass[heavy]
            entropy = max(
                (1.0 - tau) * sums[heavy, 0],
                sums[heavy, 0] - tau * sums[heavy, 1] - tau * tau * sums[heavy, 2],
            )
            value = entropy + sums[1 - heavy, 0]
            for p in range(size - 1):
                value -= ((1.0 - tau) * v[heavy, p] + v[1 - heavy, p]) ** 2 / (2.0 * lam)
            if value > dual[s]:
                dual[s] = value
                best[s] = theta
            if value > cutoff or step == STEPS - 1:
                break
            for p in range(size):
                gradient[p] = (lam * theta[p] if p < size - 1 else 0.0) - v[0, p] - v[1, p]
                margin[:] = bend * block[support[p]]
                for q in range(p + 1):
                    hessian[p, q] = hessian[q, p] = _dot(margin, block[support[q]])


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "nsz"})
def _add(total, factor, column):  # type: ignore
    """total += factor * column."""
    for i in range(len(total)):
        total[i] += factor * column[i]


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "nsz", "reassoc"})
def _dot(a, b):  # type: ignore
    """a . b."""
    total = 0.0
    for i in range(len(a)):
        total += a[i] * b[i]
    return total


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "nsz", "reassoc"})
def _terms(margin, weight, pull, bend):  # type: ignore
    """w a and w a (1 - a); sums of w a, w H(a), w a m and w a / (1 - a).

    e^-|m| is the 256th power of a polynomial of degree 10, ln(1 + x) the series of
    2 artanh(x / (2 + x)): both to some 1e-14, and loops that the processor runs in lanes.
    """
    mass = entropy = tilt = spread = 0.0
    for i in range(len(margin)):
        m = margin[i]
        size = abs(m)
        t = (size if size < FAR else FAR) * (-1.0 / 256.0)
        x = 1.0 + t * (1.0 / 10.0)
        x = 1.0 + t * (1.0 / 9.0) * x
        x = 1.0 + t * (1.0 / 8.0) * x
        x = 1.0 + t * (1.0 / 7.0) * x
        x = 1.0 + t * (1.0 / 6.0) * x
        x = 1.0 + t * (1.0 / 5.0) * x
        x = 1.0 + t * (1.0 / 4.0) * x
        x = 1.0 + t * (1.0 / 3.0) * x
        x = 1.0 + t * (1.0 / 2.0) * x
        x = 1.0 + t * x
        x *= x
        x *= x
        x *= x
        x *= x
        x *= x
        x *= x
        x *= x
        x *= x
        z = x / (2.0 + x)
        y = z * z
        log = 1.0 / 25.0
        log = 1.0 / 23.0 + y * log
        log = 1.0 / 21.0 + y * log
        log = 1.0 / 19.0 + y * log
        log = 1.0 / 17.0 + y * log
        log = 1.0 / 15.0 + y * log
        log = 1.0 / 13.0 + y * log
        log = 1.0 / 11.0 + y * log
        log = 1.0 / 9.0 + y * log
        log = 1.0 / 7.0 + y * log
        log = 1.0 / 5.0 + y * log
        log = 1.0 / 3.0 + y * log
        log = 2.0 * z * (1.0 + y * log)
        rest = 1.0 / (1.0 + x)
        a = x * rest if m > 0.0 else rest
        loss = log if m > 0.0 else log - m
        wa = weight[i] * a
        pull[i] = wa
        bend[i] = weight[i] * x * rest * rest
        mass += wa
        entropy += weight[i] * loss + wa * m
        tilt += wa * m
        spread += weight[i] * (x if m > 0.0 else 1.0 / x)
    return mass, entropy, tilt, spread


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _descend(hessian, gradient, theta):  # type: ignore
    """theta -= hessian^-1 gradient by Cholesky, in place; False if that fails."""
    size = len(theta)
    for p in range(size):
        for q in range(p + 1):
            total = hessian[p, q]
            for r in range(q):
                total -= hessian[p, r] * hessian[q, r]
            if p == q:
                if not total > 0.0:
                    return False
                hessian[p, p] = np.sqrt(total)
            else:
                hessian[p, q] = total / hessian[q, q]
    for p in range(size):
        for r in range(p):
            gradient[p] -= hessian[p, r] * gradient[r]
        gradient[p] /= hessian[p, p]
    for p in range(size - 1, -1, -1):
        for r in range(p + 1, size):
            gradient[p] -= hessian[r, p] * gradient[r]
        gradient[p] /= hessian[p, p]
    for p in range(size):
        theta[p] -= gradient[p]
    return True
