"""Small values of the master without a solver.

    m(S) = max_i { c_i - sum_{j in S} g_ij }  over the cuts i,   |S| = k

is what the master minimises; steepest descent by swaps finds supports whose m is small in a few
matrix operations, so that a solver that cannot cut inside its tree starts fewer trees.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int

Array = np.ndarray


def descend(
    value: Float64[Array, "cuts"], gain: Float64[Array, "cuts p"], support: Int[Array, "s"], k: int
) -> tuple[Int[Array, "k"], float]:
    """A support of size k that no single swap improves, and its m.

    Args:
        value, gain: the cuts.
        support: where to start; filled up to k greedily.
    """
    chosen = np.array(support, np.int64)
    left = value - gain[:, chosen].sum(axis=1)
    outside = np.setdiff1d(np.arange(gain.shape[1]), chosen)
    while len(chosen) < k:
        after = (left[:, None] - gain[:, outside]).max(axis=0)
        entering = int(np.argmin(after))
        left = left - gain[:, outside[entering]]
        chosen, outside = np.append(chosen, outside[entering]), np.delete(outside, entering)
    best = float(left.max())
    while True:
        swap: tuple[int, int] | None = None
        for leaving, column in enumerate(chosen):
            after = ((left + gain[:, column])[:, None] - gain[:, outside]).max(axis=0)
            entering = int(np.argmin(after))
            if after[entering] < best - 1e-12:
                best, swap = float(after[entering]), (leaving, entering)
        if swap is None:
            return np.sort(chosen), best
        leaving, entering = swap
        left = left + gain[:, chosen[leaving]] - gain[:, outside[entering]]
        chosen[leaving], outside[entering] = outside[entering], chosen[leaving]
