"""The centres of a filtered node, recomputed from the data.

    P(U) >= D0 - ||v_T - M_TT d||^2 / (2 lam) - d' K_TT d / 2 - h_T' d      for every U in S + T

The formulas are in `certificate`, their proof in `engine/filter.py`, what rounding and residuals
may cost in sections 6 to 10 of `rounding`: one number for all the supports of a node.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from optprobe.checker.centre import Centre
from optprobe.checker.columns import Columns
from optprobe.checker.duals import Rows, box_point, duals
from optprobe.checker.parabola import Parabola, parabola
from optprobe.checker.products import gram, product
from optprobe.checker.rounding import TINY, UP, U, gamma

if TYPE_CHECKING:
    from jaxtyping import Float64, Int

Array = np.ndarray

DEAD = 1e-3
"""A direction shorter than this times kappa is taken for zero."""

FLAT = 1e-12
"""So is one with M_jj less than this times kappa^2 sum w omega: its sign would be rounding's."""

LEAST_RHO = 2.0**-80
"""The residual of the intercept condition is taken to be at least this."""


class Centres:
    """The centres of a certificate, evaluated when the walk asks for them.

    Args:
        columns, rows: the data.
        arrays: of the certificate.
        local: position in the scope of each column.
    """

    def __init__(
        self, columns: Columns, rows: Rows, arrays: dict[str, Array], local: Int[Array, "d"]
    ) -> None:
        self._columns, self._rows, self._arrays, self._local = columns, rows, arrays, local

    def forced(self, number: int) -> Int[Array, "s"]:
        """Positions of the columns that the supports of this centre share."""
        first, last = self._arrays["centre_start"][number : number + 2]
        return self._local[self._arrays["centre_forced"][first:last]]

    def at(self, number: int, free: Int[Array, "f"], r: int) -> Centre:
        """The centre for supports with at most r of the free columns."""
        columns, rows, forced = self._columns, self._rows, self.forced(number)
        clip = float(self._arrays["centre_clip"][number])
        reach = float(self._arrays["centre_reach"][number])
        a = self._dual(int(self._arrays["centre_point"][number]))
        point = duals(rows, a)
        a, u = a[0], point.u[0]
        moves = parabola(rows, a, reach)
        weight, root = rows.w * moves.omega, np.sqrt(rows.w * moves.bend)
        steep = weight * moves.slope
        steep[rows.positives :] *= -1.0
        both = np.concatenate([forced, free])
        s = len(forced)
        one = 1 + s
        inner, cross = np.zeros((one, one)), np.zeros((one, len(free)))
        for part, block in columns.blocks(both):
            plain = np.concatenate([np.ones((1, block.shape[1])), block[:s]]) * weight[part]
            clipped = np.clip(block, -clip, clip)
            inner += plain @ np.concatenate([np.ones((1, block.shape[1])), clipped[:s]]).T
            cross += plain @ clipped[s:].T
        if not (np.isfinite(inner).all() and np.isfinite(cross).all()):
            inner, cross = np.zeros((one, one)), np.zeros((one, len(free)))
        C = np.linalg.lstsq(inner, cross)[0]
        against = np.zeros((1 + len(both), len(free)))  # [1, X_S, X_F]' Omega G
        K, h, v = np.zeros((len(free), len(free))), np.zeros(len(free)), np.zeros(len(both))
        length = np.zeros(len(free))
        for part, block in columns.blocks(both):
            clipped = np.clip(block, -clip, clip)
            G = clipped[s:] - C[1:].T @ clipped[:s] - C[0][:, None]
            scaled = G * weight[part]
            against[0] += scaled.sum(axis=1)
            against[1:] += product(block, scaled)
            scaled = G * root[part]
            K += gram(scaled)
            h += G @ steep[part]
            v += block @ u[part]
            length = np.maximum(length, np.abs(G).max(axis=1))
        dead = length < DEAD * clip
        dead |= ~(np.diag(against[one:]) > FLAT * clip * clip * float(weight.sum()))
        against[:, dead], K[:, dead], K[dead], h[dead], length[dead] = 0.0, 0.0, 0.0, 0.0, 0.0
        residual = np.where(dead, 0.0, np.abs(against[:one]) / np.where(dead, 1.0, length))
        floor = _floor(
            float(point.value[0]),
            np.abs(v),
            columns.norm[both],
            columns.peak[both],
            residual.max(axis=1, initial=0.0),
            Sizes(float(point.rho[0]), u, weight, moves, rows, reach),
            r,
        )
        return Centre(floor, v[s:], against[one:], K, h, length, reach, rows.lam)

    def _dual(self, point: int) -> Float64[Array, "1 n"]:
        """The dual point of that number, a member of the box."""
        arrays = self._arrays
        part = slice(*arrays["point_start"][point : point + 2])
        used = self._local[arrays["point_column"][part]]
        beta = arrays["point_beta"][part].astype(np.float64)
        scores = self._columns.scores(used, beta[None]) + arrays["point_intercept"][point]
        return box_point(self._rows, scores, np.zeros(1))


@dataclass(frozen=True)
class Sizes:
    """What the allowances of a centre are made of; see section 6 to 10 of `rounding`."""

    rho: float
    u: Float64[Array, "n"]
    weight: Float64[Array, "n"]
    moves: Parabola
    rows: Rows
    reach: float

    @property
    def fall(self) -> float:
        """sum w H(a) falls by at most this times rho when the intercept condition is repaired."""
        rows = self.rows
        if rows.loss == "squared_error":
            mean = float(rows.w @ np.abs(rows.y)) / float(rows.w.sum())
            return mean * (1.0 + gamma(2 * rows.n + 16))
        return 64.0 if rows.loss == "logistic" else 1.0


def _floor(
    value: float,
    v: Float64[Array, "q"],
    norm: Float64[Array, "q"],
    peak: Float64[Array, "q"],
    residual: Float64[Array, "s1"],
    sizes: Sizes,
    r: int,
) -> float:
    """D0 less the allowance, rounded down; q columns, the forced ones first.

    Args:
        value: at most sum w H(a).
        v: |X_j' (w a y)| as computed.
        norm, peak: at least ||x_j||_2 and max_i |x_ij|.
        residual: max_k |(1' Omega G)_k| / L_k, then the same for every forced column.
        sizes: of the dual point.
        r: free columns in a support.
    """
    n, e, lam = len(sizes.u), sizes.reach, sizes.rows.lam
    short, s = gamma(n + 64), len(residual) - 1
    pull = (math.sqrt(sizes.u @ sizes.u) + n * TINY) * (1.0 + short)
    push = e * (math.sqrt(sizes.weight @ sizes.weight) + n * TINY) * (1.0 + short)
    mass = float(sizes.rows.w @ sizes.moves.size) * (1.0 + short)
    moved = float(sizes.weight.sum()) * (1.0 + short)
    rho = max(sizes.rho + e * (residual[0] + short * moved), LEAST_RHO) * UP
    error = short * norm * (pull + push) + rho * peak + n * TINY * (1.0 + peak)
    forced = (v[:s] + error[:s] + e * residual[1:]) * UP
    gain = float((forced * forced).sum()) / (2.0 * lam) * (1.0 + gamma(s + 16))
    size = norm[s:] * (pull + push) * UP
    extra = error[s:] * (2.0 * size + error[s:]) + gamma(64) * size * size
    allowance = r * float(extra.max(initial=0.0)) / (2.0 * lam)
    allowance += (short + gamma(64)) * (e * e * moved + e * mass) + sizes.fall * rho + n * TINY
    total = (gain + allowance) * UP
    return value - total - 8.0 * U * (abs(value) + total)
