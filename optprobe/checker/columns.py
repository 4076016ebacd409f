"""Z of the checked columns: in memory where it fits, else made again in every pass over X."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from optprobe.checker.data import Source, release, row_slices
from optprobe.checker.rounding import TINY, gamma

if TYPE_CHECKING:
    from jaxtyping import Float64, Int, Shaped

Array = np.ndarray

HELD_BYTES = 2**28
"""Z of the scope up to this size is kept in memory; past it, it is made again block by block."""


class Columns:
    """Z of the scope, by position in the scope; rows reordered, the positive class first.

    Args:
        source: the data.
        mean, scale: of every column of X.
        scope: columns of X.
        named: positions in the scope that will be asked for without the others. Where Z is too
            large to be kept, X's numbers are kept for these if that takes little.

    Attributes:
        norm: an upper bound on ||z_j||_2, and one 0 more at the end, for padding.
        peak: max_i |z_ij|, likewise.
    """

    def __init__(
        self,
        source: Source,
        mean: Float64[Array, "d"],
        scale: Float64[Array, "d"],
        scope: Int[Array, "p"],
        named: Int[Array, "q"] | None = None,
    ) -> None:
        positive = source.positive
        self._X, self._scope = source.X, scope
        self._mean, self._scale = mean[scope], scale[scope]
        self._train = np.concatenate([source.train[positive], source.train[~positive]])
        self.n, self.p = len(self._train), len(scope)
        self._held: Float64[Array, "q n"] | None = None
        squares, self.peak = np.zeros(self.p + 1), np.zeros(self.p + 1)
        small = 8 * self.n * self.p <= HELD_BYTES
        held = np.zeros((self.p + 1, self.n)) if small else None
        few = np.empty(0, np.int64) if named is None else named
        if small or source.X.dtype.itemsize * self.n * len(few) > HELD_BYTES:
            few = few[:0]
        self._few = np.empty((len(few), self.n), source.X.dtype)
        self._place = np.full(self.p, -1)
        self._place[few] = np.arange(len(few))
        for part, raw in self._raw():
            self._few[:, part] = raw[:, few].T
            block = self._standardised(raw, slice(None)).T
            squares[:-1] += np.einsum("ij,ij->i", block, block)
            self.peak[:-1] = np.maximum(self.peak[:-1], np.abs(block).max(axis=1))
            if held is not None:
                held[:-1, part] = block
        self._held = held
        self.norm = np.sqrt(squares) * (1.0 + gamma(self.n + 8)) + self.n * TINY
        self.norm[-1] = 0.0

    @property
    def held(self) -> bool:
        """Whether Z is in memory."""
        return self._held is not None

    def every(self) -> Float64[Array, "p n"]:
        """Z^T, where it is in memory."""
        assert self._held is not None
        return self._held[:-1]

    def _raw(self) -> Iterator[tuple[slice, Shaped[Array, "rows p"]]]:
        """The scope's columns of X, a slice of rows at a time: one pass."""
        whole = self.p == self._X.shape[1]
        for part in row_slices(self.n, self._X.shape[1]):
            rows = self._X[self._train[part]]
            release(self._X)
            yield part, rows if whole else rows[:, self._scope]

    def _standardised(
        self, raw: Shaped[Array, "rows q"], columns: Int[Array, "q"] | slice
    ) -> Float64[Array, "rows q"]:
        """(x - mean) / scale."""
        block = raw.astype(np.float64)
        block -= self._mean[columns]
        block /= self._scale[columns]
        return block

    def blocks(
        self, columns: Int[Array, "q"] | slice = slice(None)
    ) -> Iterator[tuple[slice, Float64[Array, "q rows"]]]:
        """Z^T of some columns, a slice of rows at a time."""
        place = self._place[columns]
        if self._held is not None:
            for part in row_slices(self.n, self.p):
                yield part, self._held[:-1, part][columns]
        elif (place >= 0).all():
            for part in row_slices(self.n, len(place)):
                yield part, self._standardised(self._few[place, part].T, columns).T
        else:
            for part, raw in self._raw():
                yield part, self._standardised(raw[:, columns], columns).T

    def scores(
        self, columns: Int[Array, "q"], beta: Float64[Array, "batch q"]
    ) -> Float64[Array, "batch n"]:
        """beta Z_J^T."""
        out = np.empty((len(beta), self.n))
        for part, block in self.blocks(columns):
            np.matmul(beta, block, out=out[:, part])
        return out

    def correlations(self, u: Float64[Array, "batch n"]) -> Float64[Array, "batch p"]:
        """u Z."""
        out = np.zeros((len(u), self.p))
        for part, block in self.blocks():
            out += u[:, part] @ block.T
        return out

    def gather(
        self, supports: Int[Array, "batch k"]
    ) -> tuple[Float64[Array, "q n"], Int[Array, "batch k"]]:
        """Rows of Z^T that hold every column of `supports` (p meaning 0), and their numbers."""
        if self._held is not None:
            return self._held, supports
        used, place = among(supports, self.p + 1)
        block = np.zeros((len(used), self.n))
        real = used[used < self.p]
        for part, columns in self.blocks(real):
            block[: len(real), part] = columns
        return block, place

    def groups(self, supports: Int[Array, "m k"]) -> Iterator[slice]:
        """Slices of supports whose columns `gather` can hold at once."""
        most = len(supports) if self._held is not None else HELD_BYTES // (16 * self.n)
        start = 0
        while start < len(supports):
            stop = len(supports)
            while self._held is None and stop - start > 1:
                if len(np.unique(supports[start:stop])) <= most:
                    break
                stop = start + (stop - start + 1) // 2
            yield slice(start, stop)
            start = stop


def among(columns: Int[Array, "*shape"], f: int) -> tuple[Int[Array, "q"], Int[Array, "*shape"]]:
    """Which of f columns there are, increasing, and the place of each among these."""
    there = np.zeros(f, bool)
    there[columns] = True
    return np.flatnonzero(there), (np.cumsum(there) - 1)[columns]
