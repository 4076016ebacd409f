"""Standardisation on the training rows, in one pass over blocks of rows.

    z_ij = (x_ij - mean_j) / scale_j,   scale_j = max(std_j, floor)

What is on disk is read once.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Float64, Int

from optprobe.matrix.moments import Moments, Sums
from optprobe.matrix.source import RowSource
from optprobe.threads import in_threads, single_threaded_blas, workers

Array = np.ndarray

BLOCK_BYTES = 2**24
"""Size of a block of rows in float64: large enough for the products, small beside X."""

MOMENT_BYTES, MOMENT_ROWS = 2**21, 40
"""Size in float64 of a block whose moments are taken, which fits a processor's own cache, and the
fewest rows it has."""

MOMENT_BLOCKS = 64
"""Blocks that one thread takes at a time."""

LARGE_HALF = 2**30
"""So many float16 numbers are worth loading torch for."""

TORCH_ALONE = 2**15 - 1
"""So many numbers torch converts in the thread that asks; more wake up threads of its own."""

LARGEST = 1e150
"""Largest number in X: the square of anything more would overflow."""


def row_slices(rows: int, columns: int) -> Iterator[slice]:
    """Consecutive slices of rows whose float64 block takes about BLOCK_BYTES."""
    yield from slices(rows, max(1, BLOCK_BYTES // (8 * max(1, columns))))


def slices(stop: int, step: int, start: int = 0) -> Iterator[slice]:
    """Consecutive slices from start to stop, of `step` rows each but the last."""
    for first in range(start, stop, step):
        yield slice(first, min(first + step, stop))


def fill(out: Float[Array, "rows d"], X: Array | RowSource, start: int, stop: int) -> None:
    """Write some rows of X into an array of a wider type."""
    part = slice(start, stop)
    pieces = X.pieces(part) if isinstance(X, RowSource) else [(slice(None), slice(None), X[part])]
    for rows, columns, block in pieces:
        widen(out[rows, columns], block)


def widen(out: Float[Array, "rows d"], block: Float[Array, "rows d"]) -> None:
    """Write a block into one of a wider type.

    float16 into float32 goes through the processor's own instruction, which torch uses and NumPy
    does not.
    """
    if block.dtype != np.float16 or out.dtype != np.float32:
        out[...] = block
        return
    import torch

    half = block if block.flags.writeable else block.copy()  # torch warns of others
    for some in slices(len(half), max(1, TORCH_ALONE // half.shape[1])):
        torch.from_numpy(out[some]).copy_(torch.from_numpy(half[some]))


def wide_type(X: Array | RowSource) -> type[np.floating]:
    """The type that `fill` is to write: float32 only where torch is worth it, else float64."""
    small_half = X.dtype == np.float16 and X.size < LARGE_HALF
    return np.float64 if small_half or X.dtype == np.float64 else np.float32


def block_rows(d: int) -> int:
    """Rows of d columns that a thread takes at a time."""
    return max(MOMENT_ROWS, MOMENT_BYTES // (8 * max(1, d)))


def release(X: Array | RowSource) -> None:
    """Let go of the pages of a mapped file, which stay in the system's cache of the disk.

    Otherwise a pass over a file would hold all of it in the memory of this process.
    """
    mapped = getattr(X, "_mmap", None)
    if mapped is not None and getattr(X, "mode", "c") != "c" and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


@dataclass(frozen=True)
class Standardisation:
    """Column means, variances, scales and which columns are constant on the training rows."""

    mean: Float64[Array, "d"]
    variance: Float64[Array, "d"]
    scale: Float64[Array, "d"]
    constant: Bool[Array, "d"]

    def apply(
        self, block: Array, columns: Int[Array, "p"] | slice = slice(None)
    ) -> Float64[Array, "rows p"]:
        """(block - mean) / scale in float64; `block` holds the chosen columns of X."""
        out = block.astype(np.float64)
        out -= self.mean[columns]
        out /= self.scale[columns]
        return out


class NotFiniteError(ValueError):
    """X holds a NaN, an infinity or a number past LARGEST; carries where."""

    def __init__(self, row: int, column: int, value: float) -> None:
        super().__init__(f"X[{row}, {column}] is {value}")
        self.row, self.column, self.value = row, column, value


def check_finite(block: Array, first_row: int) -> None:
    """Raise NotFiniteError at the first NaN, infinity or huge number of a block of rows of X."""
    with np.errstate(invalid="ignore"):
        if block.dtype.itemsize == 8:
            fine = block.max() <= LARGEST and block.min() >= -LARGEST  # NaN is neither
        else:
            fine = np.isfinite(np.sum(block, dtype=np.float64))
    if not fine:
        bad = ~(np.abs(block.astype(np.float64)) <= LARGEST)
        row, column = np.argwhere(bad)[0]
        raise NotFiniteError(first_row + int(row), int(column), float(block[row, column]))


def standardise(
    X: Array | RowSource, train: Int[Array, "n"], floor: float, dual: Float64[Array, "n"]
) -> tuple[Standardisation, Float64[Array, "d"]]:
    """Mean, scale and constant columns of X over the rows `train`, and u Z, in one pass.

        u Z = (sum_i u_i (x_i - mean)) / scale

    Blocks are read side by side and merged in order: the result does not depend on how many
    processors there are.

    Args:
        X: rows x d floats, in memory, memory-mapped or in a store.
        train: the training rows, increasing.
        floor: smallest scale; a column that varies less is divided by this instead.
        dual: u, a weighting of the training rows.

    Returns:
        The standardisation, and the correlation of each column with u (0 for a constant one).

    Raises:
        NotFiniteError: a NaN, an infinity or a huge number anywhere in X, test rows included.
    """
    rows, d = X.shape
    wide, step = wide_type(X), block_rows(d)

    def moments(span: slice) -> Moments:
        sums: Sums | None = None
        varies = np.zeros(d, bool)
        read, room = np.empty((step, d), wide), np.empty((step, d))
        for part in slices(span.stop, step, span.start):
            start, stop = part.start, part.stop
            first, last = np.searchsorted(train, (start, stop))
            raw = read[: stop - start]
            fill(raw, X, start, stop)
            if last - first < len(raw) or X.dtype == np.float64:
                check_finite(raw, start)
                raw = raw[train[first:last] - start]
            if not len(raw):
                continue
            block = room[: len(raw)]
            np.copyto(block, raw)
            with np.errstate(invalid="ignore", over="ignore"):
                sums = Sums(block) if sums is None else sums
                if X.dtype == np.float64:  # the squares of tiny differences are 0
                    varies |= (block != sums.centre).any(axis=0)
                fine = sums.add(block, dual[first:last])
            if not fine:
                check_finite(raw, start)
        release(X)
        found = Moments.nothing(d) if sums is None else sums.moments()
        return replace(found, varies=found.varies | varies)

    merged = Moments.nothing(d)
    spans = list(slices(rows, MOMENT_BLOCKS * step))
    with single_threaded_blas():
        at_once = 8 * workers()  # more than one each: who is done first goes on
        for i in range(0, len(spans), at_once):
            for found in in_threads(moments, spans[i : i + at_once]):
                merged = merged.merge(found)
    variance = merged.squares / merged.count
    scale = np.maximum(np.sqrt(variance), floor)
    constant = ~merged.varies
    by = Standardisation(merged.mean, variance, scale, constant)
    return by, np.where(constant, 0.0, merged.products / scale)
