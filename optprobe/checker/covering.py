"""The supports of a filtered node that its centres do not cover.

    floor - ||v_T - M_TT d||^2 / (2 lam) - d' K_TT d / 2 - h_T' d      for T in F, |T| = r

`filtered` makes the numbers of a centre. Any d proves something, so that d need not be computed
with care: only what follows it is charged (section 10 of `rounding`). Two are tried, as
`certificate` says: that of the whole T, and the best of its last column beside that of the others,
which takes a dozen operations for a column and is taken along whole lines of M and K.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, combinations
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float64, Int

Array = np.ndarray

BLOCK = 2**14
"""Supports bounded at once: their arrays stay in the cache."""

LINED = 30
"""Free columns from which supports are bounded by lines: a head and all columns after it."""

HEAD = 0.8
"""Of the reach, the most that the head of a line takes."""

SHORTER = 1.0 - 2.0**-40
"""Takes more off a step than its rounding can add."""


class Head(NamedTuple):
    """A step d on some columns: v - M d, what it costs, and sum |d_j| L_j."""

    d: Float64[Array, "r batch"]
    rest: Float64[Array, "r batch"]
    cost: Float64[Array, "batch"]
    length: Float64[Array, "batch"]


@dataclass(frozen=True)
class Centre:
    """The quadratic of one centre over the free columns, as computed.

    Attributes:
        floor: at most D0, less everything that rounding and residuals may cost.
        v, M, K, h: see above.
        length: L_j = max_i |G_ij|.
        reach, lam: e and the ridge.
    """

    floor: float
    v: Float64[Array, "f"]
    M: Float64[Array, "f f"]
    K: Float64[Array, "f f"]
    h: Float64[Array, "f"]
    length: Float64[Array, "f"]
    reach: float
    lam: float

    @cached_property
    def _transposed(self) -> Float64[Array, "f f"]:
        """M', row by row in memory."""
        return np.ascontiguousarray(self.M.T)

    @cached_property
    def _pivot(self) -> Float64[Array, "f"]:
        """M_jj + lam K_jj / M_jj."""
        own = np.diag(self.M)
        return np.where(self.length > 0.0, own + self.lam * np.diag(self.K) / own, 1.0)

    @cached_property
    def _goal(self) -> Float64[Array, "f"]:
        """v_j - lam h_j / M_jj."""
        moved = self.v - self.lam * self.h / np.diag(self.M)
        return np.where(self.length > 0.0, moved, 0.0)

    def bounds(self, sets: Int[Array, "r batch"]) -> Float64[Array, "batch"]:
        """The bound for T = sets[:, t]; NaN proves nothing."""
        return self.floor - self.head(sets, 1.0).cost

    def head(self, sets: Int[Array, "q batch"], share: float) -> Head:
        """The step on T alone, which takes at most a share of the reach.

        d solves (M_TT + lam diag(K_jj / M_jj)) d = v_T - lam h_T / M_jj, by elimination without
        pivoting, and is shortened until sum |d_j| L_j <= e.
        """
        r, batch = sets.shape
        A, K = np.empty((r, r, batch)), np.empty((r, r, batch))
        for p in range(r):
            for q in range(r):
                A[p, q] = self.M[sets[p], sets[q]]
                K[p, q] = self.K[sets[p], sets[q]]
        M, d = A.copy(), self._goal[sets]
        for p in range(r):
            A[p, p] = self._pivot[sets[p]]
        for p in range(r):
            for q in range(p + 1, r):
                factor = A[q, p] / A[p, p]
                A[q, p + 1 :] -= factor * A[p, p + 1 :]
                d[q] -= factor * d[p]
        for p in range(r - 1, -1, -1):
            for q in range(p + 1, r):
                d[p] -= A[p, q] * d[q]
            d[p] /= A[p, p]
        length = (np.abs(d) * self.length[sets]).sum(axis=0)
        shrink = np.minimum(1.0, share * self.reach / length) * SHORTER
        d *= shrink
        rest = self.v[sets] - (M * d).sum(axis=1)
        bent = 0.5 * (K * d).sum(axis=1) + self.h[sets]
        cost = (rest * rest).sum(axis=0) / (2.0 * self.lam) + (d * bent).sum(axis=0)
        return Head(d, rest, cost, length * shrink)

    def beside(
        self, heads: Int[Array, "q batch"], last: slice | Int[Array, "batch"]
    ) -> Float64[Array, "..."]:
        """The bounds for the columns heads[:, t] and one more: each of a slice, or last[t].

        The step d_P on the head P stays as it is and d_l is the best one beside it:

            cost = cost(P) + R^2 / (2 lam) - b d_l + a d_l^2,   R = v_l - M_lP . d_P
            a = (M_ll^2 + |M_Pl|^2) / (2 lam) + K_ll / 2
            b = (M_ll R + M_Pl . rest_P) / lam - h_l - K_lP . d_P

        within what reach the head leaves; the square of the head's rest and the bend along d_P are
        in cost(P).
        """
        head, inverse = self.head(heads, HEAD), 1.0 / self.lam
        own, half = np.diag(self.M)[last], 0.5 * inverse

        def each(values: Array) -> Array:
            """One value per head, against every last column."""
            return values[:, None] if isinstance(last, slice) else values

        a = half * own * own + 0.5 * np.diag(self.K)[last]
        R, b = self.v[last], -self.h[last]
        for p, column in enumerate(heads):
            d, right = each(head.d[p]), self.M[column, last]
            R = R - self._transposed[column, last] * d
            b = b - self.K[column, last] * d
            b += right * each(inverse * head.rest[p])
            right *= right
            right *= half
            a = a + right
        b += (inverse * own) * R
        with_l = each(self.reach - head.length) / self.length[last] * SHORTER
        d = np.clip(0.5 * b / a, -with_l, with_l)
        b -= a * d
        b *= d
        R *= R
        R *= half
        b -= R
        b += each(self.floor - head.cost)
        return b


