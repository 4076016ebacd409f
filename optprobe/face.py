"""Newton's method on a face of the r-support norm.

Where an iterate of the perspective relaxation lies on the face that its solution lies on, the
penalty is the quadratic

    (lam/2) (||beta_P||^2 + (s_Q . beta_Q)^2 / (r - q))

P the forced and the q saturated columns, Q the other nonzero ones with signs s_Q: Newton on it
converges fast. Elsewhere the majoriser (lam/2) sum beta_j^2 / z_j at the current z, with z_j =
|beta_j| (r - q) / sum |beta_Q|, does not leave the face.

Source: Argyriou, Foygel, Srebro 2012, for the norm.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int

from optprobe.losses import Loss
from optprobe.rows import Rows

Array = np.ndarray


@dataclass(frozen=True)
class Face:
    """Columns in use at an iterate, and the quadratic that the penalty is on them.

    Attributes:
        active: positions in the working set.
        block: their signed columns, the intercept's last.
        point: their coefficients, the intercept last.
        signs: of the columns that share what the saturated ones leave, else 0.
        ridge: lam for the forced and the saturated columns, else 0.
        room: r - q, at least 1.
    """

    active: Int[Array, "a"]
    block: Float64[Array, "q n"]
    point: Float64[Array, "q"]
    signs: Float64[Array, "q"]
    ridge: Float64[Array, "q"]
    room: int


class Taken(NamedTuple):
    """Where a step led, and which part of it was taken."""

    point: Float64[Array, "q"]
    length: float


def newton_step(
    face: Face, smooth: Loss, rows: Rows, penalty: Callable[[Float64[Array, "q"]], float]
) -> Taken | None:
    """The first step that lowers the relaxed objective: Newton's, then the majoriser's, shortened.

    Args:
        face: of the iterate.
        smooth: the loss, smoothed where it is the hinge.
        rows: labels, weights and ridge.
        penalty: the norm's part of the objective at coefficients of the face.

    Returns:
        None if none does.
    """
    lam, w = rows.lam, rows.w
    margin = face.point @ face.block
    terms = smooth.terms(margin)
    linear = lam / face.room * (face.signs @ face.point)
    gradient = face.ridge * face.point + linear * face.signs - face.block @ (terms.dual * w)
    single = face.block.astype(np.float32)
    data = ((single * (terms.curvature * w).astype(np.float32)) @ single.T).astype(np.float64)
    data[np.diag_indices_from(data)] += face.ridge + 1e-7 * lam
    before = float(terms.value @ w) + penalty(face.point)
    at = np.flatnonzero(face.signs)
    for exact, lengths in ((True, (1.0, 0.5)), (False, (1.0, 0.5, 0.2, 0.05))):
        hessian = data.copy()
        if exact:
            hessian += lam / face.room * np.outer(face.signs, face.signs)
        else:
            hessian[at, at] += linear / np.abs(face.point[at])
        step = -np.linalg.solve(hessian, gradient)
        along = step @ face.block
        for length in lengths:
            trial = face.point + length * step
            if float(smooth.value(margin + length * along) @ w) + penalty(trial) < before:
                return Taken(trial, length)
    return None
