"""Cuts from dual points, and the points themselves for whoever wants to check them.

At a support S, or at any s in [0,1]^p, the strongest cut comes from the dual solution of

    min over gamma, b of  sum_i w_i l(y_i (sum_j sqrt(s_j) z_ij gamma_j + b)) + (lam/2) ||gamma||^2

at beta_j = sqrt(s_j) gamma_j: t >= sum w H(a) - sum_j s_j g_j, tight at s   [BPV21, (7)]. With
t >= floor known for every support, a gain above value - floor may be lowered to it: a support that
holds the column makes the cut vacuous, and every other one is none the wiser.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int

from optprobe.bounds import DualPoint, dual_points
from optprobe.matrix import DesignMatrix
from optprobe.mip.backends.base import Cut
from optprobe.support import Rows, fit_support

Array = np.ndarray

NEGLIGIBLE = 1e-7
"""Entries of a fractional s below this take no part in its fit (the cut stays valid)."""


@dataclass(frozen=True)
class SupportFit:
    """A support with its coefficients, its objective f(beta, b) and its cut."""

    point: DualPoint
    objective: float
    cut: Cut


class CutPool:
    """Every dual point that became a cut, in the columns of one matrix.

    Attributes:
        cuts: the cuts, untightened; points: their dual points, in the same order.
    """

    def __init__(self, matrix: DesignMatrix, rows: Rows) -> None:
        self.matrix, self.rows = matrix, rows
        self.cuts: list[Cut] = []
        self.points: list[DualPoint] = []
        self._fits: dict[bytes, SupportFit] = {}

    def add(self, point: DualPoint) -> Cut:
        """Evaluate a dual point over every column and keep it."""
        cut, _ = self._evaluate(point)
        return self.keep(point, cut)

    def at_support(self, support: Int[Array, "s"]) -> SupportFit:
        """Fit a support once; later calls return the same fit."""
        support = np.sort(support).astype(np.int64)
        known = self._fits.get(support.tobytes())
        if known is not None:
            return known
        fit = fit_support(self.matrix.columns(support), self.rows)
        point = DualPoint(support, fit.beta[0], float(fit.intercept[0]), float(fit.mu[0]))
        cut, objective = self._evaluate(point)
        self.keep(point, cut)
        found = SupportFit(point, objective, cut)
        self._fits[support.tobytes()] = found
        return found

    def at_fraction(self, s: Float64[Array, "p"]) -> Cut:
        """The cut that is tight at s."""
        used = np.flatnonzero(s > NEGLIGIBLE)
        root = np.sqrt(s[used])
        fit = fit_support(self.matrix.columns(used) * root[:, None], self.rows)
        return self.add(
            DualPoint(used, root * fit.beta[0], float(fit.intercept[0]), float(fit.mu[0]))
        )

    def keep(self, point: DualPoint, cut: Cut) -> Cut:
        """Keep a cut that has been evaluated elsewhere."""
        self.points.append(point)
        self.cuts.append(cut)
        return cut

    def _evaluate(self, point: DualPoint) -> tuple[Cut, float]:
        """The cut at a point, and f(beta, b) there."""
        rows = self.rows
        scores = self.matrix.scores(point.columns, point.beta[None])[0]
        margin = rows.y * (scores + point.intercept)
        smooth = rows.loss.smoothed(point.mu) if point.mu > 0.0 else rows.loss
        dual = smooth.dual(margin)
        bound = dual_points(self.matrix, dual[None], rows.y, rows.w, rows.loss, rows.lam)
        objective = rows.loss.value(margin) @ rows.w + 0.5 * rows.lam * (point.beta @ point.beta)
        return Cut(float(bound.value[0]), bound.gain[0]), float(objective)


def scaled(
    cut: Cut,
    floor: float,
    scale: float,
    forced: Int[Array, "f"],
    free: Int[Array, "p"],
    *,
    tighten: bool,
) -> Cut:
    """The cut over the free columns, for (t - floor) / scale; gains lowered if wanted."""
    value = (cut.value - float(cut.gain[forced].sum()) - floor) / scale
    gain = cut.gain[free] / scale
    return Cut(value, np.minimum(gain, max(value, 0.0)) if tighten else gain)
