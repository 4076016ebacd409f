"""One second-order expansion of the loss from which many supports take their first Newton step.

Around any theta_0 with margins m_0, and g, H the gradient and the Hessian there of the loss,

    loss(theta) ~ const + (g - H theta_0) . theta + theta' H theta / 2,   H theta_0 = X (w l'' m_0)

which is all about theta_0: it may use columns that a support does not have. Both terms of every
support are blocks of one vector and one Gram matrix, so that no support touches the rows
before its second iterate.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int

from optprobe.engine.filter import gram
from optprobe.matrix.resident import Block, Resident
from optprobe.rows import Rows
from optprobe.support import fit_supports

Array = np.ndarray


class Expansion(NamedTuple):
    """g - H theta_0 and H over signed columns and the intercept's (without the ridge)."""

    linear: Float64[Array, "q"]
    hessian: Float64[Array, "q q"]


def expansion(block: Block, margin: Float64[Array, "n"], rows: Rows) -> Expansion:
    """The expansion at the point with these margins.

    Args:
        block: signed columns, the intercept's last (see `support.signed`).
        margin: y (x . beta + b).
        rows: labels, weights, a smooth loss and ridge.
    """
    terms = rows.loss.terms(margin)
    bend = terms.curvature * rows.w
    linear = -(block @ (terms.dual * rows.w + bend * margin))
    if isinstance(block, Resident):
        return Expansion(linear, block.weighted(bend, block).cpu().numpy())
    return Expansion(linear, gram(block * np.sqrt(bend)))


def fitted_margin(block: Block, forced: Int[Array, "s"], rows: Rows) -> Float64[Array, "n"]:
    """y (x . beta + b) of the fit on columns at these positions of `block`."""
    own = np.asarray(block[np.append(forced, len(block) - 1)])
    fit = fit_supports(own, np.arange(len(forced))[None], rows)
    return fit.beta[0] @ own[:-1] + fit.intercept[0] * own[-1]


def newton_start(at: Expansion, supports: Int[Array, "m k"], lam: float) -> Float64[Array, "m k1"]:
    """The least point of the expansion and the ridge on every support; the intercept last.

    Args:
        at: the expansion.
        supports: positions in its block.
        lam: ridge.
    """
    m, k = supports.shape
    full = np.concatenate([supports, np.full((m, 1), len(at.linear) - 1)], axis=1)
    ridge = np.append(np.full(k, lam), 0.0)
    local = at.hessian[full[:, :, None], full[:, None, :]]
    local[:, np.arange(k + 1), np.arange(k + 1)] += ridge + 1e-12
    return -np.linalg.solve(local, at.linear[full][:, :, None])[:, :, 0]
