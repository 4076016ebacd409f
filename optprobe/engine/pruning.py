"""Newton steps on thousands of supports, compiled, until the dual value of an iterate prunes.

Every iterate of a logistic fit is a dual point, whose value needs one pass over the rows:

    D = sum w H(a') - ||X_S' (w a' y)||^2 / (2 lam),   H(a) = l(m) + a m  for a = 1 / (1 + e^m)

where a' is a with one class c, the one with the larger sum of w a, scaled by s = 1 - tau so that
sum w a' y = 0. No second pass is needed for its entropy, because H is concave and H(0) = 0, and
because KL <= chi^2:

    sum_c w H(s a) >= max(s sum_c w H(a), sum_c w (H(a) - tau a m - tau^2 a / (1 - a)))

Most supports of a leaf are pruned by their first iterate, the Newton step from a point that they
share (`expansion`). What is left after `STEPS` goes to the careful method of `support.newton`.

Rows are float32, in chunks whose sums are added up in float64. What a point a' is worth does not
depend on how well the margins were computed: entropy and a come from the same rounded margin, and
l(m) + a m, least there, is H(a). So only the sums are off. With u = 2^-24 and a chunk's c rows, a
sum is off by (c + 20) u of its terms' sizes, and s by twice that. With p_j = x_j' (w a' y),

    |D - computed| <= (3 c + 60) u [sum w (l + a |m|) + sum_j |p_j| sum_i w_i |x_ij| / lam]

which D is charged for (`ROUNDING`, a little more).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np
from jaxtyping import Float64, Int

from optprobe.engine.expansion import Expansion
from optprobe.loops import add, descend, dot, times
from optprobe.rows import Rows
from optprobe.threads import in_threads

Array = np.ndarray

STEPS = 4
"""Iterates of a support."""

PART = 128
"""Supports of one piece of work."""

FAR = 40.0
"""Margins beyond it are taken for it in e^-|m|."""

CHUNK = 128
"""Rows whose sums are float32."""

ROUNDING = 3e-5
"""What rounding may cost a dual value, of the size of what is summed."""


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
        start: whose least points are the first iterates.
        cutoff: what prunes.
    """
    order = np.argsort(-rows.y, kind="stable")  # the positive class first
    table = np.ascontiguousarray(block[:, order], np.float32)
    weight = rows.w[order].astype(np.float32)
    reach = np.abs(table) @ weight
    split = int((rows.y > 0).sum())
    full = np.column_stack([supports, np.full(len(supports), len(block) - 1)])
    theta, dual = np.zeros(full.shape), np.full(len(full), -np.inf)

    def work(first: int) -> None:
        part = slice(first, first + PART)
        found = full[part], theta[part], dual[part]
        _prune(table, weight, reach, split, tuple(start), rows.lam, cutoff, *found)

    in_threads(work, range(0, len(full), PART))
    return Pruned(theta, dual)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _prune(block, weight, reach, split, expansion, lam, cutoff, full, best, dual):  # type: ignore
    """`prune`: fills `best` and `dual`."""
    slope, curvature = expansion
    n, size = len(weight), full.shape[1]
    bend = np.empty(n, np.float32)
    work = np.empty((3, CHUNK), np.float32)
    power = np.empty(CHUNK, np.int32)
    theta, gradient = np.empty(size), np.empty(size)
    hessian, v = np.empty((size, size)), np.empty((2, size))
    sums = np.empty((2, 5))
    for s in range(len(full)):
        support = full[s]
        for p in range(size):
            theta[p], gradient[p] = 0.0, slope[support[p]]
            for q in range(size):
                hessian[p, q] = curvature[support[p], support[q]]
        for step in range(STEPS):
            for p in range(size):
                hessian[p, p] += lam if p < size - 1 else 1e-12
            if not descend(hessian, gradient, theta):
                break
            v[:] = 0.0
            sums[:] = 0.0
            for c in range(2):
                first, end = (0, split) if c == 0 else (split, n)
                for begin in range(first, end, CHUNK):
                    rows = slice(begin, min(begin + CHUNK, end))
                    width = rows.stop - begin
                    margin, pull = work[0, :width], work[1, :width]
                    margin[:] = np.float32(0.0)
                    for p in range(size):
                        add(margin, np.float32(theta[p]), block[support[p], rows])
                    _terms(margin, weight[rows], pull, bend[rows], power[:width], work[2], sums[c])
                    for p in range(size):
                        v[c, p] += dot(pull, block[support[p], rows])
            mass = sums[:, 0]
            if not mass[0] + mass[1] > 0.0:
                break
            heavy = 0 if mass[0] > mass[1] else 1
            tau = 1.0 - mass[1 - heavy] / mass[heavy]
            entropy = max(
                (1.0 - tau) * sums[heavy, 1],
                sums[heavy, 1] - tau * sums[heavy, 2] - tau * tau * sums[heavy, 3],
            )
            value = entropy + sums[1 - heavy, 1]
            terms = sums[0, 4] + sums[1, 4]
            for p in range(size - 1):
                pulled = (1.0 - tau) * v[heavy, p] + v[1 - heavy, p]
                value -= pulled * pulled / (2.0 * lam)
                terms += abs(pulled) * reach[support[p]] / lam
            value -= ROUNDING * terms
            if value > dual[s]:
                dual[s] = value
                best[s] = theta
            if value > cutoff or step == STEPS - 1:
                break
            for p in range(size):
                gradient[p] = (lam * theta[p] if p < size - 1 else 0.0) - v[0, p] - v[1, p]
            hessian[:] = 0.0
            for begin in range(0, n, CHUNK):
                rows = slice(begin, min(begin + CHUNK, n))
                bent = work[0, : rows.stop - begin]
                for p in range(size):
                    times(bent, bend[rows], block[support[p], rows])
                    for q in range(p + 1):
                        hessian[p, q] += dot(bent, block[support[q], rows])
            for p in range(size):
                for q in range(p):
                    hessian[q, p] = hessian[p, q]


