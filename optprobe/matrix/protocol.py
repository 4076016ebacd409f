"""The one door to the activations.

Z is the standardised training part of X: n rows, d columns. The engine sees Z through these
methods only, so an array in memory, on disk or on a device is one class each. Batches come
first (one row per coefficient vector or dual point), so every product is one matrix product.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64, Int

Array = np.ndarray


@runtime_checkable
class DesignMatrix(Protocol):
    """Standardised training rows Z (n x d), reached by products and blocks."""

    @property
    def shape(self) -> tuple[int, int]:
        """(n, d)."""
        ...

    @property
    def roundoff(self) -> float:
        """Unit roundoff of the products: 2^-53, or 2^-24 where Z is held in float32."""
        ...

    def scores(
        self, columns: Int[Array, "p"], beta: Float64[Array, "batch p"]
    ) -> Float64[Array, "batch n"]:
        """beta Z_J^T: the scores x_i . beta of a batch of coefficients on the columns J.

        The margin of row i is y_i (score_i + b).
        """
        ...

    def correlations(self, duals: Float64[Array, "batch n"]) -> Float64[Array, "batch d"]:
        """u Z: the correlation of every column with a batch of row weightings (u = w a y)."""
        ...

    def squares(self, weights: Float64[Array, "batch n"]) -> Float64[Array, "batch d"]:
        """u (Z o Z): the weighted sums of squares of every column."""
        ...

    def columns(self, columns: Int[Array, "p"]) -> Float64[Array, "p n"]:
        """Z_J^T in float64, one contiguous row per column of Z."""
        ...

    def gram(self, columns: Int[Array, "p"], weights: Float64[Array, "n"]) -> Float64[Array, "p p"]:
        """Z_J^T diag(weights) Z_J."""
        ...

    def restrict(self, columns: Int[Array, "p"]) -> DesignMatrix:
        """The same rows with the columns J only, renumbered 0..p-1."""
        ...
