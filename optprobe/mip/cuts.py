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

from optprobe.bounds import DualPoint, dual_points, repair_intercept
from optprobe.matrix import DesignMatrix
from optprobe.mip.backends.base import Cut
from optprobe.mip.fraction import fit_fraction
from optprobe.support import Fits, Rows, fit_support

Array = np.ndarray

NEGLIGIBLE = 1e-7
"""Entries of a fractional s below this take no part in its fit (the cut stays valid)."""


@dataclass(frozen=True)
class SupportFit:
    """A support with its solution, its objective f(beta, b) and its cut.

    The cut is tight at the support; `point` may prove a little less (see `support.Fits`).
    """

    support: Int[Array, "s"]
    beta: Float64[Array, "s"]
    intercept: float
    objective: float
    cut: Cut
    point: DualPoint


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
        self._v, self._intercept = np.zeros(matrix.shape[1]), 0.0  # of the last fraction

    def at_support(self, support: Int[Array, "s"]) -> SupportFit:
        """Fit a support once; later calls return the same fit."""
        support = np.sort(support).astype(np.int64)
        known = self._fits.get(support.tobytes())
        if known is not None:
            return known
        columns, rows = self.matrix.columns(support), self.rows
        fit = fit_support(columns, rows)
        beta, intercept = fit.solution[0, :-1], float(fit.solution[0, -1])
        value = rows.loss.value(rows.y * (beta @ columns + intercept)) @ rows.w
        found = SupportFit(
            support=support,
            beta=beta,
            intercept=intercept,
            objective=float(value + 0.5 * rows.lam * (beta @ beta)),
            cut=self._cut(fit),
            point=DualPoint(support, fit.beta[0], float(fit.intercept[0]), float(fit.mu[0])),
        )
        self.keep(found.point, found.cut)
        self._fits[support.tobytes()] = found
        return found

    def at_fraction(self, s: Float64[Array, "p"]) -> Cut:
        """The cut at s, tight there up to `fraction.ACCURACY` (2 `LAST_MU` for the hinge).

        The fit starts from beta_j = s_j v_j / lam with the v of the fractional point before.
        """
        rows, used = self.rows, np.flatnonzero(s > NEGLIGIBLE)
        start = np.append(s[used] * self._v[used] / rows.lam, self._intercept)
        fit = fit_fraction(self.matrix.columns(used), s[used], rows, start)
        dual = repair_intercept(fit.dual[None], rows.y, rows.w, rows.loss)
        self._v = self.matrix.correlations(dual * (rows.w * rows.y))[0]
        self._intercept = fit.intercept
        value = float((rows.loss.conjugate(dual) @ rows.w)[0])
        point = DualPoint(used, fit.beta, fit.intercept, fit.mu)
        return self.keep(point, Cut(value, self._v * self._v / (2.0 * rows.lam)))

    def keep(self, point: DualPoint, cut: Cut) -> Cut:
        """Keep a cut that has been evaluated elsewhere."""
        self.points.append(point)
        self.cuts.append(cut)
        return cut

    def _cut(self, fit: Fits) -> Cut:
        """The cut of a fit's dual point."""
        rows = self.rows
        assert fit.point is not None
        bound = dual_points(self.matrix, fit.point, rows.y, rows.w, rows.loss, rows.lam)
        return Cut(float(bound.value[0]), bound.gain[0])


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
