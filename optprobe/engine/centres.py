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
from jaxtyping import Bool, Float64, Int

from optprobe.engine.expansion import expansion, newton_start
from optprobe.engine.filter import Quadratic, costs, quadratic, subsets
from optprobe.matrix.resident import Block, Resident
from optprobe.rows import Rows
from optprobe.support import signed

Array = np.ndarray

SHARES = (0.3, 0.15, 0.5, 0.0)
"""The t that are tried."""

SAMPLED = 24
"""Columns, those with the largest coefficient, whose subsets are the sample."""

FITTED = 100
"""Supports that are averaged."""

STEPS = 20
"""Newton steps of a fit; what is left open costs the bound little and is accounted for."""


class Centre(NamedTuple):
    """Coefficients as a certificate stores them, and the quadratic over some free columns.

    Attributes:
        forced, free, intercept: (beta_S, beta_F, b).
        used: the free columns of the quadratic `at`, increasing.
    """

    forced: Float64[Array, "s"]
    free: Float64[Array, "f"]
    intercept: float
    used: Int[Array, "u"]
    at: Quadratic

    def below(
        self, subsets: Int[Array, "size batch"], lam: float, cutoff: float
    ) -> Bool[Array, "batch"]:
        """Which subsets of the used columns keep a bound below the cutoff."""
        place = np.zeros(len(self.free), np.int64)
        place[self.used] = np.arange(len(self.used))
        return self.at.value - costs(self.at, place[subsets], lam) < cutoff


@dataclass
class Centres:
    """Makes centres; `share` holds the t chosen so far by number of columns to add."""

    rows: Rows
    share: dict[int, float] = field(default_factory=dict)

    def centre(
        self,
        forced: Float64[Array, "s n"],
        free: Block,
        start: Float64[Array, "s1"],
        offset: Float64[Array, "f"],
        size: int,
        cutoff: float,
    ) -> Centre:
        """The centre for adding `size` of the free columns.

        Args:
            forced, free: columns of Z; the free ones may be on a device.
            start: coefficients and intercept of the relaxation on the forced columns.
            offset: its coefficients on the free columns.
            size: how many free columns a support takes.
            cutoff: what bounds should reach.
        """
        if size not in self.share:
            sample = np.sort(np.argsort(-np.abs(offset), kind="stable")[:SAMPLED])
            left = []
            for share in SHARES:
                tried = self.at_share(forced, free, start, offset, share, sample)
                left.append(
                    sum(
                        int(tried.below(sample[T], self.rows.lam, cutoff).sum())
                        for T in subsets(len(sample), size)
                    )
                )
            self.share[size] = SHARES[int(np.argmin(left))]
        return self.at_share(forced, free, start, offset, self.share[size], np.arange(len(free)))

    def centre_of(
        self,
        forced: Float64[Array, "s n"],
        free: Block,
        left: Int[Array, "m r"],
    ) -> Centre:
        """The centre in the middle of the supports S + T, T in `left`.

        A sample of them, each after one Newton step from the fit on S.
        """
        sample = left[:: -(-len(left) // FITTED)]
        columns, inside = np.unique(sample, return_inverse=True)
        own, s = free[columns], len(forced)
        if isinstance(own, Resident):
            block = own.after(forced).signed(self.rows.y)
        else:
            block = signed(np.concatenate([forced, own]), self.rows)
        supports = np.tile(np.arange(s), (len(sample), 1))
        supports = np.concatenate([supports, s + inside.reshape(sample.shape)], axis=1)
        at = expansion(block, np.arange(s), self.rows)
        theta = newton_start(at, supports, self.rows.lam)
        mean = np.zeros(len(block) - 1)
        np.add.at(mean, supports, theta[:, :-1] / len(sample))
        offset = np.zeros(len(free))
        offset[columns] = mean[s:]
        start = np.append(mean[:s], theta[:, -1].mean())
        return self.at_share(forced, free, start, offset, 1.0, np.unique(left))

    def at_share(
        self,
        forced: Float64[Array, "s n"],
        free: Block,
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
        at = quadratic(forced, free[used], margin, rows)
        return Centre(beta, offset, float(theta[-1]), used, at)


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
