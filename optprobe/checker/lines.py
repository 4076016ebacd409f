"""Supports of a filtered node bounded along lines: some columns and each that comes after them.

Beside the step d_P of the others, P, which stays as it is, a last column l has a best one:

    cost = cost(P) + R^2 / (2 lam) - b d_l + a d_l^2,    R = v_l - M_lP . d_P
    a = (M_ll^2 + |M_Pl|^2) / (2 lam) + K_ll / 2
    b = (M_ll R + M_Pl . rest_P) / lam - h_l - K_lP . d_P

within what reach P leaves; the square of P's rest and the bend along d_P are in cost(P). For P that
differ in their first column only, R, a and b are rows of one matrix over the free columns, scaled,
plus a matrix of small rank: no number is looked up, and a dozen passes do.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from optprobe.checker.centre import HEAD, SHORTER, Centre
from optprobe.checker.columns import among

if TYPE_CHECKING:
    from jaxtyping import Float64, Int

Array = np.ndarray

BLOCK = 2**14
"""Supports bounded at once: their arrays stay in the cache."""

HEADS = 2**11
"""Heads whose steps are taken at once."""


class Lines:
    """The steps beside a head, at one centre.

    With p a column of the head and l the last one, row p and column l of a matrix hold what p adds:

        far      M_lp / sqrt(2 lam)              fall, less far' d_P, is R / sqrt(2 lam)
        drag     K_pl + M_ll M_lp / lam          pull + M_Pl . rest_P / lam - drag' d_P is b
        squares  M_pl^2 / lam                    own + their sum is 2 a
    """

    def __init__(self, centre: Centre) -> None:
        self.centre = centre
        M, K, lam = centre.M, centre.K, centre.lam
        turned, own = np.ascontiguousarray(M.T), np.diag(M)
        scale = math.sqrt(0.5 / lam)
        self.fall, self.far = scale * centre.v, scale * turned  # R / sqrt(2 lam)
        self.pull = own * centre.v / lam - centre.h
        self.drag = K + turned * (own / lam)
        self.squares = M * M / lam
        self.own = own * own / lam + np.diag(K)

    def left(self, r: int, lower: float) -> Iterator[Int[Array, "r batch"]]:
        """Every r-subset but those whose bound reaches `lower`, r >= 2, in blocks."""
        for heads in _heads(len(self.centre.v), r):
            yield self._beside(heads, lower)

    def _beside(self, heads: Int[Array, "q batch"], lower: float) -> Int[Array, "r left"]:
        """What is left beside some heads."""
        beside = Beside(self, heads, int(heads[-1].min()) + 1)
        parts = [np.empty((len(heads) + 1, 0), np.int64)]
        for part in beside.slices():
            left = ~(beside.bounds(part) >= lower)
            if left.any():
                head, last = np.nonzero(left)
                found = np.concatenate([heads[:, part][:, head], last[None] + beside.after])
                parts.append(found[:, found[-1] > found[-2]])
        return np.concatenate(parts, axis=1)


class Beside:
    """The steps of every column after some heads.

    Args:
        lines: of the centre.
        heads: their columns.
        after: the first of the columns that are bounded beside them.
    """

    def __init__(self, lines: Lines, heads: Int[Array, "q batch"], after: int) -> None:
        at, lam = lines.centre, lines.centre.lam
        self.after = after
        last, count = slice(after, None), heads.shape[1]
        self._lines, self._head = lines, at.head(heads, HEAD)
        self._lead = heads[0]
        others, place = among(heads[1:], len(at.v))
        at_other = np.arange(count), place
        self._force = self._head.rest / lam
        self._marks, self._steps = np.zeros((2, count, len(others) + 1))
        force = np.zeros((count, len(others)))
        self._marks[at_other], self._steps[at_other] = 1.0, self._head.d[1:]
        force[at_other] = self._force[1:]
        self._marks[:, -1] = self._steps[:, -1] = 1.0
        self._pulls = np.concatenate([force, self._steps], axis=1)
        self._fall = np.concatenate([-lines.far[others, last], lines.fall[None, last]])
        self._pull = np.concatenate(
            [at.M[others, last], -lines.drag[others, last], lines.pull[None, last]]
        )
        self._bend = np.concatenate([lines.squares[others, last], lines.own[None, last]])
        self._room = (at.reach - self._head.length)[:, None]
        self._per_step = SHORTER / at.length[last]

    def slices(self) -> Iterator[slice]:
        """Heads that are taken together."""
        count, step = len(self._lead), max(1, BLOCK // len(self._per_step))
        for start in range(0, count, step):
            yield slice(start, min(start + step, count))

    def bounds(self, part: slice) -> Float64[Array, "head last"]:
        """The bounds of some heads with each of the last columns; NaN proves nothing."""
        lines, head, last = self._lines, self._head, slice(self.after, None)
        lead = self._lead[part]
        consecutive = bool((np.diff(lead) == 1).all())  # then they need not be copied
        row = slice(int(lead[0]), int(lead[-1]) + 1) if consecutive else lead
        first, force = head.d[0, part, None], self._force[0, part, None]
        rest = self._steps[part] @ self._fall
        work = lines.far[row, last] * first
        rest -= work
        b = self._pulls[part] @ self._pull
        b += np.multiply(lines.centre.M[row, last], force, out=work)
        b -= np.multiply(lines.drag[row, last], first, out=work)
        a = self._marks[part] @ self._bend
        a += lines.squares[row, last]
        d = np.divide(b, a, out=work)
        most = self._room[part] * self._per_step
        np.minimum(d, most, out=d)
        np.maximum(d, np.negative(most, out=most), out=d)
        a *= d
        a *= 0.5
        b -= a
        b *= d
        rest *= rest
        b -= rest
        b += (lines.centre.floor - head.cost[part])[:, None]
        return b


def _heads(f: int, r: int) -> Iterator[Int[Array, "q batch"]]:
    """All columns of the r-subsets but the last, by the last of these, some HEADS at a time."""
    others = _subsets(f - 2, r - 2)
    parts: list[Array] = []
    held = 0
    for last in range(r - 2, f - 1):
        count = math.comb(last, r - 2)
        group = np.concatenate([others[:, :count], np.full((1, count), last)])
        for start in range(0, count, HEADS):
            parts.append(group[:, start : start + HEADS])
            held += parts[-1].shape[1]
            if held >= HEADS:
                yield np.concatenate(parts, axis=1)
                parts, held = [], 0
    if parts:
        yield np.concatenate(parts, axis=1)


def _subsets(f: int, size: int) -> Int[Array, "size batch"]:
    """The subsets of range(f) by their largest element, then by the next: those of range(l) come
    first, for every l, and what differs in its first element only lies side by side."""
    found = np.zeros((0, 1), np.int64)
    for length in range(size):
        parts = [np.empty((length + 1, 0), np.int64)]
        for last in range(length, f):
            before = found[:, : math.comb(last, length)]
            parts.append(np.concatenate([before, np.full((1, before.shape[1]), last)]))
        found = np.concatenate(parts, axis=1)
    return found
