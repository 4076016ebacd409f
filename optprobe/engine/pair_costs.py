"""Supports of a filtered node bounded by sums over their pairs.

With one step d_p per column, |d_p| L_p <= e / r, the step on a support T of r columns is in reach,
and it costs (notation of `filter`)

    C(T) = sum_{p in T} [ (u_p - sum_{q in T, q != p} A_pq)^2 / (2 lam) + K_pp d_p^2 / 2 + h_p d_p ]
           + sum_{p < q} K_pq d_p d_q,      u_p = v_p - M_pp d_p,   A_pq = M_pq d_q

By (sum_q A_pq)^2 <= (r - 1) sum_q A_pq^2 that is at most a sum over the pairs of T:

    C(T) <= sum_{p < q in T} E_pq,    E_pq = J_pq + (s_p + s_q) / (r - 1)
    s_p = u_p^2 / (2 lam) + K_pp d_p^2 / 2 + h_p d_p
    J_pq = K_pq d_p d_q - (u_p A_pq + u_q A_qp) / lam + (r - 1) (A_pq^2 + A_qp^2) / (2 lam)

d_p is the step that is best for p alone. Most columns are nearly orthogonal, and the sum is close.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float64, Int

from optprobe.engine.damping import REACH
from optprobe.engine.filter import Quadratic

Array = np.ndarray

LOWERED = 1.0 - 1e-9
"""Times this, what is needed is exceeded whatever rounding does to the sums."""


def pair_costs(at: Quadratic, lam: float, size: int) -> Float64[Array, "f f"]:
    """E for supports of `size` columns; -infinity on the diagonal."""
    own, bend, live = np.diag(at.M), np.diag(at.K), at.reach > 0.0
    d = (own * at.v - lam * at.h) / np.where(live, own * own + lam * bend, 1.0)
    most = REACH / size / np.where(live, at.reach, np.inf)
    d = np.clip(d, -most, most)
    u = at.v - own * d
    single = u * u / (2.0 * lam) + d * (0.5 * bend * d + at.h)
    A = at.M * d
    E = (((size - 1) / (2.0 * lam)) * A - (u / lam)[:, None]) * A
    E += E.T.copy()
    E += at.K * d * d[:, None]
    E += single / (size - 1)
    E += (single / (size - 1))[:, None]
    np.fill_diagonal(E, -np.inf)
    return E


def needed(cost: float) -> float:
    """What the pairs of a support must sum to more than, for its cost to be more than this."""
    return cost * LOWERED if cost > 0.0 else -np.inf


def dearer(
    at: Quadratic, size: int, lam: float, cutoff: float
) -> Callable[[Int[Array, "size batch"]], Bool[Array, "batch"]]:
    """Which supports of `size` columns their pairs do not prove to reach the cutoff."""
    flat, f = pair_costs(at, lam, size).ravel(), len(at.v)
    need = needed(at.value - cutoff)

    def exceed(columns: Int[Array, "size batch"]) -> Bool[Array, "batch"]:
        total = np.zeros(columns.shape[1])
        for p in range(size):
            for q in range(p):
                total += flat.take(columns[q] * f + columns[p])
        return total > need

    return exceed
