"""The r-support norm and its proximal operator, batched over tree nodes.

    (||beta||_r^sp)^2 = min { sum_j beta_j^2 / z_j : 0 <= z <= 1, sum_j z_j <= r }

Source: Argyriou, Foygel, Srebro 2012, "Sparse prediction with the k-support norm".
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Float64, Int

Array = np.ndarray


def support_norm_prox(
    c: Float[Array, "batch p"],
    free: Bool[Array, "batch p"],
    remaining: Int[Array, "batch"],
    rho: float,
) -> tuple[Float[Array, "batch p"], Float64[Array, "batch p"]]:
    """Prox of (rho/2)(r-support norm)^2 on the free entries of each row: (beta, z).

    beta_j = c_j z_j / (z_j + rho), z_j = clip(|c_j| theta - rho, 0, 1), theta such that sum z = r.
    theta is found exactly: sum z is piecewise linear in theta, its breakpoints are sorted.
    Entries that are not free come back as 0.
    """
    size = np.where(free, np.abs(c), 0.0).astype(np.float64)
    batch = len(size)
    with np.errstate(divide="ignore"):
        inverse = 1.0 / size
    knots = np.concatenate([rho * inverse, (1.0 + rho) * inverse], axis=1)
    slopes = np.concatenate([size, -size], axis=1)
    row = np.arange(batch)
    order = row[:, None], np.argsort(knots, axis=1)
    knots, slopes = knots[order], np.cumsum(slopes[order], axis=1)
    finite = np.isfinite(knots)
    ends = np.where(finite, knots, 0.0)
    rise = np.where(finite[:, 1:], slopes[:, :-1] * (ends[:, 1:] - ends[:, :-1]), 0.0)
    total = np.concatenate([np.zeros((batch, 1)), np.cumsum(rise, axis=1)], axis=1)
    # First breakpoint at which sum z reaches r; theta lies on the segment before it.
    after = np.argmax((total >= remaining[:, None] - 1e-12) & finite, axis=1)
    before = np.maximum(after - 1, 0)
    slope = np.maximum(slopes[row, before], 1e-300)
    theta = ends[row, before] + (remaining - total[row, before]) / slope
    reached = total.max(axis=1) >= remaining - 1e-12
    theta = np.where(reached & (after > 0), theta, np.inf)
    theta = np.where(remaining > 0, theta, 0.0)
    with np.errstate(invalid="ignore"):
        z = np.minimum(np.maximum(size * theta[:, None] - rho, 0.0), 1.0)
    z = np.where(size > 0.0, z, 0.0)
    return np.where(z > 0.0, c * z / (z + rho), 0.0), z


def support_norm_squared(
    beta: Float64[Array, "batch p"],
    free: Bool[Array, "batch p"],
    remaining: Int[Array, "batch"],
) -> tuple[Float64[Array, "batch"], Int[Array, "batch"]]:
    """min { sum beta_j^2 / z_j : 0 <= z <= 1, sum z <= r } on the free entries, and q.

    The minimiser saturates the q largest entries and shares the rest: with t the sum of the
    others, z_j = |beta_j| (r - q) / t, where q is the smallest count that keeps every z_j <= 1.
    """
    size = np.sort(np.where(free, np.abs(beta), 0.0), axis=1)[:, ::-1]
    tails = np.cumsum(size[:, ::-1], axis=1)[:, ::-1]
    squares = np.cumsum(size * size, axis=1)
    left = remaining[:, None] - np.arange(size.shape[1])
    fits = (size * left <= tails) & (left > 0)
    q = np.argmax(fits, axis=1)
    row = np.arange(len(size))
    saturated = np.where(q > 0, squares[row, q - 1], 0.0)
    shared = tails[row, q] ** 2 / np.maximum(left[row, q], 1)
    # Fewer free columns than r: every z is 1.
    whole = np.where(remaining > 0, squares[:, -1], 0.0)
    found = fits.any(axis=1)
    return np.where(found, saturated + shared, whole), np.where(found, q, size.shape[1])
