"""`filter.costs` for every three of the free columns of a node, compiled.

A whole layer has 10^8 to 10^9 triples. Any d proves a bound, and for all but one in some ten
thousand a simple one will do: for a pair P = (i, j) the d_P of the pair, and beside it

    d_l = b / (2 a),   a = (M_ll^2 + |M_Pl|^2) / (2 lam) + K_ll / 2
                       b = (M_ll R + M_Pl . rest_P) / lam - h_l - K_lP . d_P
    cost = cost(P) + R^2 / (2 lam) - b d_l + a d_l^2,   R = v_l - M_lP . d_P

within what reach the pair leaves to l. That is a dozen multiplications for a triple, along the rows
of M, its transpose and K; `filter.costs` decides about the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import numba
import numpy as np
from jaxtyping import Float64, Int

from optprobe.engine.damping import REACH
from optprobe.engine.filter import Quadratic, costs, elimination
from optprobe.threads import in_threads, workers

Array = np.ndarray

PART = 2**22
"""Triples between two looks at the clock, about."""

TOGETHER = 8
"""First columns that share the rows of a second column while these are in the cache."""

PAIR = 0.8
"""Of the reach, the most that the pair takes."""


def triples_below(
    at: Quadratic, lam: float, cutoff: float, most: int, stop: Callable[[], bool]
) -> Int[Array, "m 3"] | None:
    """Every triple i < j < l of the free columns whose bound does not reach the cutoff.

    None if there are more than `most`, or if it was told to stop.
    """
    f = len(at.v)
    pivot, target = elimination(at, lam)
    own, curve = np.diag(at.M).copy(), 0.5 * np.diag(at.K)
    lines = (pivot, target, at.v, at.h, 1.0 / np.maximum(at.reach, 1e-300), own, curve)
    scalars = (at.value, lam, cutoff)
    work = partial(_part, at, np.ascontiguousarray(at.M.T), lines, scalars, most)
    count = np.array([math.comb(f - 1 - i, 2) for i in range(f)])
    groups = np.cumsum(count) // PART
    edges = [0, *(np.flatnonzero(np.diff(groups)) + 1).tolist(), f]
    parts = list(pairwise(edges))
    found: list[Array] = []
    held, step = 0, workers()
    for first in range(0, len(parts), step):
        if stop():
            return None
        for left in in_threads(work, parts[first : first + step]):
            held += len(left)
            found.append(left)
        if held > most:
            return None
    return np.concatenate(found)


def _part(
    at: Quadratic,
    transposed: Float64[Array, "f f"],
    lines: tuple[Float64[Array, "f"], ...],
    scalars: tuple[float, float, float],
    most: int,
    part: tuple[int, int],
) -> Int[Array, "m 3"]:
    """The triples whose first column is in a range; too many if they are more than `most`."""
    value, lam, cutoff = scalars
    size = min(sum(math.comb(len(at.v) - 1 - i, 2) for i in range(*part)), 4 * most + 1)
    out = np.empty((size, 3), np.int32)
    found = _below(at.M, transposed, at.K, lines, part, value, 1.0 / lam, cutoff, out)
    left = out[:found].astype(np.int64)
    return left[~(value - costs(at, left.T, lam) >= cutoff)] if found < size else left


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _below(M, transposed, K, lines, part, value, inverse, cutoff, out):  # type: ignore
    """Fill `out` with triples whose first column is in a range; how many there are."""
    f = M.shape[0]
    bound = np.empty(f)
    pivot, target, v, h, wide, own, curve = lines
    found = 0
    for head in range(part[0], part[1], TOGETHER):
        for j in range(head + 1, f - 1):
            rest = j + 1
            for i in range(head, min(head + TOGETHER, part[1], j)):
                factor = M[j, i] / pivot[i]
                dj = (target[j] - factor * target[i]) / (pivot[j] - factor * M[i, j])
                di = (target[i] - M[i, j] * dj) / pivot[i]
                length = abs(di) / wide[i] + abs(dj) / wide[j]
                shrink = min(1.0, PAIR * REACH / length)
                di, dj, length = di * shrink, dj * shrink, length * shrink
                ri = v[i] - own[i] * di - M[i, j] * dj
                rj = v[j] - M[j, i] * di - own[j] * dj
                cost = 0.5 * inverse * (ri * ri + rj * rj) + di * (h[i] + curve[i] * di)
                cost += dj * (h[j] + curve[j] * dj + K[i, j] * di)
                line = bound[rest:]
                low = _line(
                    line,
                    (M[i, rest:], M[j, rest:]),
                    (transposed[i, rest:], transposed[j, rest:]),
                    (K[i, rest:], K[j, rest:]),
                    (v[rest:], h[rest:], wide[rest:], own[rest:], curve[rest:]),
                    (di, dj, ri, rj, REACH - length, value - cost, inverse, cutoff),
                )
                for t in range(len(line) if low else 0):
                    if not line[t] >= cutoff:
                        if found == len(out):
                            return found
                        out[found, 0], out[found, 1], out[found, 2] = i, j, rest + t
                        found += 1
    return found


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "nsz"})
def _line(bound, right, below, curves, lines, scalars):  # type: ignore
    """Bounds of the triples (i, j, l) for the l of a line; how many do not reach the cutoff."""
    il, jl = right  # M_il, M_jl
    li, lj = below  # M_li, M_lj
    kil, kjl = curves
    v, h, wide, own, curve = lines
    di, dj, ri, rj, reach, value, inverse, cutoff = scalars
    half, low = 0.5 * inverse, 0
    for t in range(bound.shape[0]):
        rest = v[t] - li[t] * di - lj[t] * dj
        slope = h[t] + kil[t] * di + kjl[t] * dj
        a = (own[t] * own[t] + il[t] * il[t] + jl[t] * jl[t]) * half + curve[t]
        b = (own[t] * rest + il[t] * ri + jl[t] * rj) * inverse - slope
        far = reach * wide[t]
        d = 0.5 * b / a
        d = d if d < far else far
        d = d if d > -far else -far
        bound[t] = value - half * rest * rest + d * (b - a * d)
        low += not bound[t] >= cutoff
    return low
