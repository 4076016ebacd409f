"""What every support of a node costs at a centre: the bracket of the claim of `filter`, in NumPy.

    ||v_T - M_TT d||^2 / (2 lam) + d' K_TT d / 2 + h_T' d,
    (M_TT + lam diag(K_jj / M_jj)) d = v_T - lam h_T / M_jj, scaled into reach

`steps` has the same in compiled loops.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain, combinations

import numpy as np
from jaxtyping import Float64, Int

from optprobe.engine.damping import REACH
from optprobe.engine.filter import Quadratic

Array = np.ndarray

BLOCK = 2**11
"""Supports bounded at once: some forty such arrays stay in the cache."""

SUBSETS = 2**13
"""Supports listed at once, of which most may be proven out by their pairs."""


def subsets(f: int, size: int) -> Iterator[Int[Array, "size batch"]]:
    """Every subset of `size` of f positions, in blocks of about SUBSETS."""
    tails = np.fromiter(chain.from_iterable(combinations(range(f), size - 1)), np.int64)
    tails = tails.reshape(math.comb(f, size - 1), size - 1)
    after = np.searchsorted(tails[:, 0], np.arange(f) + 1) if size > 1 else np.zeros(f, np.int64)
    parts: list[Array] = []
    held = 0
    for first in range(f):
        for start in range(int(after[first]), len(tails), SUBSETS):
            tail = tails[start : start + SUBSETS]
            parts.append(np.column_stack([np.full(len(tail), first), tail]))
            held += len(tail)
            if held >= SUBSETS:
                yield np.concatenate(parts).T
                parts, held = [], 0
    if parts:
        yield np.concatenate(parts).T


def costs(at: Quadratic, columns: Int[Array, "size batch"], lam: float) -> Float64[Array, "batch"]:
    """The bracket of the claim for supports T = columns[:, t], at the d of the docstring.

    A column without a direction has G_j = 0, and whatever its d_j is changes nothing.
    """
    of = elimination(at, lam)
    parts = range(0, columns.shape[1], BLOCK)
    found = [_costs(at, of, columns[:, first : first + BLOCK], lam) for first in parts]
    return np.concatenate([np.empty(0), *found])


def _costs(
    at: Quadratic,
    of: tuple[Float64[Array, "f"], Float64[Array, "f"]],
    columns: Int[Array, "size batch"],
    lam: float,
) -> Float64[Array, "batch"]:
    """`costs` of a block, from the `elimination`."""
    r, (pivot, target) = len(columns), of
    pairs = columns[:, None] * len(pivot) + columns
    M = at.M.ravel()[pairs]
    A = [[pivot[columns[p]] if p == q else M[p, q] for q in range(r)] for p in range(r)]
    d = _solved(A, list(target[columns]))
    reach, v, h = at.reach[columns], at.v[columns], at.h[columns]
    length = sum(np.abs(d[p]) * reach[p] for p in range(r))
    shrunk = np.minimum(1.0, REACH / np.maximum(length, REACH))
    d = [step * shrunk for step in d]
    cost = np.zeros(columns.shape[1])
    for p in range(r):
        rest = v[p] - sum(M[p, q] * d[q] for q in range(r))
        bent = h[p] + 0.5 * at.K.ravel()[pairs[p, p]] * d[p]
        for q in range(p):
            bent = bent + at.K.ravel()[pairs[p, q]] * d[q]
        cost += rest * rest * (0.5 / lam) + d[p] * bent
    return cost


def elimination(at: Quadratic, lam: float) -> tuple[Float64[Array, "f"], Float64[Array, "f"]]:
    """M_jj + lam K_jj / M_jj and v_j - lam h_j / M_jj: the diagonal and the right side for d."""
    live = at.reach > 0.0
    own = np.where(live, np.diag(at.M), 1.0)
    pivot = np.where(live, own + lam * np.diag(at.K) / own, 1.0)
    return pivot, np.where(live, at.v - lam * at.h / own, 0.0)


def _solved(A: list[list[Array]], b: list[Array]) -> list[Array]:
    """d with A d = b, by elimination without pivoting on arrays of systems."""
    r = len(b)
    for p in range(r):
        for j in range(p + 1, r):
            factor = A[j][p] / A[p][p]
            for k in range(p + 1, r):
                A[j][k] = A[j][k] - factor * A[p][k]
            b[j] = b[j] - factor * b[p]
    d = list(b)
    for p in range(r - 1, -1, -1):
        for k in range(p + 1, r):
            d[p] = d[p] - A[p][k] * d[k]
        d[p] = d[p] / A[p][p]
    return d
