"""Sets of columns and one more, compiled: those whose pairs sum to much; see `pairs`.

At the last level, only supports that neither the step of the set with the best one of the further
column beside it nor their own step, that of `support_costs.costs`, proves out.
"""

from __future__ import annotations

import numba
import numpy as np

from optprobe.engine.steps import SINGLE, bounds_beside, gather, own_bounds, own_cost

Array = np.ndarray

MANY = 32
"""Supports of a set and a further column past which they are bounded at its own step first."""

TIED = 1e-12
"""Times what is summed: sums that differ by no more may be the same in another order."""


@numba.njit(nogil=True, cache=True, error_model="numpy")
def extend(E, sets, start, bar, out):  # type: ignore
    """Fill `out` with the sets of one more column; the set to go on with, and how many it has."""
    held, f, q = 0, E.shape[0], sets.shape[1]
    near, tied, work = np.empty(f + 1, np.int64), np.empty(f, np.bool_), np.empty((3, f))
    T = np.empty(q + 1, np.int64)
    for b in range(start, len(sets)):
        if held + f > len(out):
            return b, held
        for i in range(_met(E, sets[b], bar, work, near, tied)):
            if _joined(E, sets[b], near[i], tied, T):
                out[held] = T
                held += 1
    return len(sets), held


@numba.njit(nogil=True, cache=True, error_model="numpy")
def extend_last(E, sets, start, bar, at, out):  # type: ignore
    """`extend`, less the supports that their own step or that of the set proves out."""
    cutoff, held, f, q = at[6], 0, E.shape[0], sets.shape[1]
    near, tied = np.empty(f + 1, np.int64), np.empty(f, np.bool_)
    beside, bound, work = np.empty((SINGLE + 3 * q, f)), np.empty(f), np.empty((q + 4, f))
    A, d = np.empty((q + 1, q + 1)), np.empty(q + 1)
    T, inside = np.empty((2, q + 1), np.int64)
    P = T[:q]
    for b in range(start, len(sets)):
        if held + f > len(out):
            return b, held
        P[:] = sets[b]
        m = _met(E, P, bar, work, near, tied)
        if m > MANY:
            gather(at, P, near, m, beside)
            bounds_beside(at, P, beside, 0, m, A, d, work, bound)
            m = _kept(near, m, bound, cutoff)
        for i in range(_undecided(at, T, near, m, beside, A, d, work, bound)):
            if _joined(E, P, near[i], tied, inside):
                out[held] = inside
                held += 1
    return len(sets), held


@numba.njit(nogil=True, cache=True, error_model="numpy")
def every(P, at, out):  # type: ignore
    """Fill `out` with the supports that neither step proves out, of all that begin as P does.

    P holds the first columns of the next ones, increasing, and its first one stays as it is;
    returns whether there are more, and how many `out` has.
    """
    M, turned, K, lines, _, _, cutoff = at
    held, f, q = 0, len(M), len(P)
    near, bound, work = np.empty(f + 1, np.int64), np.empty(f), np.empty((q + 4, f))
    whole, beside = np.empty((2, SINGLE + 3 * q, f))
    A, d, T = np.empty((q + 1, q + 1)), np.empty(q + 1), np.empty(q + 1, np.int64)
    for line in range(SINGLE):
        whole[line] = lines[line]
    place = 0
    while True:
        if held + f > len(out):
            return True, held
        T[:q] = P
        after, m = P[q - 1] + 1, 0
        for p in range(place, q):
            line, right, under, bent = SINGLE + 3 * p, M[P[p]], turned[P[p]], K[P[p]]
            for t in range(P[p] + 1, f):
                whole[line, t], whole[line + 1, t] = right[t], under[t]
                whole[line + 2, t] = bent[t]
        if f - after > 1:
            bounds_beside(at, P, whole, after, f, A, d, work, bound)
        else:
            bound[after:] = -np.inf
        for t in range(after, f):
            near[m] = t
            m += not bound[t] >= cutoff
        for i in range(_undecided(at, T, near, m, beside, A, d, work, bound)):
            T[q] = near[i]
            out[held] = T
            held += 1
        place = q - 1
        while place > 0 and P[place] == f - 1 - q + place:
            place -= 1
        if place == 0:
            return False, held
        P[place] += 1
        for p in range(place + 1, q):
            P[p] = P[p - 1] + 1


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "nsz"})
def _undecided(at, T, near, m, beside, A, d, work, bound):  # type: ignore
    """How many of the first m columns in `near` the own step does not prove out beside those of T
    but its last: these are now the first."""
    value, cutoff, q = at[4], at[6], len(T) - 1
    P = T[:q]
    if m > 1:
        gather(at, P, near, m, beside)
        own_bounds(at, P, beside, m, A, d, work, bound)
    elif m:
        T[q] = near[0]
        bound[0] = value - own_cost(at, T, A, d, 1.0)
    return _kept(near, m, bound, cutoff)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _kept(near, m, bound, cutoff):  # type: ignore
    """How many of the first m columns do not reach the cutoff: now the first."""
    kept = 0
    for i in range(m):
        near[kept] = near[i]
        kept += not bound[i] >= cutoff
    return kept


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "nsz"})
def _met(E, columns, bar, work, near, tied):  # type: ignore
    """Puts the columns that make the pairs of a set sum to more than `bar`, and add no more than
    any of the set, into `near`, in order; how many, and whether one of the set may add as little.

    line_l = sum_p E_pl over the columns of the set is what column l adds.
    """
    f, q = len(E), len(columns)
    line, least, size = work[0], work[1], work[2]
    line[:] = E[columns[0]]
    total = 0.0
    for p in range(1, q):
        row = E[columns[p]]
        for k in range(p):
            total += row[columns[k]]
        for t in range(f):
            line[t] += row[t]
    rest, m = bar - total, 0
    for t in range(f):
        near[m] = t
        m += line[t] > rest
    if m == 0:
        return 0
    least[:m], size[:m] = np.inf, 0.0
    for p in range(q):
        row, own, held = E[columns[p]], 0.0, 0.0
        for k in range(q):
            if k != p:
                own += row[columns[k]]
                held += abs(row[columns[k]])
        for i in range(m):
            pair = row[near[i]]
            adds = own + pair
            least[i] = adds if adds < least[i] else least[i]
            size[i] += held + abs(pair)
    kept = 0
    for i in range(m):
        t = near[i]
        near[kept] = t
        tied[t] = line[t] >= least[i] - TIED * size[i]
        kept += line[t] <= least[i] + TIED * size[i]
    return kept


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _joined(E, columns, last, tied, T):  # type: ignore
    """Fills T with the columns and the last one, increasing; whether this one adds least.

    Of those that add as little it is the first. Where that may be, the sums are taken in the order
    of the columns: they are the same, whichever comes last.
    """
    place = len(columns)
    while place > 0 and columns[place - 1] > last:
        T[place] = columns[place - 1]
        place -= 1
    T[place] = last
    for p in range(place):
        T[p] = columns[p]
    if not tied[last]:
        return True
    least, at = np.inf, -1
    for p in range(len(T)):
        row, own = E[T[p]], 0.0
        for q in range(len(T)):
            if q != p:
                own += row[T[q]]
        if own < least:
            least, at = own, p
    return at == place
