"""Small residual problems: list the supports that one dual point leaves, then fit them all.

At a node with forced columns S1 and r more to choose, a support S1 + T survives a dual point when
its gains leave the bound below the cutoff: g(T) > value - g(S1) - cutoff.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int

Array = np.ndarray


def surviving_subsets(
    gain: Float64[Array, "p"], size: int, need: float, limit: float
) -> Int[Array, "m size"] | None:
    """Every subset of `size` positions whose gains sum to more than `need`, best first.

    Prefixes grow in order of decreasing gain; a prefix is extended by position j only if j and the
    size - 1 - depth gains after it can still lift it past `need`, so the work is in proportion to
    what survives. None if more than `limit` do.
    """
    order = np.argsort(-gain, kind="stable")
    ranked = gain[order]
    p = len(ranked)
    sums = np.concatenate([[0.0], np.cumsum(ranked)])
    last = np.full(1, -1)
    total = np.zeros(1)
    chosen = np.empty((1, 0), int)
    for depth in range(size):
        left = size - depth
        if p < left:
            return np.empty((0, size), int)
        # windows[j]: the most that j and the left - 1 positions after it add; not increasing in j.
        windows = sums[left:] - sums[: p - left + 1]
        reach = np.searchsorted(-windows, total - need, side="left")
        count = np.maximum(reach - (last + 1), 0)
        amount = int(count.sum())
        if amount > limit:
            return None
        parent = np.repeat(np.arange(len(last)), count)
        offset = np.arange(amount) - np.repeat(np.cumsum(count) - count, count)
        position = last[parent] + 1 + offset
        chosen = np.concatenate([chosen[parent], position[:, None]], axis=1)
        total = total[parent] + ranked[position]
        last = position
    best = np.argsort(-total, kind="stable")
    return order[chosen[best]]
