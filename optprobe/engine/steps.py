"""Bounds of supports, compiled: at their own steps, or beside the step of the columns they share.

Formulas and proof are those of `filter`: D0 less the bracket of the claim, at any d within reach.
"""

from __future__ import annotations

import numba
import numpy as np

from optprobe.engine.damping import REACH

Array = np.ndarray

Step = tuple[Array, Array, Array, tuple[Array, ...], float, float, float]
"""M, M', K, what `filter.elimination` makes, v, h, L and the diagonals of M and K / 2; D0, lam and
the cutoff."""

HEAD = 0.8
"""Of the reach, the most that the step on all columns but one takes, where that one's is the best
beside it; the checker tries the same."""


@numba.njit(nogil=True, cache=True, error_model="numpy")
def own_cost(at, T, A, d, share):  # type: ignore
    """`filter.costs` of one support at a step that takes a share of the reach; d is left behind."""
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


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "nsz"})
def bounds_beside(at, P, first, A, d, work, bound):  # type: ignore
    """Bounds of the supports P + l, l from `first` on, at the step of P and the best of l.

    d_l = b / (2 a),   a = (M_ll^2 + |M_Pl|^2) / (2 lam) + K_ll / 2
                       b = (M_ll R + M_Pl . rest_P) / lam - h_l - K_lP . d_P
    cost = cost(P) + R^2 / (2 lam) - b d_l + a d_l^2,   R = v_l - M_lP . d_P
    """
    M, turned, K, lines, value, lam, _ = at
    _, _, v, h, reach, own, curve = lines
    q, f = len(P), len(v)
    low = value - own_cost(at, P, A[:q, :q], d[:q], HEAD)
    left = REACH
    R, b, a = work[:3]
    for t in range(first, f):
        R[t], b[t], a[t] = v[t], -h[t], own[t] * own[t]
    for p in range(q):
        rest = v[P[p]]
        for k in range(q):
            rest -= M[P[p], P[k]] * d[k]
        rest /= lam
        step, right, under, bent = d[p], M[P[p]], turned[P[p]], K[P[p]]
        left -= abs(step) * reach[P[p]]
        for t in range(first, f):
            R[t] -= under[t] * step
            b[t] += right[t] * rest - bent[t] * step
            a[t] += right[t] * right[t]
    half = 0.5 / lam
    for t in range(first, f):
        e = b[t] + 2.0 * half * own[t] * R[t]
        c = half * a[t] + curve[t]
        far = left / max(reach[t], 1e-300)
        best = 0.5 * e / c
        best = best if best < far else far
        best = best if best > -far else -far
        bound[t] = low - half * R[t] * R[t] + best * (e - c * best)


@numba.njit(inline="always")
def own_bounds(at, P, first, A, d, work, bound):  # type: ignore
    """Bounds of the supports P + l, l from `first` on, at their own steps, those of `own_cost`.

    With A_PP x = b_P and A_PP U_l = A_Pl, d_l = (b_l - A_lP x) / (A_ll - A_lP U_l) and
    d_P = x - U_l d_l. Bounds for l in P mean nothing.
    """
    M, turned, K, lines, value, lam, _ = at
    pivot, target, v, h, reach, diagonal, curve = lines
    q, f = len(P), len(v)
    U, own, length, total, rest = work[:q], work[q], work[q + 1], work[q + 2], work[q + 3]
    for p in range(q):
        U[p, first:] = M[P[p], first:]
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
            for t in range(first, f):
                into[t] -= factor * gone[t]
    for p in range(q - 1, -1, -1):
        into = U[p]
        for k in range(p + 1, q):
            factor, gone = A[p, k], U[k]
            d[p] -= factor * d[k]
            for t in range(first, f):
                into[t] -= factor * gone[t]
        factor = 1.0 / A[p, p]
        d[p] *= factor
        for t in range(first, f):
            into[t] *= factor
    for t in range(first, f):
        own[t], length[t] = target[t], pivot[t]
    for p in range(q):
        under, into, step = turned[P[p]], U[p], d[p]
        for t in range(first, f):
            own[t] -= under[t] * step
            length[t] -= under[t] * into[t]
    for t in range(first, f):
        own[t] /= length[t]
        length[t] = abs(own[t]) * reach[t]
    for p in range(q):
        into, step, far = U[p], d[p], reach[P[p]]
        for t in range(first, f):
            into[t] = step - into[t] * own[t]
            length[t] += abs(into[t]) * far
    for t in range(first, f):
        shrunk = REACH / length[t]
        length[t] = shrunk = shrunk if shrunk < 1.0 else 1.0
        own[t] *= shrunk
    for p in range(q):
        into = U[p]
        for t in range(first, f):
            into[t] *= length[t]
    half = 0.5 / lam
    for t in range(first, f):
        rest[t] = v[t]
        total[t] = own[t] * (h[t] + curve[t] * own[t])
    for p in range(q):
        into, under, bent, tilt, bend = U[p], turned[P[p]], K[P[p]], h[P[p]], curve[P[p]]
        for t in range(first, f):
            rest[t] -= under[t] * into[t]
            total[t] += into[t] * (tilt + bend * into[t] + bent[t] * own[t])
        for k in range(p):
            other, factor = U[k], K[P[p], P[k]]
            for t in range(first, f):
                total[t] += factor * into[t] * other[t]
    for t in range(first, f):
        left = rest[t] - diagonal[t] * own[t]
        total[t] += half * left * left
    for p in range(q):
        right, given = M[P[p]], v[P[p]]
        for t in range(first, f):
            rest[t] = given - right[t] * own[t]
        for k in range(q):
            other, factor = U[k], M[P[p], P[k]]
            for t in range(first, f):
                rest[t] -= factor * other[t]
        for t in range(first, f):
            total[t] += half * rest[t] * rest[t]
    for t in range(first, f):
        bound[t] = value - total[t]
