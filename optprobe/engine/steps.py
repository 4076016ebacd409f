"""Bounds of supports, compiled: at their own steps, or beside the step of the columns they share.

Formulas and proof are those of `filter`: D0 less the bracket of the claim, at any d within reach.
"""

from __future__ import annotations

import numba
import numpy as np

from optprobe.engine.damping import REACH
from optprobe.engine.filter import Quadratic
from optprobe.engine.support_costs import elimination

Array = np.ndarray

Step = tuple[Array, Array, Array, tuple[Array, ...], float, float, float]
"""M, M', K, what `support_costs.elimination` makes, v, h, L and the diagonals of M and K / 2; D0,
lam and the cutoff."""


def step(at: Quadratic, turned: Array, lam: float, cutoff: float) -> Step:
    """What the loops take of a quadratic; `turned` is M', as it is to lie in memory."""
    diagonals = np.diag(at.M).copy(), np.diag(at.K) / 2
    lines = (*elimination(at, lam), at.v, at.h, at.reach, *diagonals)
    return at.M, turned, at.K, lines, at.value, lam, cutoff


SINGLE = 7
"""Lines of `Step`, one number for every column."""

HEAD = 0.8
"""Of the reach, the most that the step on all columns but one takes, where that one's is the best
beside it; the checker tries the same."""


@numba.njit(nogil=True, cache=True, error_model="numpy")
def own_cost(at, T, A, d, share):  # type: ignore
    """What one support costs at a step that takes a share of the reach; d is left behind."""
    M, turned, K, lines, _, lam, _ = at
    pivot, target, v, h, reach, _, curve = lines
    r = len(T)
    last = T[r - 1]
    for p in range(r - 1):
        row = M[T[p]]
        for q in range(r):
            A[p, q] = row[T[q]]
        A[r - 1, p] = turned[T[p], last]
        A[p, p] = pivot[T[p]]
        d[p] = target[T[p]]
    A[r - 1, r - 1], d[r - 1] = pivot[last], target[last]
    for p in range(r):
        for j in range(p + 1, r):
            factor = A[j, p] / A[p, p]
            for k in range(p + 1, r):
                A[j, k] -= factor * A[p, k]
            d[j] -= factor * d[p]
    length = 0.0
    for p in range(r - 1, -1, -1):
        for k in range(p + 1, r):
            d[p] -= A[p, k] * d[k]
        d[p] /= A[p, p]
        length += abs(d[p]) * reach[T[p]]
    shrunk = min(1.0, share * REACH / length)
    for p in range(r):
        d[p] *= shrunk
    cost = 0.0
    for p in range(r):
        rest, bent = v[T[p]], h[T[p]] + curve[T[p]] * d[p]
        for q in range(r):
            rest -= (M[T[p], T[q]] if p < r - 1 else turned[T[q], last]) * d[q]
        for q in range(p):
            bent += K[T[q], T[p]] * d[q]
        cost += rest * rest * (0.5 / lam) + d[p] * bent
    return cost


@numba.njit(nogil=True, cache=True, error_model="numpy")
def below(at, supports, left):  # type: ignore
    """Fills `left`: which supports, one in every row, their own step does not prove out."""
    value, cutoff, r = at[4], at[6], supports.shape[1]
    A, d = np.empty((r, r)), np.empty(r)
    for i in range(len(supports)):
        left[i] = not value - own_cost(at, supports[i], A, d, 1.0) >= cutoff


@numba.njit(nogil=True, cache=True, error_model="numpy")
def gather(at, P, near, m, beside):  # type: ignore
    """What the next two take of the first m columns in `near`, side by side.

    The `SINGLE` lines of `at`, then for every column of P its lines of M, of M' and of K.
    """
    M, turned, K, lines, _, _, _ = at
    for line in range(SINGLE):
        into, given = beside[line], lines[line]
        for t in range(m):
            into[t] = given[near[t]]
    for p in range(len(P)):
        right, under, bent = beside[SINGLE + 3 * p : SINGLE + 3 * p + 3]
        row, column, bend = M[P[p]], turned[P[p]], K[P[p]]
        for t in range(m):
            right[t] = row[near[t]]
            under[t] = column[near[t]]
            bent[t] = bend[near[t]]


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "nsz"})
def bounds_beside(at, P, beside, first, end, A, d, work, bound):  # type: ignore
    """Bounds of the supports P + l at the step of P and the best of l, for some lanes of `beside`.

    d_l = b / (2 a),   a = (M_ll^2 + |M_Pl|^2) / (2 lam) + K_ll / 2
                       b = (M_ll R + M_Pl . rest_P) / lam - h_l - K_lP . d_P
    cost = cost(P) + R^2 / (2 lam) - b d_l + a d_l^2,   R = v_l - M_lP . d_P
    """
    M, _, _, lines, value, lam, _ = at
    _, _, given, _, far, _, _ = lines
    _, _, v, h, reach, own, curve = beside[:SINGLE]
    q = len(P)
    low = value - own_cost(at, P, A[:q, :q], d[:q], HEAD)
    left = REACH
    R, b, a = work[:3]
    for t in range(first, end):
        R[t], b[t], a[t] = v[t], -h[t], own[t] * own[t]
    for p in range(q):
        rest = given[P[p]]
        for k in range(q):
            rest -= M[P[p], P[k]] * d[k]
        rest /= lam
        step = d[p]
        right, under, bent = beside[SINGLE + 3 * p : SINGLE + 3 * p + 3]
        left -= abs(step) * far[P[p]]
        for t in range(first, end):
            R[t] -= under[t] * step
            b[t] += right[t] * rest - bent[t] * step
            a[t] += right[t] * right[t]
    half = 0.5 / lam
    for t in range(first, end):
        e = b[t] + 2.0 * half * own[t] * R[t]
        c = half * a[t] + curve[t]
        most = left / max(reach[t], 1e-300)
        best = 0.5 * e / c
        best = best if best < most else most
        best = best if best > -most else -most
        bound[t] = low - half * R[t] * R[t] + best * (e - c * best)


