"""Sets of columns and one more, compiled: those whose pairs sum to much; see `pairs`.

At the last level, only supports that neither the step of the set with the best one of the further
column beside it, along a whole line where that pays, nor the step of `filter.costs` proves out.
"""

from __future__ import annotations

import numba
import numpy as np

from optprobe.engine.steps import bounds_beside, own_bounds, own_cost

Array = np.ndarray

MANY, SINGLE = 32, 6
"""Supports of a set and a further column past which they are bounded along the line first, at the
set's own step; of a small node's, past which they take their own steps together."""


@numba.njit(nogil=True, cache=True, error_model="numpy")
def extend(E, sets, start, bar, out):  # type: ignore
    """Fill `out` with the sets of one more column; the set to go on with, and how many it has."""
    held, f, q = 0, E.shape[0], sets.shape[1]
    line, T = np.empty(f), np.empty(q + 1, np.int64)
    for b in range(start, len(sets)):
        if held + f > len(out):
            return b, held
        rest = bar - _sums(E, sets[b], line)
        for t in range(f):
            if line[t] > rest and _least(E, sets[b], t, T):
                out[held] = T
                held += 1
    return len(sets), held


@numba.njit(nogil=True, cache=True, error_model="numpy")
def extend_last(E, sets, start, bar, at, out):  # type: ignore
    """`extend`, less the supports that their own step or that of the set proves out."""
    value, cutoff = at[4], at[6]
    held, f, q = 0, E.shape[0], sets.shape[1]
    line, bound, work = np.empty(f), np.empty(f), np.empty((3, f))
    A, d = np.empty((q + 1, q + 1)), np.empty(q + 1)
    T, inside = np.empty((2, q + 1), np.int64)
    for b in range(start, len(sets)):
        if held + f > len(out):
            return b, held
        rest = bar - _sums(E, sets[b], line)
        hits = 0
        for t in range(f):
            hits += line[t] > rest
        if hits == 0:
            continue
        T[:q] = sets[b]
        many = hits > MANY
        if many:
            bounds_beside(at, T[:q], 0, A, d, work, bound)
        for t in range(f):
            if line[t] > rest and not (many and bound[t] >= cutoff):
                T[q] = t
                own = value - own_cost(at, T, A, d, 1.0)
                if not own >= cutoff and _least(E, T[:q], t, inside):
                    out[held] = inside
                    held += 1
    return len(sets), held


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "nsz"})
def every(P, at, out):  # type: ignore
    """Fill `out` with the supports that neither step proves out, of all that begin as P does.

    P holds the first columns of the next ones, increasing, and its first one stays as it is;
    returns whether there are more, and how many `out` has.
    """
    value, cutoff = at[4], at[6]
    held, f, q = 0, len(at[1]), len(P)
    bound, work = np.empty(f), np.empty((q + 4, f))
    A, d = np.empty((q + 1, q + 1)), np.empty(q + 1)
    T = np.empty(q + 1, np.int64)
    while True:
        if held + f > len(out):
            return True, held
        T[:q] = P
        after = P[q - 1] + 1
        hits = f - after
        if hits > SINGLE:
            bounds_beside(at, P, after, A, d, work, bound)
            for t in range(after, f):
                hits -= bound[t] >= cutoff
        else:
            bound[after:] = -np.inf
        together = hits > SINGLE
        if together:
            own_bounds(at, P, after, A, d, work, bound)
        for t in range(after, f):
            if not bound[t] >= cutoff:
                T[q] = t
                if together or not value - own_cost(at, T, A, d, 1.0) >= cutoff:
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
def _sums(E, columns, line):  # type: ignore
    """line_l = sum_p E_pl over the columns of a set; returns the sum over its pairs."""
    total = 0.0
    line[:] = E[columns[0]]
    for p in range(1, len(columns)):
        row = E[columns[p]]
        for q in range(p):
            total += row[columns[q]]
        for t in range(len(line)):
            line[t] += row[t]
    return total


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _least(E, columns, last, T):  # type: ignore
    """Whether the last column adds less to the sum than any of the set, or as much and is first.

    The sums are taken in the order of the columns: the same, whichever comes last.
    """
    place = len(columns)
    while place > 0 and columns[place - 1] > last:
        T[place] = columns[place - 1]
        place -= 1
    T[place] = last
    T[:place] = columns[:place]
    least, at = np.inf, -1
    for p in range(len(T)):
        row, own = E[T[p]], 0.0
        for q in range(len(T)):
            if q != p:
                own += row[T[q]]
        if own < least:
            least, at = own, p
    return at == place