ZERO, HALF, ONE, TWO = (np.float32(x) for x in (0.0, 0.5, 1.0, 2.0))
LIMIT, LOG2E, LN2, ROOT = (np.float32(x) for x in (FAR, 1 / np.log(2.0), np.log(2.0), 0.5**0.5))
BIAS, EXPONENT = np.float32(127.0), np.float32(2.0**23)
E2, E3, E4, E5, E6, E7 = (np.float32(1 / math.factorial(p)) for p in range(2, 8))
L3, L5, L7, L9, L11, L13 = (np.float32(1 / p) for p in range(3, 14, 2))
"""Compiled loops take a plain number for a float64 and go half as fast."""


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "nsz", "reassoc"})
def _terms(margin, weight, pull, bend, power, part, sums):  # type: ignore
    """w a and w a (1 - a); adds to the sums of w a, w H(a), w a m, w a / (1 - a) and w (l + a |m|).

    With |m| / ln 2 = i + f, e^-|m| = 2^-i 2^-f: bits of a float, and a polynomial. ln(1 + x) is the
    series of 2 artanh(x / (2 + x)). The processor runs such loops in lanes.
    """
    n = len(margin)
    for i in range(n):
        far = abs(margin[i])
        far = (far if far < LIMIT else LIMIT) * LOG2E
        whole = np.floor(far)
        power[i] = np.int32((BIAS - whole) * EXPONENT)
        part[i] = (HALF - (far - whole)) * LN2
    scale = power.view(np.float32)
    mass = entropy = tilt = spread = total = np.float32(0.0)
    for i in range(n):
        m, t = margin[i], part[i]
        x = ONE + t * (ONE + t * (E2 + t * (E3 + t * (E4 + t * (E5 + t * (E6 + t * E7))))))
        x = x * ROOT * scale[i]
        z = x / (TWO + x)
        y = z * z
        log = L3 + y * (L5 + y * (L7 + y * (L9 + y * (L11 + y * L13))))
        log = TWO * z * (ONE + y * log)
        rest = ONE / (ONE + x)
        a = x * rest if m > ZERO else rest
        loss = log if m > ZERO else log - m
        w = weight[i]
        wa = w * a
        pull[i] = wa
        bend[i] = w * x * rest * rest
        mass += wa
        entropy += w * loss + wa * m
        tilt += wa * m
        spread += w * (x if m > ZERO else ONE / x)
        total += w * loss + wa * abs(m)
    sums[0] += mass
    sums[1] += entropy
    sums[2] += tilt
    sums[3] += spread
    sums[4] += total
