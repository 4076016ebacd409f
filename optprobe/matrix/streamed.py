"""Z read block by block from what is too large to copy: on disk, or float64 in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import TypeVar

import numpy as np
from jaxtyping import Float64, Int

from optprobe.matrix.dense import DOUBLE_BYTES, DenseMatrix
from optprobe.matrix.held import Held, HeldColumns
from optprobe.matrix.source import RowSource
from optprobe.matrix.standardise import (
    MOMENT_BLOCKS,
    Standardisation,
    block_rows,
    fill,
    release,
    slices,
    wide_type,
    widen,
)
from optprobe.threads import in_threads

Array = np.ndarray
Value = TypeVar("Value")
Block = tuple[slice, Float64[Array, "rows p"]]


@dataclass(frozen=True)
class StreamedMatrix:
    """Centres a block of rows at a time; a method is one pass over X, or none.

    None where the columns it needs are few and were asked for before (`held.HeldColumns`). Blocks
    go side by side and are added up in order: no result depends on how many processors there are.
    `kept` lists the columns of X that this matrix shows, so that restricting costs nothing.
    """

    source: Array | RowSource
    train: Int[Array, "n"]
    by: Standardisation
    kept: Int[Array, "d"]

    @cached_property
    def held(self) -> HeldColumns:
        """The columns that are kept in memory, shared with every restriction."""
        return HeldColumns(self.source)

    @property
    def shape(self) -> tuple[int, int]:
        """(n, d)."""
        return len(self.train), len(self.kept)

    @property
    def roundoff(self) -> float:
        """Blocks are centred and multiplied in float64."""
        return float(np.finfo(np.float64).eps) / 2

    def _over(
        self, columns: Int[Array, "p"], job: Callable[[Iterator[Block]], Value]
    ) -> list[Value]:
        """Do a job for one stretch of X after another, on x - mean of some columns.

        What holds no training row is not read: held-out rows may be a long stretch of X.
        """
        held = self.held
        few = held.fits(len(columns))
        step = block_rows(len(columns) if few else self.source.shape[1])
        spans = slices(self.source.shape[0], MOMENT_BLOCKS * step)
        spans = [span for span in spans if _size(self._training(span)[0])]
        with held.kept(columns) if few else nullcontext() as kept:

            def work(span: slice) -> Value:
                parts = slices(span.stop, step, span.start)
                if kept is None:
                    return job(self._read(columns, parts))
                return job(self._held(kept, columns, parts))

            return in_threads(work, spans)

    def _held(
        self, kept: Held, columns: Int[Array, "p"], parts: Iterator[slice]
    ) -> Iterator[Block]:
        """The training rows of some stretches of X, from memory."""
        values, place = kept
        mean = self.by.mean[columns, None]
        for part in parts:
            at, rows = self._training(part)
            if _size(at):
                raw = values[place, part][:, rows]
                wide = np.empty(raw.shape, wide_type(self.source))
                widen(wide, raw)
                yield at, (wide - mean).T

    def _read(self, columns: Int[Array, "p"], parts: Iterator[slice]) -> Iterator[Block]:
        """The training rows of some stretches of X, from the source."""
        width, mean = self.source.shape[1], self.by.mean[columns]
        chosen = slice(None) if np.array_equal(columns, np.arange(width)) else columns
        step = block_rows(width)
        read, room = np.empty((step, width), wide_type(self.source)), np.empty((step, len(columns)))
        for part in parts:
            at, rows = self._training(part)
            if _size(at):
                wide, block = read[: _size(part)], room[: _size(at)]
                fill(wide, self.source, part.start, part.stop)
                np.subtract(wide[rows][:, chosen], mean, out=block)
                yield at, block
        release(self.source)

    def _training(self, part: slice) -> tuple[slice, slice | Int[Array, "rows"]]:
        """Which of the training rows lie in a stretch of X, and where in it they are."""
        first, last = (int(i) for i in np.searchsorted(self.train, (part.start, part.stop)))
        every = last - first == _size(part)
        return slice(first, last), slice(None) if every else self.train[first:last] - part.start

    def _scale(self, columns: Int[Array, "p"]) -> Float64[Array, "p"]:
        """What turns x - mean into z: infinite for constants, which are 0."""
        return np.where(self.by.constant[columns], np.inf, self.by.scale[columns])

    def scores(
        self, columns: Int[Array, "p"], beta: Float64[Array, "batch p"]
    ) -> Float64[Array, "batch n"]:
        """beta Z_J^T."""
        at, out = self.kept[columns], np.empty((len(beta), len(self.train)))
        slope = beta / self._scale(at)

        def write(blocks: Iterator[Block]) -> None:
            for part, block in blocks:
                out[:, part] = slope @ block.T

        self._over(at, write)
        return out

    def correlations(self, duals: Float64[Array, "batch n"]) -> Float64[Array, "batch d"]:
        """u Z."""

        def add(blocks: Iterator[Block]) -> Float64[Array, "batch d"]:
            return _sum(duals[:, part] @ block for part, block in blocks)

        return _sum(self._over(self.kept, add)) / self._scale(self.kept)

    def squares(self, weights: Float64[Array, "batch n"]) -> Float64[Array, "batch d"]:
        """u (Z o Z)."""
        scale = self._scale(self.kept)

        def add(blocks: Iterator[Block]) -> Float64[Array, "batch d"]:
            return _sum(weights[:, part] @ (block / scale) ** 2 for part, block in blocks)

        return _sum(self._over(self.kept, add))

    def columns(self, columns: Int[Array, "p"]) -> Float64[Array, "p n"]:
        """Z_J^T."""
        at, out = self.kept[columns], np.empty((len(columns), len(self.train)))
        scale = self._scale(at)[:, None]

        def write(blocks: Iterator[Block]) -> None:
            for part, block in blocks:
                np.divide(block.T, scale, out=out[:, part])

        self._over(at, write)
        return out

    def gram(self, columns: Int[Array, "p"], weights: Float64[Array, "n"]) -> Float64[Array, "p p"]:
        """Z_J^T diag(weights) Z_J."""
        at = self.kept[columns]
        scale = self._scale(at)

        def add(blocks: Iterator[Block]) -> Float64[Array, "p p"]:
            scaled = ((part, block / scale) for part, block in blocks)
            return _sum((Z * weights[part, None]).T @ Z for part, Z in scaled)

        return _sum(self._over(at, add))

    def restrict(self, columns: Int[Array, "p"]) -> StreamedMatrix | DenseMatrix:
        """The columns J, copied into memory once they are few enough to be cheap to hold."""
        if 8 * len(columns) * len(self.train) <= DOUBLE_BYTES:
            return DenseMatrix(self.columns(columns))
        part = StreamedMatrix(self.source, self.train, self.by, self.kept[columns])
        vars(part)["held"] = self.held
        return part


def _size(part: slice) -> int:
    return part.stop - part.start


def _sum(parts: Iterable[Array]) -> Array:
    """The sum of arrays of one shape, from the first to the last."""
    return reduce(np.add, parts)