@numba.njit(inline="always")
def own_bounds(at, P, beside, m, A, d, work, bound):  # type: ignore
    """Bounds of the supports P + l at their own steps, as in `own_cost`, for m lanes of `beside`.

    With A_PP x = b_P and A_PP U_l = A_Pl, d_l = (b_l - A_lP x) / (A_ll - A_lP U_l) and
    d_P = x - U_l d_l.
    """
    M, _, K, lines, value, lam, _ = at
    pivot, target, v, h, reach, _, curve = lines
    pivots, targets, given, slope, far, diagonal, curves = beside[:SINGLE]
    q = len(P)
    U, own, length, total, rest = work[:q], work[q], work[q + 1], work[q + 2], work[q + 3]
    for p in range(q):
        into, right = U[p], beside[SINGLE + 3 * p]
        for t in range(m):
            into[t] = right[t]
        d[p] = target[P[p]]
        for j in range(q):
            A[p, j] = M[P[p], P[j]]
        A[p, p] = pivot[P[p]]
    for p in range(q):
        for j in range(p + 1, q):
            factor = A[j, p] / A[p, p]
            for k in range(p + 1, q):
                A[j, k] -= factor * A[p, k]
            d[j] -= factor * d[p]
            into, gone = U[j], U[p]
            for t in range(m):
                into[t] -= factor * gone[t]
    for p in range(q - 1, -1, -1):
        into = U[p]
        for k in range(p + 1, q):
            factor, gone = A[p, k], U[k]
            d[p] -= factor * d[k]
            for t in range(m):
                into[t] -= factor * gone[t]
        factor = 1.0 / A[p, p]
        d[p] *= factor
        for t in range(m):
            into[t] *= factor
    for t in range(m):
        own[t], length[t] = targets[t], pivots[t]
    for p in range(q):
        under, into, step = beside[SINGLE + 3 * p + 1], U[p], d[p]
        for t in range(m):
            own[t] -= under[t] * step
            length[t] -= under[t] * into[t]
    for t in range(m):
        own[t] /= length[t]
        length[t] = abs(own[t]) * far[t]
    for p in range(q):
        into, step, most = U[p], d[p], reach[P[p]]
        for t in range(m):
            into[t] = step - into[t] * own[t]
            length[t] += abs(into[t]) * most
    for t in range(m):
        shrunk = REACH / length[t]
        length[t] = shrunk = shrunk if shrunk < 1.0 else 1.0
        own[t] *= shrunk
    for p in range(q):
        into = U[p]
        for t in range(m):
            into[t] *= length[t]
    half = 0.5 / lam
    for t in range(m):
        rest[t] = given[t]
        total[t] = own[t] * (slope[t] + curves[t] * own[t])
    for p in range(q):
        _, under, bent = beside[SINGLE + 3 * p : SINGLE + 3 * p + 3]
        into, tilt, bend = U[p], h[P[p]], curve[P[p]]
        for t in range(m):
            rest[t] -= under[t] * into[t]
            total[t] += into[t] * (tilt + bend * into[t] + bent[t] * own[t])
        for k in range(p):
            other, factor = U[k], K[P[p], P[k]]
            for t in range(m):
                total[t] += factor * into[t] * other[t]
    for t in range(m):
        left = rest[t] - diagonal[t] * own[t]
        total[t] += half * left * left
    for p in range(q):
        right, fixed = beside[SINGLE + 3 * p], v[P[p]]
        for t in range(m):
            rest[t] = fixed - right[t] * own[t]
        for k in range(q):
            other, factor = U[k], M[P[p], P[k]]
            for t in range(m):
                rest[t] -= factor * other[t]
        for t in range(m):
            total[t] += half * rest[t] * rest[t]
    for t in range(m):
        bound[t] = value - total[t]
