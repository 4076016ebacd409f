"""`filter.sums`, compiled: every column is taken once, while it lies in the cache.

NumPy reads and writes all the columns of a node a dozen times over for the same numbers. The two
Gram products stay matrix products.
"""

from __future__ import annotations

import numba
import numpy as np
from jaxtyping import Float64

from optprobe.engine.filter import DEAD, FLAT, SLICE, Sums, Weightings, gram, products
from optprobe.loops import dot
from optprobe.threads import in_threads

Array = np.ndarray

LANES = 64
"""Rows that are compared at once for the largest of all."""


def sums(
    forced: Float64[Array, "s n"], free: Float64[Array, "f n"], at: Weightings, clip: float
) -> Sums:
    """The sums over the rows; see `filter.sums`."""
    f, n = free.shape
    one = np.ones((1, n))
    plain = np.concatenate([one, forced]) * at.move
    clipped = np.concatenate([one, np.clip(forced, -clip, clip)])
    solved = np.linalg.lstsq(plain @ clipped.T, np.eye(len(plain)))[0]
    weights = at.push, at.move, np.sqrt(at.bend), at.tilt
    bars = clip, DEAD * clip, FLAT * clip * clip * float(at.move.sum())
    weighted, bent = np.empty((2, f, n))
    v, h, length = np.empty((3, f))
    parts = [slice(first, first + SLICE) for first in range(0, f, SLICE)]
    apart = np.zeros((len(parts), len(plain)))

    def work(number: int) -> None:
        part = parts[number]
        into = weighted[part], bent[part], v[part], h[part], length[part], apart[number]
        _sums(np.ascontiguousarray(free[part]), plain, clipped, solved, weights, bars, *into)

    in_threads(work, range(len(parts)))
    return Sums(v, products(free, weighted), gram(bent), h, length, apart.max(axis=0, initial=0.0))


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "nsz", "reassoc"})
def _sums(free, plain, clipped, solved, weights, bars, weighted, bent, v, h, length, apart):  # type: ignore
    """Fills G times w omega, G times the root of w omega^2 c, v, h, L; raises the residual."""
    push, move, root, tilt = weights
    clip, dead, flat = bars
    n, q = free.shape[1], len(plain)
    g, target, tops = np.empty(n), np.empty(q), np.empty(LANES)
    for j in range(len(free)):
        x, into, curved = free[j], weighted[j], bent[j]
        total = 0.0
        for i in range(n):
            total += x[i] * push[i]
            z = x[i] if x[i] < clip else clip
            g[i] = z if z > -clip else -clip
        v[j] = total
        for c in range(q):
            target[c] = dot(plain[c], g)
        for c in range(q):
            factor, row = dot(solved[c], target), clipped[c]
            for i in range(n):
                g[i] -= factor * row[i]
        tops[:] = 0.0
        for first in range(0, n, LANES):
            some = g[first : first + LANES]
            for i in range(len(some)):
                size = abs(some[i])
                tops[i] = size if size > tops[i] else tops[i]
        own = 0.0
        for i in range(n):
            moved = g[i] * move[i]
            into[i] = moved
            own += x[i] * moved
        if tops.max() < dead or own <= flat:
            into[:] = 0.0
            curved[:] = 0.0
            h[j] = length[j] = 0.0
            continue
        slope = 0.0
        for i in range(n):
            curved[i] = g[i] * root[i]
            slope += g[i] * tilt[i]
        h[j], length[j] = slope, tops.max()
        for c in range(q):
            apart[c] = max(apart[c], abs(dot(plain[c], g)) / length[j])
