"""The fit at a fractional point, to the accuracy that a cut is worth.

    min over beta, b of  sum_i w_i l(y_i (z_i . beta + b)) + (lam/2) sum_j beta_j^2 / s_j

over the columns with s_j > 0. At any coefficients, a = a(margins) misses the best cut by about
||lam beta/s - v||^2_s / (2 lam) plus what the intercept is out of balance, so damped Newton may
stop early; the hinge is followed along its central path (`BarrierHinge`) only as far as pays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from optprobe.losses import Terms
from optprobe.rows import Rows

Array = np.ndarray

ACCURACY = 1e-4
"""Relative distance to the best cut at which a fit ends."""

FIRST_MU, LAST_MU, SHRINK = 1e-2, 3e-4, 0.2
"""Smoothing of the hinge: of the first iterate, of the last (relative to the objective, and it
costs the cut 2 mu), and from one to the next."""

STEPS = 60
"""Newton steps before the fit is taken as it is: any coefficients give a valid cut."""

FLAT = 1e-4
"""Rows with less than this share of the largest curvature are left out of the Hessian."""


@dataclass(frozen=True)
class FractionFit:
    """Coefficients, intercept, smoothing (0 for the smooth losses) and their a (not repaired)."""

    beta: Float64[Array, "q"]
    intercept: float
    mu: float
    dual: Float64[Array, "n"]


def fit_fraction(
    columns: Float64[Array, "q n"],
    s: Float64[Array, "q"],
    rows: Rows,
    start: Float64[Array, "q+1"],
) -> FractionFit:
    """Fit the columns with ridge lam / s_j, from first coefficients (the intercept last)."""
    iterate = _Iterate(columns, s, rows, start)
    for _ in range(STEPS):
        if iterate.finished() or not iterate.step():
            break
    beta, intercept = iterate.theta[:-1], float(iterate.theta[-1])
    return FractionFit(beta, intercept, iterate.mu, iterate.terms.dual)


class _Iterate:
    """Coefficients with the loss's terms at their margins."""

    def __init__(self, columns: Array, s: Array, rows: Rows, start: Array) -> None:
        self.rows, self.theta = rows, start
        self.block = np.concatenate([columns * rows.y, rows.y[None]])
        self.single = self.block.astype(np.float32)
        self.ridge = np.append(rows.lam / s, 0.0)
        self.margin = start @ self.block
        self._smooth(0.0 if np.isfinite(rows.loss.lipschitz) else FIRST_MU)

    def _take(self, theta: Array, margin: Array, terms: Terms, value: float) -> None:
        """Move to a point whose terms and value are known; its gradient follows."""
        self.theta, self.margin, self.terms, self.value = theta, margin, terms, value
        self.gradient = self.ridge * theta - self.block @ (self.rows.w * terms.dual)

    def _value(self, loss: Array, theta: Array) -> float:
        return float(loss @ self.rows.w + 0.5 * self.ridge @ (theta * theta))

    def _smooth(self, mu: float) -> None:
        """Look at the same point with another smoothing."""
        self.mu, self.loss = mu, self.rows.loss.smoothed(mu)
        terms = self.loss.terms(self.margin)
        self._take(self.theta, self.margin, terms, self._value(terms.value, self.theta))

    def finished(self) -> bool:
        """Whether the cut is good enough; on the way there the smoothing shrinks."""
        slope = self.gradient[:-1]
        excess = 0.5 * float(np.sum(slope * slope / self.ridge[:-1])) + abs(
            float(self.gradient[-1])
        )
        if not self.mu:
            return excess <= ACCURACY * self.value
        least = LAST_MU * self._value(self.rows.loss.value(self.margin), self.theta)
        if self.mu <= least:
            return excess <= 0.3 * self.mu
        if excess <= self.mu:
            self._smooth(max(SHRINK * self.mu, 0.99 * least))
        return False

    def step(self) -> bool:
        """One damped Newton step; False if it is too short to matter."""
        weight = self.rows.w * self.terms.curvature
        curved = np.flatnonzero(weight > FLAT * weight.max())
        single = self.single if 2 * len(curved) > len(weight) else self.single[:, curved]
        if single is not self.single:
            weight = weight[curved]
        hessian = ((single * weight.astype(np.float32)) @ single.T).astype(np.float64)
        hessian[np.diag_indices_from(hessian)] += self.ridge + 1e-9
        move = -np.linalg.solve(hessian, self.gradient)
        along, slope = move @ self.block, float(self.gradient @ move)
        length = 1.0
        while length > 1e-6:
            theta, margin = self.theta + length * move, self.margin + length * along
            terms = self.loss.terms(margin)
            value = self._value(terms.value, theta)
            if value <= self.value + 1e-4 * length * slope + 1e-14 * abs(self.value):
                self._take(theta, margin, terms, value)
                return True
            length *= 0.4
        return False
