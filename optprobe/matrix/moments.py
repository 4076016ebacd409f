"""Means, squares and products of the columns, block by block.

Sums over a stretch of rows are taken about a centre; the means and deviations of the stretches are
then merged exactly (Chan, Golub, LeVeque 1983).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

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
        varies: whether the column holds two different numbers.
    """

    count: int
    mean: Float64[Array, "d"]
    squares: Float64[Array, "d"]
    weight: float
    products: Float64[Array, "d"]
    varies: Bool[Array, "d"]

    @classmethod
    def nothing(cls, d: int) -> Moments:
        """Of no rows."""
        zero = np.zeros(d)
        return cls(0, zero, zero, 0.0, zero, np.zeros(d, bool))

    def merge(self, other: Moments) -> Moments:
        """Of both sets of rows together."""
        if not self.count or not other.count:
            return self if self.count else other
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
            self.varies | other.varies | (shift != 0.0),
        )


class Sums:
    """Sums over a stretch of rows about the centre c of its first block.

        n,   sum_i (x_i - c),   sum_i u_i (x_i - c),   sum_i (x_i - c)^2

    c is the block's mean; for a column that is constant there it is that number, so that a constant
    column has sums of exactly 0. The rows that made c are among those summed: of n rows, b of them
    in the first block, sum (x_i - c)^2 is at most 1 + n / b times sum (x_i - mean)^2, and little is
    lost in the difference that `moments` takes.
    """

    def __init__(self, first: Float64[Array, "rows d"]) -> None:
        d = first.shape[1]
        same = (first == first[0]).all(axis=0)
        self.centre: Float64[Array, "d"] = np.where(same, first[0], first.mean(axis=0))
        self._count, self._weight = 0, 0.0
        self._sums, self._squares = np.zeros((2, d)), np.zeros(d)

    def add(self, block: Float64[Array, "rows d"], dual: Float64[Array, "rows"]) -> bool:
        """Count in a block, which is centred in place, and say whether all of it is finite."""
        block -= self.centre
        squares = np.einsum("ij,ij->j", block, block)
        self._squares += squares
        self._sums += np.stack([np.ones(len(block)), dual]) @ block
        self._count += len(block)
        self._weight += float(dual.sum())
        return bool(np.isfinite(squares.sum()))

    def moments(self) -> Moments:
        """Of all rows that were added."""
        shift = self._sums[0] / self._count
        return Moments(
            self._count,
            self.centre + shift,
            np.maximum(self._squares - self._count * shift**2, 0.0),
            self._weight,
            self._sums[1] - self._weight * shift,
            self._squares > 0.0,
        )