def uncovered(centres: list[Centre], r: int, lower: float) -> Iterator[Int[Array, "batch r"]]:
    """Positions of the r-subsets whose bound reaches `lower` at no centre, in blocks."""
    first, f = centres[0], len(centres[0].v)
    for sets in _left_by_lines(first, r, lower) if r > 1 and f >= LINED else subsets(f, r):
        left = sets
        for centre in centres:
            left = left[:, ~(centre.bounds(left) >= lower)]
            if r > 1:
                left = left[:, ~(centre.beside(left[:-1], left[-1]) >= lower)]
        yield left.T


def _left_by_lines(first: Centre, r: int, lower: float) -> Iterator[Int[Array, "r batch"]]:
    """Every r-subset but those that one centre covers by the step beside its head."""
    f = len(first.v)
    parts: list[Array] = []
    for heads in subsets(f - 1, r - 1, f):
        after = int(heads[-1, 0]) + 1
        left = ~(first.beside(heads, slice(after, None)) >= lower)
        left &= np.arange(after, f) > heads[-1][:, None]
        at, last = np.nonzero(left)
        parts.append(np.concatenate([heads[:, at], last[None] + after]))
        if sum(part.shape[1] for part in parts) >= BLOCK:
            yield np.concatenate(parts, axis=1)
            parts = []
    yield np.concatenate([np.empty((r, 0), np.int64), *parts], axis=1)


def subsets(f: int, r: int, end: int = 0) -> Iterator[Int[Array, "r batch"]]:
    """Every r-subset of f positions, by its last one, in blocks.

    A block has BLOCK subsets; with an `end`, so many that the positions from the first one's last
    to the end are BLOCK for all of them.
    """
    if r == 0:
        yield np.empty((0, 1), np.int64)
        return
    parts: list[Array] = []
    held, room = 0, 0
    for last in range(r - 1, f):
        lead = np.fromiter(chain.from_iterable(combinations(range(last), r - 1)), np.int64)
        lead = lead.reshape(math.comb(last, r - 1), r - 1).T
        sets = np.concatenate([lead, np.full((1, lead.shape[1]), last)])
        start = 0
        while start < sets.shape[1]:
            if not parts:
                held, room = 0, max(1, BLOCK // max(1, end - 1 - last))
            parts.append(sets[:, start : start + room - held])
            held += parts[-1].shape[1]
            start += parts[-1].shape[1]
            if held == room:
                yield np.concatenate(parts, axis=1)
                parts = []
    if parts:
        yield np.concatenate(parts, axis=1)
