"""Means, squares and products of the columns, block by block.

Means and deviations of the blocks are merged exactly (Chan, Golub, LeVeque 1983).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64

Array = np.ndarray


@dataclass(frozen=True)
class Moments:
    """Sums over some rows about their mean: of squares, and of products with a weighting u.

    Attributes:
        count: rows.
        mean: of each column.
        squares: sum_i (x_i - mean)^2.
        weight: sum_i u_i.
        products: sum_i u_i (x_i - mean).
        low, high: smallest and largest number of each column.
    """

    count: int
    mean: Float64[Array, "d"]
    squares: Float64[Array, "d"]
    weight: float
    products: Float64[Array, "d"]
    low: Float[Array, "d"]
    high: Float[Array, "d"]

    @classmethod
    def nothing(cls, d: int) -> Moments:
        """Of no rows."""
        zero = np.zeros(d)
        return cls(0, zero, zero, 0.0, zero, np.full(d, np.inf), np.full(d, -np.inf))

    @classmethod
    def of(
        cls,
        block: Float64[Array, "rows d"],
        dual: Float64[Array, "rows"],
        low: Float[Array, "d"],
        high: Float[Array, "d"],
    ) -> Moments:
        """Of a block of rows, which is centred in place."""
        mean = np.ones(len(block)) @ block / len(block)
        block -= mean
        squares = np.einsum("ij,ij->j", block, block)
        return cls(len(block), mean, squares, float(dual.sum()), dual @ block, low, high)

    def merge(self, other: Moments) -> Moments:
        """Of both sets of rows together."""
        if not other.count:
            return self
        count = self.count + other.count
        shift = other.mean - self.mean
        mean = self.mean + shift * (other.count / count)
        squares = shift**2 * (self.count * other.count / count)
        products = self.weight * (self.mean - mean) + other.weight * (other.mean - mean)
        return Moments(
            count,
            mean,
            self.squares + other.squares + squares,
            self.weight + other.weight,
            self.products + other.products + products,
            np.minimum(self.low, other.low),
            np.maximum(self.high, other.high),
        )
