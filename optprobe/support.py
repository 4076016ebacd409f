"""The fit on a fixed support, one or thousands of supports of the same size at a time.

    P(S) = min over beta in R^S, b of  sum_i w_i l(y_i (z_iS . beta + b)) + (lam/2) ||beta||^2

Damped Newton on the smooth losses, with the dual value of every iterate: as soon as it passes a
cutoff the support is pruned and its coefficients are the proof. The hinge takes Mehrotra's
primal-dual interior-point method (Mehrotra 1992; Ferris and Munson 2002 for the low-rank algebra
of support vector machines), whose central path is the smoothing `BarrierHinge`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int

from optprobe.bounds import repair_intercept
from optprobe.losses import BarrierHinge, Hinge, Loss

Array = np.ndarray

RELATIVE_GAP = 1e-11
"""A smooth fit ends once (primal - lower) <= RELATIVE_GAP * primal."""

HINGE_GAP = 5e-10
"""The same for the hinge."""

STORED_MU = 1e-8
"""Smallest smoothing, relative to the objective, at which a hinge fit is stored as (beta, b, mu).

Margins carry rounding errors of 1e-16, which a(m) magnifies by 1/(8 mu): with a smaller mu the
coefficients would not reproduce their dual value, and it costs only 2 mu.
"""

CENTRING = 10
"""At most this many centring steps of a hinge fit at STORED_MU."""

STEPS = 500
"""Newton passes before a support is left as it is (its bound is whatever its dual value says)."""

CHUNK = 2**15
"""Supports x rows handled at once, so that a batch of margins stays in the cache."""


@dataclass(frozen=True)
class Rows:
    """What a fit needs of the training rows: signs, weights, loss and ridge."""

    y: Float64[Array, "n"]
    w: Float64[Array, "n"]
    loss: Loss
    lam: float


@dataclass(frozen=True)
class Fits:
    """Fits of a batch of supports of one size.

    Attributes:
        beta, intercept: coefficients whose dual point is the best, in the order of each support.
        solution: coefficients, intercept last, that attain `primal`.
        primal: the smallest objective seen, an upper bound on P(S).
        dual: value of the dual point a(m) at the coefficients, a lower bound on P(S) that the
            coefficients alone prove.
        mu: the smoothing whose dual point that is (0 for the smooth losses).
        lower: the best lower bound on P(S); above `dual` for the hinge, whose interior point
            holds more digits than its coefficients can.
        point: the dual point a of `lower`, repaired; kept by `fit_support` only.
    """

    beta: Float64[Array, "batch k"]
    intercept: Float64[Array, "batch"]
    solution: Float64[Array, "batch q"]
    primal: Float64[Array, "batch"]
    dual: Float64[Array, "batch"]
    mu: Float64[Array, "batch"]
    lower: Float64[Array, "batch"]
    point: Float64[Array, "batch n"] | None = None

    @property
    def gap(self) -> Float64[Array, "batch"]:
        """(primal - lower) / primal."""
        return (self.primal - self.lower) / np.maximum(np.abs(self.primal), 1e-300)

    def row(self, index: int) -> Fits:
        """One fit of the batch, as a batch of one (without its dual point)."""
        at = slice(index, index + 1)
        return Fits(
            self.beta[at],
            self.intercept[at],
            self.solution[at],
            self.primal[at],
            self.dual[at],
            self.mu[at],
            self.lower[at],
        )


def signed(columns: Float64[Array, "p n"], rows: Rows) -> Float64[Array, "q n"]:
    """Columns times y, and y itself as the intercept's column, last."""
    return np.concatenate([columns * rows.y, rows.y[None]])


