"""The columns of several sites over the rows of several shards, as one matrix without a copy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from optprobe.activations.shards import Tensors
from optprobe.matrix.source import RowSource

Array = np.ndarray
Axis = slice | Int[Array, "_"]


class StoredArray(RowSource):
    """Rows x columns of a store; what is asked for is read, and nothing is kept.

    A block of rows within one shard and one site is a mapped view, any other a copy.

    Args:
        shards: the tensors of each shard.
        lengths: rows of each shard.
        sites: hook point -> columns.
        dtype: of the numbers.
        rows: the rows shown, by number; None for all.
    """

    def __init__(
        self,
        shards: Sequence[Tensors],
        lengths: Sequence[int],
        sites: dict[str, int],
        dtype: np.dtype[Any],
        rows: Int[Array, "rows"] | None = None,
    ) -> None:
        self._shards, self._sites, self._dtype, self._rows = shards, list(sites), dtype, rows
        self._row_ends = np.cumsum([0, *lengths])
        self._column_ends = np.cumsum([0, *sites.values()])

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        rows = self._row_ends[-1] if self._rows is None else len(self._rows)
        return int(rows), int(self._column_ends[-1])

    @property
    def dtype(self) -> np.dtype[Any]:
        """float16 or float32."""
        return self._dtype

    def __getitem__(self, key: Any) -> Array:
        """Slices, masks, row and column numbers and `np.ix_`, as for a NumPy array.

        Raises:
            IndexError: a number out of range, a mask of another length, or another kind of index.
        """
        row, column = key if isinstance(key, tuple) and len(key) == 2 else (key, slice(None))
        height, width = self.shape
        if isinstance(row, slice) or isinstance(column, slice):
            return self._block(_axis(row, height), _axis(column, width))
        rows, columns = _numbers(row, height), _numbers(column, width)
        crossed = rows.ndim == columns.ndim == 2 and rows.shape[1] == columns.shape[0] == 1
        return self._block(rows[:, 0], columns[0]) if crossed else self._pairs(rows, columns)

    def pieces(self, rows: slice) -> Iterator[tuple[slice, slice, Array]]:
        """A block of consecutive rows, one shard and one site after another."""
        if self._rows is not None:
            yield slice(None), slice(None), self[rows]
            return
        columns = [slice(*ends) for ends in pairwise(self._column_ends.tolist())]
        for i, rows_in, rows_out in _pieces(self._row_ends, _axis(rows, self.shape[0])):
            for at, part in zip(columns, self._shards[i].read(self._sites, rows_in), strict=True):
                yield rows_out, at, part

    def _parts(self, rows: Axis, columns: Axis) -> Iterator[tuple[Any, Any, Array, Any, Any]]:
        """Rows and columns of a block, the tensor they come from, and rows and columns there."""
        for i, rows_in, rows_out in _pieces(self._row_ends, rows):
            tensor = self._shards[i].mapped()
            for j, columns_in, columns_out in _pieces(self._column_ends, columns):
                yield rows_out, columns_out, tensor(self._sites[j]), rows_in, columns_in

    def _block(self, rows: Axis, columns: Axis) -> Float[Array, "r p"]:
        """Every pair of these rows and columns."""
        if self._rows is not None:
            rows = self._rows[rows]
        rows, columns = _consecutive(rows), _consecutive(columns)
        parts = list(self._parts(rows, columns))
        if len(parts) == 1 and isinstance(rows, slice):
            _, _, tensor, rows_in, columns_in = parts[0]
            view = tensor[rows_in][:, columns_in]
            view.flags.writeable = False
            return view
        out = np.empty((_count(rows), _count(columns)), self._dtype)
        for rows_out, columns_out, tensor, rows_in, columns_in in parts:
            out[_crossed(rows_out, columns_out)] = tensor[_crossed(rows_in, columns_in)]
        return out

    def _pairs(self, rows: Int[Array, "*r"], columns: Int[Array, "*r"]) -> Float[Array, "*r"]:
        """The numbers at pairs of a row and a column."""
        rows, columns = np.broadcast_arrays(rows, columns)
        out = np.empty(rows.shape, self._dtype)
        if self._rows is not None:
            rows = self._rows[rows]
        flat, row, column = out.reshape(-1), rows.reshape(-1), columns.reshape(-1)
        for i, rows_in, at in _pieces(self._row_ends, row):
            tensor = self._shards[i].mapped()
            for j, columns_in, among in _pieces(self._column_ends, column[at]):
                flat[at[among]] = tensor(self._sites[j])[rows_in[among], columns_in]
        return out


def _axis(key: Any, size: int) -> Axis:
    """A slice of step 1, or numbers from 0 to size - 1."""
    if isinstance(key, slice):
        start, stop, step = key.indices(size)
        return slice(start, max(start, stop)) if step == 1 else np.arange(start, stop, step)
    numbers = _numbers(key, size)
    if numbers.ndim != 1:
        raise IndexError(f"an index of {numbers.ndim} dimensions beside a slice")
    return numbers


def _numbers(key: Any, size: int) -> Int[Array, "*r"]:
    """Numbers from 0 to size - 1."""
    numbers = np.asarray(key)
    if numbers.dtype == bool:
        if numbers.shape != (size,):
            raise IndexError(f"a mask of shape {numbers.shape} for {size} entries")
        return np.flatnonzero(numbers)
    if numbers.ndim == 0 or (numbers.size and numbers.dtype.kind not in "iu"):
        raise IndexError(f"index {key!r}; pass a slice, a mask or an array of numbers")
    numbers = numbers.astype(np.int64)
    if numbers.size and (numbers.min() < -size or numbers.max() >= size):
        raise IndexError(f"an index is out of range for {size} entries")
    return np.where(numbers < 0, numbers + size, numbers)


def _crossed(rows: Axis, columns: Axis) -> tuple[Any, Any]:
    """The index of a block: every pair of these rows and columns."""
    if isinstance(rows, slice) or isinstance(columns, slice):
        return rows, columns
    return rows[:, None], columns[None, :]


def _count(numbers: Axis) -> int:
    return numbers.stop - numbers.start if isinstance(numbers, slice) else len(numbers)


def _consecutive(numbers: Axis) -> Axis:
    """Numbers that follow on each other, as a slice."""
    if isinstance(numbers, slice) or not len(numbers):
        return numbers
    first, count = int(numbers[0]), len(numbers)
    if int(numbers[-1]) - first + 1 != count or (np.diff(numbers) != 1).any():
        return numbers
    return slice(first, first + count)


def _pieces(ends: Int[Array, "ends"], numbers: Axis) -> Iterator[tuple[int, Any, Any]]:
    """Part, numbers within it and places in the result; `ends` are where the parts end."""
    if isinstance(numbers, slice):
        start, stop = numbers.start, numbers.stop
        first, last = np.searchsorted(ends, (start, stop - 1), side="right") - 1
        for part in range(first, last + 1):
            low, high = max(start, int(ends[part])), min(stop, int(ends[part + 1]))
            if low < high:
                base = int(ends[part])
                yield part, slice(low - base, high - base), slice(low - start, high - start)
        return
    owner = np.searchsorted(ends, numbers, side="right") - 1
    for part in np.unique(owner).tolist():
        places = np.flatnonzero(owner == part)
        yield part, numbers[places] - ends[part], places
