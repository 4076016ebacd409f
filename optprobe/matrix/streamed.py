"""Z read block by block from what is too large to copy: on disk, or float64 in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import TypeVar

import numpy as np
from jaxtyping import Float64, Int

from optprobe.matrix.dense import DenseMatrix
from optprobe.matrix.held import HeldColumns
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
        """Do a job for one stretch of training rows after another, on x - mean of some columns."""
        few = self.held.fits(len(columns))
        place = self.held.places(columns) if few else np.empty(0, int)
        step = block_rows(len(columns) if few else self.source.shape[1])

        def work(span: slice) -> Value:
            parts = (
                slice(span.start + inner.start, span.start + inner.stop)
                for inner in slices(span.stop - span.start, step)
            )
            return job(self._held(place, columns, parts) if few else self._read(columns, parts))

        return in_threads(work, list(slices(len(self.train), MOMENT_BLOCKS * step)))

    def _held(
        self, place: Int[Array, "p"], columns: Int[Array, "p"], parts: Iterator[slice]
    ) -> Iterator[Block]:
        """The blocks, from memory."""
        mean = self.by.mean[columns, None]
        for part in parts:
            first, last, rows = self._rows(part)
            raw = self.held.values[place, first:last][:, rows]
            wide = np.empty(raw.shape, wide_type(self.source))
            widen(wide, raw)
            yield part, (wide - mean).T

    def _read(self, columns: Int[Array, "p"], parts: Iterator[slice]) -> Iterator[Block]:
        """The blocks, from the source."""
        width, mean = self.source.shape[1], self.by.mean[columns]
        chosen = slice(None) if np.array_equal(columns, np.arange(width)) else columns
        wide = np.empty((0, width), wide_type(self.source))
        room = np.empty((0, len(columns)))
        for part in parts:
            first, last, rows = self._rows(part)
            if last - first > len(wide):
                wide = np.empty((last - first, width), wide.dtype)
                room = np.empty((last - first, len(columns)))
            fill(wide[: last - first], self.source, first, last)
            block = room[: part.stop - part.start]
            np.subtract(wide[: last - first][rows][:, chosen], mean, out=block)
            yield part, block
        release(self.source)

    def _rows(self, part: slice) -> tuple[int, int, slice | Int[Array, "rows"]]:
        """Where some training rows begin and end in X, and where they are in between."""
        rows = self.train[part]
        first, last = int(rows[0]), int(rows[-1]) + 1
        return first, last, slice(None) if last - first == len(rows) else rows - first

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
        if 8 * len(columns) * len(self.train) <= 2**27:
            return DenseMatrix(self.columns(columns))
        part = StreamedMatrix(self.source, self.train, self.by, self.kept[columns])
        vars(part)["held"] = self.held
        return part


def _sum(parts: Iterable[Array]) -> Array:
    """The sum of arrays of one shape, from the first to the last."""
    return reduce(np.add, parts)
