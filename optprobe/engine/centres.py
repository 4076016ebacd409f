"""Centres of filtered nodes: the fit on the forced columns beside a fixed offset on the free ones.

    (beta_S, b) = argmin sum_i w_i l(y_i (o_i + z_iS . beta + b)) + (lam/2) ||beta||^2
    o = t Z_F beta_F,   0 <= t <= 1

beta_F is the node's perspective relaxation, which spreads over many more columns than a support
has; a part t of it stands for what an average support adds. The best t depends on the number of
columns to add and is chosen on a sample, once for each number.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int

from optprobe.engine.filter import Quadratic, costs, quadratic, subsets
from optprobe.rows import Rows

Array = np.ndarray

SHARES = (0.3, 0.15, 0.5, 0.0)
"""The t that are tried."""

SAMPLED = 24
"""Columns, those with the largest coefficient, whose subsets are the sample."""

STEPS = 20
"""Newton steps of a fit; what is left open costs the bound little and is accounted for."""


class Centre(NamedTuple):
    """Coefficients as a certificate stores them, and the quadratic that they give."""

    forced: Float64[Array, "s"]
    free: Float64[Array, "f"]
    intercept: float
    at: Quadratic


@dataclass
class Centres:
    """Makes centres; `share` holds the t chosen so far by number of columns to add."""

    rows: Rows
    share: dict[int, float] = field(default_factory=dict)

    def centre(
        self,
        forced: Float64[Array, "s n"],
        free: Float64[Array, "f n"],
        start: Float64[Array, "s1"],
        offset: Float64[Array, "f"],
        size: int,
        cutoff: float,
    ) -> Centre:
        """The centre for adding `size` of the free columns.

        Args:
            forced, free: columns of Z.
            start: coefficients and intercept of the relaxation on the forced columns.
            offset: its coefficients on the free columns.
            size: how many free columns a support takes.
            cutoff: what bounds should reach.
        """
        if size not in self.share:
            sample = np.argsort(-np.abs(offset), kind="stable")[:SAMPLED]
            left = []
            for share in SHARES:
                at = self.at_share(forced, free, start, offset, share, sample).at
                below = [
                    at.value - costs(at, T, self.rows.lam) < cutoff
                    for T in subsets(len(sample), size)
                ]
                left.append(sum(int(part.sum()) for part in below))
            self.share[size] = SHARES[int(np.argmin(left))]
        return self.at_share(forced, free, start, offset, self.share[size], np.arange(len(free)))

    def at_share(
        self,
        forced: Float64[Array, "s n"],
        free: Float64[Array, "f n"],
        start: Float64[Array, "s1"],
        offset: Float64[Array, "f"],
        share: float,
        used: Int[Array, "u"],
    ) -> Centre:
        """The centre of one t, with the quadratic of some of the free columns."""
        rows = self.rows
        offset = (share * offset).astype(np.float32).astype(np.float64)
        fixed = offset @ free
        theta = refit(forced, fixed, start, rows)
        beta = theta[:-1].astype(np.float32).astype(np.float64)
        margin = rows.y * (fixed + beta @ forced + theta[-1])
        return Centre(beta, offset, float(theta[-1]), quadratic(forced, free[used], margin, rows))


def refit(
    forced: Float64[Array, "s n"],
    fixed: Float64[Array, "n"],
    start: Float64[Array, "s1"],
    rows: Rows,
) -> Float64[Array, "s1"]:
    """Newton with halved steps from `start`; the intercept last."""
    block = np.concatenate([forced, np.ones((1, len(fixed)))]) * rows.y
    fixed = fixed * rows.y
    ridge = np.append(np.full(len(forced), rows.lam), 0.0)
    theta, base, best, step = start, start, np.inf, np.zeros_like(start)
    for _ in range(STEPS):
        terms = rows.loss.terms(fixed + theta @ block)
        value = float(terms.value @ rows.w + 0.5 * (ridge * theta) @ theta)
        if value > best:
            step = 0.5 * step
        else:
            base, best = theta, value
            gradient = ridge * theta - block @ (terms.dual * rows.w)
            hessian = (block * (terms.curvature * rows.w)) @ block.T
            step = -np.linalg.solve(hessian + np.diag(ridge + 1e-12), gradient)
            if -gradient @ step <= 1e-14 * abs(value):
                break
        theta = base + step
    return base
