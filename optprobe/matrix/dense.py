"""Z held in memory, one contiguous row per neuron."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Int

from optprobe.matrix.source import RowSource
from optprobe.matrix.standardise import Standardisation, row_slices, slices
from optprobe.threads import in_threads

Array = np.ndarray

DOUBLE_BYTES = 2**27
"""Z up to this size is held in float64; past it in float32 (the decisions stay in float64)."""

TRANSPOSED_BYTES = 2**20
"""Size in float64 of a block of rows that is transposed, small enough to stay in a cache."""


@dataclass(frozen=True)
class DenseMatrix:
    """Z^T (d x n) in memory, float64 where it is small, float32 where memory matters."""

    transposed: Float[Array, "d n"]

    @classmethod
    def standardised(
        cls, X: Array | RowSource, train: Int[Array, "n"], by: Standardisation
    ) -> DenseMatrix:
        """Standardise the training rows of X block by block; constant columns become 0."""
        n, d = len(train), X.shape[1]
        dtype = np.float64 if 8 * n * d <= DOUBLE_BYTES else np.float32
        transposed = np.empty((d, n), dtype)

        def work(part: slice) -> None:
            transposed[:, part] = by.apply(X[train[part]]).T

        parts = list(slices(n, max(1, TRANSPOSED_BYTES // (8 * max(1, d)))))
        if isinstance(X, np.ndarray):
            in_threads(work, parts)
        else:  # a store reads with threads of its own
            for part in parts:
                work(part)
        transposed[by.constant] = 0.0
        return cls(transposed)

    @property
    def shape(self) -> tuple[int, int]:
        """(n, d)."""
        d, n = self.transposed.shape
        return n, d

    @property
    def roundoff(self) -> float:
        """Unit roundoff of the stored type."""
        return float(np.finfo(self.transposed.dtype).eps) / 2

    def scores(
        self, columns: Int[Array, "p"], beta: Float64[Array, "batch p"]
    ) -> Float64[Array, "batch n"]:
        """beta Z_J^T, in float64; consecutive columns are not copied."""
        first, size = (int(columns[0]), len(columns)) if len(columns) else (0, 0)
        if not np.array_equal(columns, np.arange(first, first + size)):
            return beta @ self.columns(columns)
        out = np.zeros((len(beta), self.transposed.shape[1]))
        for part in row_slices(size, self.transposed.shape[1]):
            block = self.transposed[first + part.start : first + part.stop]
            out += beta[:, part] @ block.astype(np.float64, copy=False)
        return out

    def correlations(self, duals: Float64[Array, "batch n"]) -> Float64[Array, "batch d"]:
        """u Z, accumulated in float64 (a block of columns at a time where Z is float32)."""
        if self.transposed.dtype == np.float64:
            return duals @ self.transposed.T
        out = np.empty((len(duals), len(self.transposed)))
        for part in row_slices(*self.transposed.shape):
            out[:, part] = duals @ self.transposed[part].astype(np.float64).T
        return out

    def squares(self, weights: Float64[Array, "batch n"]) -> Float64[Array, "batch d"]:
        """u (Z o Z), a block of columns at a time."""
        out = np.empty((len(weights), len(self.transposed)))
        for part in row_slices(*self.transposed.shape):
            block = self.transposed[part].astype(np.float64, copy=False)
            out[:, part] = weights @ (block * block).T
        return out

    def columns(self, columns: Int[Array, "p"]) -> Float64[Array, "p n"]:
        """Z_J^T in float64."""
        return self.transposed[columns].astype(np.float64, copy=False)

    def gram(self, columns: Int[Array, "p"], weights: Float64[Array, "n"]) -> Float64[Array, "p p"]:
        """Z_J^T diag(weights) Z_J."""
        block = self.columns(columns)
        return (block * weights) @ block.T

    def restrict(self, columns: Int[Array, "p"]) -> DenseMatrix:
        """A copy of the columns J."""
        return DenseMatrix(self.transposed[columns])
