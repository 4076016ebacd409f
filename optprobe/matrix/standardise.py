"""Standardisation on the training rows, in one pass over blocks of rows.

    z_ij = (x_ij - mean_j) / scale_j,   scale_j = max(std_j, floor)

Means and deviations of the blocks are merged exactly (Chan, Golub, LeVeque 1983), so a
memory-mapped array is read once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int

from optprobe.matrix.source import RowSource

Array = np.ndarray

BLOCK_BYTES = 2**24
"""Size of a block of rows in float64: large enough for the products, small beside X."""

LARGEST = 1e150
"""Largest number in X: the square of anything more would overflow."""


def row_slices(rows: int, columns: int) -> Iterator[slice]:
    """Consecutive slices of rows whose float64 block takes about BLOCK_BYTES."""
    step = max(1, BLOCK_BYTES // (8 * max(1, columns)))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


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


def standardise(X: Array | RowSource, train: Int[Array, "n"], floor: float) -> Standardisation:
    """Mean, scale and constant columns of X over the rows `train`.

    Args:
        X: rows x d floats, in memory, memory-mapped or in a store.
        train: the training rows, increasing.
        floor: smallest scale; a column that varies less is divided by this instead.

    Raises:
        NotFiniteError: a NaN, an infinity or a huge number anywhere in X, test rows included.
    """
    d = X.shape[1]
    count, mean, squares = 0, np.zeros(d), np.zeros(d)
    low, high = np.full(d, np.inf), np.full(d, -np.inf)
    for part in row_slices(*X.shape):
        raw = np.asarray(X[part])
        check_finite(raw, part.start)
        first, last = np.searchsorted(train, (part.start, part.stop))
        if first == last:
            continue
        block = raw[train[first:last] - part.start].astype(np.float64)
        size = len(block)
        block_mean = block.mean(axis=0)
        low = np.minimum(low, block.min(axis=0))
        high = np.maximum(high, block.max(axis=0))
        block -= block_mean
        shift = block_mean - mean
        total = count + size
        squares += np.einsum("ij,ij->j", block, block) + shift**2 * (count * size / total)
        mean += shift * (size / total)
        count = total
    variance = squares / count
    return Standardisation(mean, variance, np.maximum(np.sqrt(variance), floor), low == high)