def fit_supports(
    block: Float64[Array, "q n"],
    supports: Int[Array, "batch k"],
    rows: Rows,
    *,
    start: Float64[Array, "batch k+1"] | None = None,
    cutoff: float = np.inf,
) -> Fits:
    """Fit every support, giving up on those whose dual value passes the cutoff.

    Args:
        block: `signed` columns, the intercept's column last.
        supports: rows of `block`, k per support.
        rows: labels, weights, loss and ridge.
        start: first coefficients and intercept (k + 1 per support), default 0.
        cutoff: prune a support once its dual value exceeds this.
    """
    batch, k = supports.shape
    full = np.concatenate([supports, np.full((batch, 1), len(block) - 1)], axis=1)
    theta = np.zeros((batch, k + 1)) if start is None else start.copy()
    solution = np.empty_like(theta)
    primal, dual, mu, lower = (np.empty(batch) for _ in range(4))
    step = max(1, CHUNK // block.shape[1])
    for first in range(0, batch, step):
        part = slice(first, first + step)
        state = _fit_chunk(block, full[part], rows, theta[part], cutoff)
        theta[part], solution[part] = state.theta, state.solution
        primal[part], dual[part] = state.primal, state.dual
        mu[part], lower[part] = state.mu, state.lower
    return Fits(theta[:, :k], theta[:, k], solution, primal, dual, mu, lower)


def fit_support(
    columns: Float64[Array, "k n"], rows: Rows, start: Float64[Array, "k+1"] | None = None
) -> Fits:
    """Fit one support to full accuracy, with its dual point; a batch of one."""
    size = len(columns)
    full = np.arange(size + 1)[None]
    theta = np.zeros((1, size + 1)) if start is None else start[None]
    state = _fit_chunk(signed(columns, rows), full, rows, theta, np.inf)
    theta = state.theta
    return Fits(
        theta[:, :size],
        theta[:, size],
        state.solution,
        state.primal,
        state.dual,
        state.mu,
        state.lower,
        repair_intercept(state.point, rows.y, rows.w),
    )


@dataclass(frozen=True)
class _State:
    """What both methods return for a chunk; see `Fits`. `point` is not repaired."""

    theta: Array
    solution: Array
    primal: Array
    dual: Array
    mu: Array
    lower: Array
    point: Array


def _fit_chunk(block: Array, full: Array, rows: Rows, theta: Array, cutoff: float) -> _State:
    """The method that the loss calls for."""
    if isinstance(rows.loss, Hinge):
        return _interior_point(block, full, rows, theta, cutoff)
    return _newton(block, full, rows, theta, cutoff)


def _newton(block: Array, full: Array, rows: Rows, theta: Array, cutoff: float) -> _State:
    """Damped Newton on a smooth loss for a chunk of supports."""
    batch, size = full.shape
    loss = rows.loss
    point = np.zeros((batch, block.shape[1]))
    ridge = np.full(size, rows.lam)
    ridge[-1] = 0.0
    theta = theta.copy()
    base = theta.copy()  # last accepted point and the Newton step from it
    move = np.zeros_like(theta)
    base_value = np.full(batch, np.inf)
    slope = np.zeros(batch)
    length = np.ones(batch)
    best_theta, best_dual = theta.copy(), np.full(batch, -np.inf)
    solution = theta.copy()
    primal = np.full(batch, np.inf)
    live = np.arange(batch)
    for _ in range(STEPS):
        at = theta[live]
        gathered = block[full[live]]
        margin = np.matmul(at[:, None, :], gathered)[:, 0]
        terms = loss.terms(margin)
        penalty = 0.5 * (at * at) @ ridge
        value = terms.value @ rows.w + penalty
        # Armijo on the step from the last accepted point; a failed step is halved.
        noise = 1e-15 * np.abs(base_value[live])
        failed = value > base_value[live] + 1e-4 * length[live] * slope[live] + noise
        failed &= length[live] > 1e-10
        weighted = terms.dual * rows.w
        dual = _dual_value(gathered, terms.dual, rows)
        better = dual > best_dual[live]
        best_dual[live[better]] = dual[better]
        point[live[better]] = terms.dual[better]
        best_theta[live[better]] = at[better]
        lowest = value < primal[live]
        primal[live[lowest]], solution[live[lowest]] = value[lowest], at[lowest]
        gradient = at * ridge - np.matmul(gathered, weighted[:, :, None])[:, :, 0]
        curved = gathered * (terms.curvature * rows.w)[:, None, :]
        hessian = np.matmul(curved, gathered.transpose(0, 2, 1))
        diagonal = np.arange(size)
        hessian[:, diagonal, diagonal] += ridge + 1e-14
        hessian[:, -1, -1] += 1e-12
        newton = -np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0]
        ok = live[~failed]
        base[ok], base_value[ok], move[ok] = at[~failed], value[~failed], newton[~failed]
        slope[ok] = np.sum(gradient * newton, axis=1)[~failed]
        length[ok] = 1.0
        length[live[failed]] *= 0.5
        done = best_dual[live] > cutoff
        done |= primal[live] - best_dual[live] <= RELATIVE_GAP * np.abs(primal[live])
        # Nothing left to gain: the quadratic model promises less than rounding.
        done |= ~failed & (-slope[live] <= 1e-17 * np.abs(value))
        live = live[~done]
        if not len(live):
            break
        theta[live] = base[live] + length[live, None] * move[live]
    return _State(best_theta, solution, primal, best_dual, np.zeros(batch), best_dual, point)


def _dual_value(gathered: Array, dual: Array, rows: Rows) -> Array:
    """sum w H(a) - ||v_S||^2 / (2 lam) after the intercept repair of `bounds.py`."""
    repaired = repair_intercept(dual, rows.y, rows.w)
    v = np.matmul(gathered[:, :-1], (repaired * rows.w)[:, :, None])[:, :, 0]
    return rows.loss.conjugate(repaired) @ rows.w - np.sum(v * v, axis=1) / (2.0 * rows.lam)


