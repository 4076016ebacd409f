"""What many times say of one solver.

    shifted geometric mean   (prod_i (t_i + s))^(1/n) - s                       [Mittelmann; s = 1]
    performance profile      rho_s(tau) = #{i : t_si <= tau min_r t_ri} / n     [Dolan, Moré 2002]

A run that is not solved has the time infinity in a profile, and counts as the limit in a mean.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

Array = np.ndarray

SHIFT_S = 1.0
"""Seconds of the shift: differences far below it hardly count."""


def shifted_geometric_mean(times: Float64[Array, "n"], shift: float = SHIFT_S) -> float:
    """(prod (t + shift))^(1/n) - shift.

    Raises:
        ValueError: no time, or one below -shift or not a number.
    """
    times = np.asarray(times, float)
    if not times.size or not (times > -shift).all():
        raise ValueError(f"times {times.tolist()}: pass at least one, each above {-shift:g}")
    return float(np.exp(np.log(times + shift).mean()) - shift)


def share_solved(times: Float64[Array, "n"]) -> float:
    """Share of finite times."""
    return float(np.isfinite(times).mean())


def performance_ratios(times: Float64[Array, "solvers n"]) -> Float64[Array, "solvers n"]:
    """t_si / min_r t_ri, infinity where solver s did not solve instance i.

    Raises:
        ValueError: a time that is not positive.
    """
    if not (times > 0.0).all():
        raise ValueError("a performance profile needs times > 0")
    best = times.min(axis=0)
    return np.where(np.isfinite(times), times / np.where(np.isfinite(best), best, 1.0), np.inf)


def performance_profile(
    ratios: Float64[Array, "n"], taus: Float64[Array, "t"]
) -> Float64[Array, "t"]:
    """rho(tau) of one solver: share of the instances whose ratio is at most tau."""
    return (ratios[None, :] <= taus[:, None]).mean(axis=1)
