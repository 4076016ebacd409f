"""Damped Newton on a smooth loss, for a chunk of supports of one size at a time.

Every pass over the rows gives the dual value of its iterate first: a support that the cutoff
prunes, or that is solved, never forms its Hessian.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int

from optprobe.support.rows import ChunkFits, Rows, dual_value, row_dots

Array = np.ndarray

RELATIVE_GAP = 1e-11
"""A fit ends once (primal - dual) <= RELATIVE_GAP * primal."""

STEPS = 500
"""Passes before a support is left as it is (its bound is whatever its dual value says)."""


def newton(
    block: Float64[Array, "q n"],
    full: Int[Array, "batch k1"],
    rows: Rows,
    start: Float64[Array, "batch k1"],
    cutoff: float,
    accuracy: float,
) -> ChunkFits:
    """Fit a chunk; `full` holds the rows of `block` of each support, the intercept's last."""
    batch, size = full.shape
    accuracy = max(accuracy, RELATIVE_GAP)
    diagonal = np.arange(size)
    ridge = np.append(np.full(size - 1, rows.lam), 0.0)
    theta = start.copy()
    base, move = theta.copy(), np.zeros_like(theta)  # last accepted point, Newton step from it
    base_value, slope, length = np.full(batch, np.inf), np.zeros(batch), np.ones(batch)
    best, dual = theta.copy(), np.full(batch, -np.inf)
    point = np.zeros((batch, block.shape[1]))
    solution, primal = theta.copy(), np.full(batch, np.inf)
    live = np.arange(batch)
    for _ in range(STEPS):
        at, gathered = theta[live], block[full[live]]
        terms = rows.loss.terms(np.matmul(at[:, None, :], gathered)[:, 0])
        value = terms.value @ rows.w + 0.5 * (at * at) @ ridge
        lowest = value < primal[live]
        primal[live[lowest]], solution[live[lowest]] = value[lowest], at[lowest]
        bound = dual_value(gathered, terms.dual, rows)
        better = bound > dual[live]
        dual[live[better]], best[live[better]] = bound[better], at[better]
        point[live[better]] = terms.dual[better]
        # Armijo on the step from the last accepted point; a failed step is halved.
        noise = 1e-15 * np.abs(base_value[live])
        failed = value > base_value[live] + 1e-4 * length[live] * slope[live] + noise
        failed &= length[live] > 1e-10
        open_gap = primal[live] - dual[live] > accuracy * np.abs(primal[live])
        going = open_gap & (dual[live] <= cutoff)
        length[live[failed]] *= 0.5
        taken = going & ~failed
        if taken.any():
            at, gathered, now = at[taken], gathered[taken], live[taken]
            gradient = at * ridge - row_dots(gathered, terms.dual[taken] * rows.w)
            curved = gathered * (terms.curvature[taken] * rows.w)[:, None, :]
            hessian = np.matmul(curved, gathered.transpose(0, 2, 1))
            hessian[:, diagonal, diagonal] += ridge + 1e-14
            hessian[:, -1, -1] += 1e-12
            move[now] = -np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0]
            base[now], base_value[now], length[now] = at, value[taken], 1.0
            slope[now] = np.sum(gradient * move[now], axis=1)
            # Nothing left to gain: the quadratic model promises less than rounding.
            going[taken] = -slope[now] > 1e-17 * np.abs(value[taken])
        live = live[going]
        if not len(live):
            break
        theta[live] = base[live] + length[live, None] * move[live]
    return ChunkFits(best, solution, primal, dual, np.zeros(batch), dual, point)
