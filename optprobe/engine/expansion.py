"""One second-order expansion of the loss from which many supports take their first Newton step.

Gradient and Hessian of every support are blocks of one gradient and one Gram matrix, so that no
support touches the rows before its second iterate.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int

from optprobe.engine.filter import products
from optprobe.matrix.resident import Block, Resident
from optprobe.support import Rows, fit_supports

Array = np.ndarray


class Expansion(NamedTuple):
    """The loss at one point, over signed columns and the intercept's (without the ridge)."""

    theta: Float64[Array, "q"]
    gradient: Float64[Array, "q"]
    hessian: Float64[Array, "q q"]


def expansion(block: Block, forced: Int[Array, "s"], rows: Rows) -> Expansion:
    """The expansion at the fit on the forced columns alone.

    Args:
        block: signed columns, the intercept's last (see `support.signed`).
        forced: positions in `block`.
        rows: labels, weights, a smooth loss and ridge.
    """
    own = np.asarray(block[np.append(forced, len(block) - 1)])
    fit = fit_supports(own, np.arange(len(forced))[None], rows)
    theta = np.zeros(len(block))
    theta[forced], theta[-1] = fit.beta[0], fit.intercept[0]
    terms = rows.loss.terms(fit.beta[0] @ own[:-1] + fit.intercept[0] * own[-1])
    gradient, bend = -(block @ (terms.dual * rows.w)), terms.curvature * rows.w
    if isinstance(block, Resident):
        return Expansion(theta, gradient, block.weighted(bend, block).cpu().numpy())
    return Expansion(theta, gradient, products(block * bend, block))


def newton_start(at: Expansion, supports: Int[Array, "m k"], lam: float) -> Float64[Array, "m k1"]:
    """One Newton step of every support from the expansion's point; the intercept last.

    Args:
        at: the expansion.
        supports: positions in its block.
        lam: ridge.
    """
    m, k = supports.shape
    full = np.concatenate([supports, np.full((m, 1), len(at.theta) - 1)], axis=1)
    start = at.theta[full]
    ridge = np.append(np.full(k, lam), 0.0)
    gradient = at.gradient[full] + ridge * start
    local = at.hessian[full[:, :, None], full[:, None, :]]
    local[:, np.arange(k + 1), np.arange(k + 1)] += ridge + 1e-12
    return start - np.linalg.solve(local, gradient[:, :, None])[:, :, 0]