def _interior_point(block: Array, full: Array, rows: Rows, theta: Array, cutoff: float) -> _State:
    """Mehrotra's predictor-corrector on the hinge, rank k + 1, for a chunk of supports.

    Central path: m - 1 = z - u, z a = mu, u (1-a) = mu, lam beta = Z_S (w a), y.(w a) = 0. The
    point that is stored is (beta, b, mu) with a = a_mu(m), so every iterate is a dual point: the
    path is followed to STORED_MU, centred there, and then on to the accuracy of `lower`.
    """
    batch, size = full.shape
    ridge = np.full(size, rows.lam)
    ridge[-1] = 0.0
    w = rows.w
    theta = theta.copy()
    best, solution, best_mu = theta.copy(), theta.copy(), np.ones(batch)
    primal, best_dual = np.full(batch, np.inf), np.full(batch, -np.inf)
    lower, held = best_dual.copy(), np.zeros((batch, block.shape[1]))
    centred = np.zeros(batch, int)  # centring steps taken at STORED_MU
    live = np.arange(batch)
    gathered = block[full]
    at = theta
    margin = np.matmul(at[:, None, :], gathered)[:, 0]
    a = BarrierHinge(0.5).dual(margin)
    z = np.maximum(margin - 1.0, 0.0) + 0.5
    u = z - (margin - 1.0)
    for _ in range(STEPS):
        mu = 0.5 * ((a * z + (1.0 - a) * u) @ w)
        value = rows.loss.value(margin) @ w + 0.5 * (at * at) @ ridge
        lowest = value < primal[live]
        primal[live[lowest]], solution[live[lowest]] = value[lowest], at[lowest]
        if np.isfinite(cutoff) or (centred[live] > 0).any():
            path = BarrierHinge(np.maximum(mu, 1e-300)[:, None]).dual(margin)
            dual = _dual_value(gathered, path, rows)
            better = (dual > best_dual[live]) & (mu >= 0.5 * STORED_MU * primal[live])
            best_dual[live[better]], best_mu[live[better]] = dual[better], mu[better]
            best[live[better]] = at[better]
        if (centred[live] >= CENTRING).any():
            own = _dual_value(gathered, a, rows)
            better = own > lower[live]
            lower[live[better]], held[live[better]] = own[better], a[better]
        done = (best_dual[live] > cutoff) | (
            (primal[live] - lower[live] <= HINGE_GAP * primal[live]) & (centred[live] >= CENTRING)
        )
        if done.all():
            break
        if done.any():
            keep = ~done
            live, gathered, at, margin = live[keep], gathered[keep], at[keep], margin[keep]
            a, z, u, mu = a[keep], z[keep], u[keep], mu[keep]
        rest = 1.0 - a
        theta_row = 1.0 / (z / a + u / rest)
        gradient = at * ridge - np.matmul(gathered, (w * a)[:, :, None])[:, :, 0]
        curved = gathered * (theta_row * w)[:, None, :]
        hessian = np.matmul(curved, gathered.transpose(0, 2, 1))
        diagonal = np.arange(size)
        hessian[:, diagonal, diagonal] += ridge + 1e-14

        def direction(low: Array, high: Array) -> tuple[Array, Array, Array, Array, Array]:
            """Newton towards z a = low, u (1-a) = high (second-order terms folded in)."""
            residual = 1.0 - margin + low / a - high / rest
            right = np.matmul(curved, residual[:, :, None])[:, :, 0] - gradient
            step = np.linalg.solve(hessian, right[:, :, None])[:, :, 0]
            d_margin = np.matmul(step[:, None, :], gathered)[:, 0]
            da = theta_row * (residual - d_margin)
            dz = (low - a * z - z * da) / a
            du = (high - rest * u + u * da) / rest
            return step, d_margin, da, dz, du

        def reach(da: Array, dz: Array, du: Array) -> Array:
            """Largest step in [0, 1] that stays inside a in (0,1), z > 0, u > 0."""
            pace = np.maximum(np.maximum(-da / a, da / rest), np.maximum(-dz / z, -du / u))
            return 1.0 / np.maximum(pace.max(axis=1), 1.0)

        # The path is followed down to `least` and no further: there, pure centring steps.
        stored = centred[live] < CENTRING
        least = np.where(stored, STORED_MU, 0.05 * HINGE_GAP) * primal[live]
        centring = mu <= 2.0 * least
        settled = primal[live] - best_dual[live] <= 6.0 * STORED_MU * primal[live]
        centred[live] += np.where(centring & stored, np.where(settled, CENTRING, 1), 0)
        _, _, da, dz, du = direction(np.zeros_like(a), np.zeros_like(a))
        far = reach(da, dz, du)[:, None]
        after = 0.5 * (((a + far * da) * (z + far * dz) + (rest - far * da) * (u + far * du)) @ w)
        target = np.maximum(mu * np.clip(after / mu, 0.0, 1.0) ** 3, least)
        target = np.where(centring, least, target)[:, None]
        second = np.where(centring, 0.0, 1.0)[:, None]
        step, _, da, dz, du = direction(target - second * da * dz, target + second * da * du)
        pace = np.minimum(1.0, 0.995 * reach(da, dz, du))[:, None]
        at = at + pace * step
        # Afresh: a running sum drifts, and what is stored must be reproduced from `at` alone.
        margin = np.matmul(at[:, None, :], gathered)[:, 0]
        a, z, u = a + pace * da, z + pace * dz, u + pace * du
    lower = np.maximum(lower, best_dual)
    return _State(best, solution, primal, best_dual, best_mu, lower, held)
