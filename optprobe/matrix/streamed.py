"""Z read block by block from what is too large to copy: on disk, or float64 in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int

from optprobe.matrix.dense import DenseMatrix
from optprobe.matrix.source import RowSource
from optprobe.matrix.standardise import Standardisation, row_slices

Array = np.ndarray


@dataclass(frozen=True)
class StreamedMatrix:
    """Standardises a block of rows at a time; every method is one pass over X.

    `kept` lists the columns of X that this matrix shows, so that restricting costs nothing.
    """

    source: Array | RowSource
    train: Int[Array, "n"]
    by: Standardisation
    kept: Int[Array, "d"]

    @property
    def shape(self) -> tuple[int, int]:
        """(n, d)."""
        return len(self.train), len(self.kept)

    @property
    def roundoff(self) -> float:
        """Blocks are standardised and multiplied in float64."""
        return float(np.finfo(np.float64).eps) / 2

    def _block(self, part: slice, columns: Int[Array, "p"]) -> Float64[Array, "rows p"]:
        """Standardised rows `part` of the columns of X given by number, constants as 0."""
        rows = self.train[part]
        span = self.source[rows[0] : rows[-1] + 1]
        block = self.by.apply(span[rows - rows[0]][:, columns], columns)
        block[:, self.by.constant[columns]] = 0.0
        return block

    def scores(
        self, columns: Int[Array, "p"], beta: Float64[Array, "batch p"]
    ) -> Float64[Array, "batch n"]:
        """beta Z_J^T, one pass."""
        out = np.empty((len(beta), len(self.train)))
        for part in row_slices(len(self.train), self.source.shape[1]):
            out[:, part] = beta @ self._block(part, self.kept[columns]).T
        return out

    def correlations(self, duals: Float64[Array, "batch n"]) -> Float64[Array, "batch d"]:
        """u Z, one pass."""
        out = np.zeros((len(duals), len(self.kept)))
        for part in row_slices(len(self.train), self.source.shape[1]):
            out += duals[:, part] @ self._block(part, self.kept)
        return out

    def squares(self, weights: Float64[Array, "batch n"]) -> Float64[Array, "batch d"]:
        """u (Z o Z), one pass."""
        out = np.zeros((len(weights), len(self.kept)))
        for part in row_slices(len(self.train), self.source.shape[1]):
            out += weights[:, part] @ self._block(part, self.kept) ** 2
        return out

    def columns(self, columns: Int[Array, "p"]) -> Float64[Array, "p n"]:
        """Z_J^T, one pass."""
        out = np.empty((len(columns), len(self.train)))
        for part in row_slices(len(self.train), self.source.shape[1]):
            out[:, part] = self._block(part, self.kept[columns]).T
        return out

    def gram(self, columns: Int[Array, "p"], weights: Float64[Array, "n"]) -> Float64[Array, "p p"]:
        """Z_J^T diag(weights) Z_J, one pass."""
        out = np.zeros((len(columns), len(columns)))
        for part in row_slices(len(self.train), self.source.shape[1]):
            block = self._block(part, self.kept[columns])
            out += (block * weights[part, None]).T @ block
        return out

    def restrict(self, columns: Int[Array, "p"]) -> StreamedMatrix | DenseMatrix:
        """The columns J, copied into memory once they are few enough to be cheap to hold."""
        if 8 * len(columns) * len(self.train) <= 2**27:
            return DenseMatrix(self.columns(columns))
        return StreamedMatrix(self.source, self.train, self.by, self.kept[columns])
