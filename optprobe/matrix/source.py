"""Activations that are kept elsewhere and read a block of rows at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np

Array = np.ndarray


class RowSource(ABC):
    """A matrix indexed as a NumPy array is, whose numbers are read when they are asked for.

    Nothing in the package asks for more than blocks of rows (a slice, or row numbers), pairs of
    row and column numbers, and the blocks of `np.ix_`.
    """

    ndim = 2

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""

    @property
    @abstractmethod
    def dtype(self) -> np.dtype[Any]:
        """float16, float32 or float64."""

    @abstractmethod
    def __getitem__(self, key: Any) -> Array:
        """As for a NumPy array; IndexError out of range."""

    @abstractmethod
    def pieces(self, rows: slice) -> Iterator[tuple[slice, slice, Array]]:
        """A block of consecutive rows in parts: rows and columns within the block, and the part."""

    @property
    def size(self) -> int:
        """rows x columns."""
        return self.shape[0] * self.shape[1]

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """All of it in memory."""
        if copy is False:
            raise ValueError("a copy is needed: the activations are not in memory")
        return self[:].astype(dtype or self.dtype)
