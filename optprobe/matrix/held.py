"""Columns of X in its own type, read together and kept for whoever asks for them next."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from functools import cached_property
from threading import Lock

import numpy as np
from jaxtyping import Float, Int

from optprobe.matrix.source import RowSource
from optprobe.matrix.standardise import MOMENT_BLOCKS, block_rows, fill, release, slices
from optprobe.threads import in_threads

Array = np.ndarray
Held = tuple[Float[Array, "room rows"], Int[Array, "p"]]

HELD_BYTES = 2**29
"""Memory for the columns that are kept."""


class HeldColumns:
    """A few columns of what is too large to copy.

    To fetch one column means to read whole rows, and a search asks for the same few again and
    again. Columns are kept until there is no room for the next, then all are forgotten. Threads
    that search the same data take turns.
    """

    def __init__(self, X: Array | RowSource) -> None:
        self._X = X
        rows, d = X.shape
        self._room = min(d, HELD_BYTES // (rows * X.dtype.itemsize))
        self._count = 0
        self._place = np.full(d, -1)
        self._lock = Lock()

    @cached_property
    def _values(self) -> Float[Array, "room rows"]:
        return np.empty((self._room, self._X.shape[0]), self._X.dtype)

    def fits(self, count: int) -> bool:
        """Whether so many columns can be kept."""
        return count <= self._room

    @contextmanager
    def kept(self, columns: Int[Array, "p"]) -> Generator[Held]:
        """Every row of X of what is kept, column after column, and where in it the columns are.

        One pass over X if any is missing. What is asked for stays there until the end of the with
        statement; do not enter it twice.

        Args:
            columns: of X, no more than `fits`.
        """
        with self._lock:
            missing = np.unique(columns[self._place[columns] < 0])
            if self._count + len(missing) > self._room:
                self._place[:], self._count = -1, 0
                missing = np.unique(columns)
            if len(missing):
                self._read(missing)
            yield self._values, self._place[columns]

    def _read(self, missing: Int[Array, "m"]) -> None:
        X, first, last = self._X, self._count, self._count + len(missing)
        values, step = self._values, block_rows(X.shape[1])

        def read(span: slice) -> None:
            room = np.empty((step, X.shape[1]), X.dtype)
            for part in slices(span.stop, step, span.start):
                block = room[: part.stop - part.start]
                fill(block, X, part.start, part.stop)
                values[first:last, part] = block[:, missing].T
            release(X)

        in_threads(read, list(slices(X.shape[0], MOMENT_BLOCKS * step)))
        self._count = last  # first: Ctrl-C in between shall lose room, not mix up columns
        self._place[missing] = np.arange(first, last)
