"""What one Newton step promises for columns that enter a fitted support.

At the fit of S, with a = -l'(m), D = diag(w l''(m)), B = [1, Z_S] and A = Z' D Z - Z' D B
(B' D B + lam I_S)^-1 B' D Z, the Schur complement over the columns outside S:

    one column    gain_j = v_j^2 / (2 a_j),    v = Z' (w a y),    a_j = A_jj + lam
    two columns   gain_jl = (v_j^2 a_l - 2 v_j v_l A_jl + v_l^2 a_j) / (2 (a_j a_l - A_jl^2))

Exact for the squared loss, otherwise a prediction that ranks
columns far better than the bound v_j^2 / (2 lam) of `bounds.py`, which forgets that a column costs
curvature and that S may already say what it says. The hinge takes the curvature of its smoothing.

Source: orthogonal matching pursuit's selection rule carried over to a second-order model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int

from optprobe.matrix import DesignMatrix
from optprobe.support import Fits, Rows

Array = np.ndarray

HINGE_MU = 0.1
"""Smoothing that lends the hinge its curvature."""

TINY = 1e-12
"""Added to curvatures, so that a column inside the span of S has no gain instead of NaN."""


@dataclass(frozen=True)
class Additions:
    """The model at a batch of fits.

    Attributes:
        v: Z' (w a y), the slope of every column.
        curvature: A_jj of every column.
        gain: predicted decrease by every column; 0 for those of S.
        weights: w l''(m) per row.
        half: L^-1 B' D Z with L L' = B' D B + lam I_S, so that A = Z' D Z - half' half.
    """

    v: Float64[Array, "batch d"]
    curvature: Float64[Array, "batch d"]
    gain: Float64[Array, "batch d"]
    weights: Float64[Array, "batch n"]
    half: Float64[Array, "batch s1 d"]


def additions(
    matrix: DesignMatrix, rows: Rows, supports: Int[Array, "batch s"], fits: Fits
) -> Additions:
    """The model of one more column at every fit: one pass over Z for the whole batch."""
    batch, size = supports.shape
    used, inside = np.unique(supports, return_inverse=True)
    inside = inside.reshape(supports.shape)
    block = np.concatenate([matrix.columns(used), np.ones((1, len(rows.y)))])
    full = np.concatenate([inside, np.full((batch, 1), len(used))], axis=1)
    gathered = block[full]  # batch x (s + 1) x n
    theta = np.concatenate([fits.beta, fits.intercept[:, None]], axis=1)
    score = np.matmul(theta[:, None, :], gathered)[:, 0]
    terms = rows.loss.smoothed(HINGE_MU).terms(score * rows.y)
    weights = terms.curvature * rows.w
    curved = gathered * weights[:, None, :]
    stacked = np.concatenate([(terms.dual * rows.w * rows.y)[:, None], curved], axis=1)
    n, d = matrix.shape
    products = matrix.correlations(stacked.reshape(-1, n)).reshape(batch, size + 2, d)
    v, cross = products[:, 0], products[:, 1:]
    hessian = np.matmul(curved, gathered.transpose(0, 2, 1))
    ridge = np.append(np.full(size, rows.lam), 0.0) + TINY
    hessian[:, np.arange(size + 1), np.arange(size + 1)] += ridge
    half = np.linalg.solve(np.linalg.cholesky(hessian), cross)
    curvature = np.maximum(matrix.squares(weights) - np.sum(half * half, axis=1), TINY)
    gain = v * v / (2.0 * (curvature + rows.lam))
    np.put_along_axis(gain, supports, 0.0, axis=1)
    return Additions(v, curvature, gain, weights, half)


def pair_gains(
    matrix: DesignMatrix, rows: Rows, model: Additions, at: int, columns: Int[Array, "q"]
) -> Float64[Array, "q q"]:
    """The model's gain of every two of some columns at one fit of the batch; 0 on the diagonal."""
    block = matrix.columns(columns)
    half = model.half[at][:, columns]
    joint = (block * model.weights[at]) @ block.T - half.T @ half
    v, own = model.v[at, columns], model.curvature[at, columns] + rows.lam
    determinant = np.maximum(own[:, None] * own - joint * joint, TINY)
    square = v * v
    numerator = square[:, None] * own + own[:, None] * square - 2.0 * np.outer(v, v) * joint
    gain = numerator / (2.0 * determinant)
    np.fill_diagonal(gain, 0.0)
    return gain
