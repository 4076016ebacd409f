"""The fit on a fixed support, one or thousands of supports of the same size at a time.

    P(S) = min over beta in R^S, b of  sum_i w_i l(y_i (z_iS . beta + b)) + (lam/2) ||beta||^2

As soon as the dual value of an iterate passes a cutoff the support is pruned, and its coefficients
are the proof.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int

from optprobe.bounds import repair_intercept
from optprobe.losses import Hinge
from optprobe.support.newton import newton
from optprobe.support.rows import ChunkFits, Fits, Rows, signed
from optprobe.threads import in_threads

Array = np.ndarray

CHUNK, HINGE_CHUNK = 2**15, 2**12
"""Supports x rows handled at once, so that a batch of margins stays in the cache; the hinge's go
one by one."""


def fit_supports(
    block: Float64[Array, "q n"],
    supports: Int[Array, "batch k"],
    rows: Rows,
    *,
    start: Float64[Array, "batch k+1"] | None = None,
    cutoff: float = np.inf,
    accuracy: float = 0.0,
) -> Fits:
    """Fit every support, giving up on those whose dual value passes the cutoff.

    Args:
        block: `signed` columns, the intercept's column last.
        supports: rows of `block`, k per support.
        rows: labels, weights, loss and ridge.
        start: first coefficients and intercept (k + 1 per support), default 0.
        cutoff: prune a support once its dual value exceeds this.
        accuracy: relative gap at which a fit may end; as small as rounding allows by default.
    """
    batch, k = supports.shape
    full = np.concatenate([supports, np.full((batch, 1), len(block) - 1)], axis=1)
    theta = np.zeros((batch, k + 1)) if start is None else start.copy()
    solution = np.empty_like(theta)
    primal, dual, mu, lower = (np.empty(batch) for _ in range(4))
    numbers = HINGE_CHUNK if isinstance(rows.loss, Hinge) else CHUNK
    step = max(1, numbers // block.shape[1])
    parts = [slice(first, first + step) for first in range(0, batch, step)]

    def fit_part(part: slice) -> ChunkFits:
        return _fit_chunk(block, full[part], rows, theta[part], cutoff, accuracy)

    for part, chunk in zip(parts, in_threads(fit_part, parts), strict=True):
        theta[part], solution[part] = chunk.theta, chunk.solution
        primal[part], dual[part] = chunk.primal, chunk.dual
        mu[part], lower[part] = chunk.mu, chunk.lower
    return Fits(theta[:, :k], theta[:, k], solution, primal, dual, mu, lower)


def fit_support(
    columns: Float64[Array, "k n"], rows: Rows, start: Float64[Array, "k+1"] | None = None
) -> Fits:
    """Fit one support to full accuracy, with its dual point; a batch of one."""
    size = len(columns)
    full = np.arange(size + 1)[None]
    theta = np.zeros((1, size + 1)) if start is None else start[None]
    chunk = _fit_chunk(signed(columns, rows), full, rows, theta, np.inf, 0.0)
    theta = chunk.theta
    return Fits(
        theta[:, :size],
        theta[:, size],
        chunk.solution,
        chunk.primal,
        chunk.dual,
        chunk.mu,
        chunk.lower,
        repair_intercept(chunk.point, rows.y, rows.w, rows.loss),
    )


def _fit_chunk(
    block: Array, full: Array, rows: Rows, start: Array, cutoff: float, accuracy: float
) -> ChunkFits:
    """The method that the loss calls for."""
    if isinstance(rows.loss, Hinge):
        from optprobe.support.interior_point import (
            interior_point,
        )  # compiled loops take time to load

        return interior_point(block, full, rows, start, cutoff, accuracy)
    return newton(block, full, rows, start, cutoff, accuracy)
