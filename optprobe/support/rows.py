"""What a fit on fixed supports starts from and returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int

from optprobe.bounds import repair_intercept
from optprobe.rows import Rows

Array = np.ndarray

STORED_MU = 1e-8
"""Smallest smoothing, relative to the objective, at which a hinge fit is stored as (beta, b, mu).

Margins carry rounding errors of 1e-16, which a(m) magnifies by 1/(8 mu): with a smaller mu the
coefficients would not reproduce their dual value, and it costs only 2 mu.
"""


@dataclass(frozen=True)
class Fits:
    """Fits of a batch of supports of one size.

    Attributes:
        beta, intercept: coefficients whose dual point is the best, in the order of each support.
        solution: coefficients, intercept last, that attain `primal`.
        primal: the smallest objective seen, an upper bound on P(S).
        dual: value of the dual point a(m) at the coefficients, a lower bound on P(S) that the
            coefficients alone prove.
        mu: the smoothing whose dual point that is (0 for the smooth losses).
        lower: the best lower bound on P(S); above `dual` for the hinge, whose interior point
            holds more digits than its coefficients can.
        point: the dual point a of `lower`, repaired; kept by `fit_support` only.
    """

    beta: Float64[Array, "batch k"]
    intercept: Float64[Array, "batch"]
    solution: Float64[Array, "batch q"]
    primal: Float64[Array, "batch"]
    dual: Float64[Array, "batch"]
    mu: Float64[Array, "batch"]
    lower: Float64[Array, "batch"]
    point: Float64[Array, "batch n"] | None = None

    @property
    def gap(self) -> Float64[Array, "batch"]:
        """(primal - lower) / primal."""
        return (self.primal - self.lower) / np.maximum(np.abs(self.primal), 1e-300)

    def row(self, index: int) -> Fits:
        """One fit of the batch, as a batch of one (without its dual point)."""
        return self.take(slice(index, index + 1))

    def take(self, at: slice | Int[Array, "some"]) -> Fits:
        """Some fits of the batch, without their dual points."""
        return Fits(
            self.beta[at],
            self.intercept[at],
            self.solution[at],
            self.primal[at],
            self.dual[at],
            self.mu[at],
            self.lower[at],
        )


def signed(columns: Float64[Array, "p n"], rows: Rows) -> Float64[Array, "q n"]:
    """Columns times y, and y itself as the intercept's column, last."""
    out = np.empty((len(columns) + 1, len(rows.y)))
    np.multiply(columns, rows.y, out=out[:-1])
    out[-1] = rows.y
    return out


@dataclass(frozen=True)
class ChunkFits:
    """What both methods return for a chunk of supports; see `Fits`. `point` is not repaired."""

    theta: Array
    solution: Array
    primal: Array
    dual: Array
    mu: Array
    lower: Array
    point: Array


def dual_value(gathered: Array, dual: Array, rows: Rows) -> Array:
    """sum w H(a) - ||v_S||^2 / (2 lam) after the intercept repair of `bounds.py`."""
    repaired = repair_intercept(dual, rows.y, rows.w, rows.loss)
    v = row_dots(gathered, repaired * rows.w)[:, :-1]
    return rows.loss.conjugate(repaired) @ rows.w - np.sum(v * v, axis=1) / (2.0 * rows.lam)


def row_dots(
    gathered: Float64[Array, "batch k1 n"], weights: Float64[Array, "batch n"]
) -> Float64[Array, "batch k1"]:
    """Each support's columns times its own row weights (faster here than a batched matmul)."""
    return np.einsum("bkn,bn->bk", gathered, weights)
