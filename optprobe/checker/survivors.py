"""Supports of an enumerated node that its dual point does not cover, without meeting the others.

    T in F with |T| = r is covered if  g(T) <= budget,  g_0 >= g_1 >= ... the free gains

A prefix i_1 < ... < i_l has at best g(prefix) + g_{i} + ... + g_{i+r-l-1} with i its next column,
and these window sums fall with i: the columns that may follow are a range, found by bisection.
Every prefix that is kept has a completion that is not covered, so the work is that of the output.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from optprobe.checker.rounding import gamma

if TYPE_CHECKING:
    from jaxtyping import Bool, Float64, Int

Array = np.ndarray

CHUNK = 2**16
"""Prefixes that are extended at once."""


def surviving(gain: Float64[Array, "f"], r: int, budget: float) -> Iterator[Int[Array, "batch r"]]:
    """Positions of the r-subsets of `gain` (falling) whose sum exceeds the budget, in blocks.

    A subset is left out only if its exact sum is at most the budget.
    """
    if r == 0 and budget >= 0.0:
        return
    # A float sum of r gains is at least (1 - gamma) times the exact one.
    cut = budget * (1.0 - gamma(r + 16)) if budget > 0.0 else budget
    windows = [np.zeros(len(gain) + 1), gain]
    for size in range(2, r + 1):
        windows.append(windows[-1][:-1] + gain[size - 1 :])  # falling: rounding is monotone
    rising = [-window for window in windows]
    stack = [(np.zeros((1, 0), np.int64), np.zeros(1))]
    while stack:
        prefix, total = stack.pop()
        left = r - prefix.shape[1]
        if not left:
            yield prefix
            continue
        first = prefix[:, -1] + 1 if prefix.shape[1] else np.zeros(1, np.int64)
        enough = np.nextafter(cut - total, -np.inf)  # window <= enough: total + window <= cut
        count = np.maximum(np.searchsorted(rising[left], -enough) - first, 0)
        if count.sum() > CHUNK and len(prefix) > 1:
            half = len(prefix) // 2
            stack += [(prefix[half:], total[half:]), (prefix[:half], total[:half])]
            continue
        if not count.any():
            continue
        parent = np.repeat(np.arange(len(prefix)), count)
        offset = np.arange(len(parent)) - np.repeat(np.cumsum(count) - count, count)
        column = first[parent] + offset
        longer = np.concatenate([prefix[parent], column[:, None]], axis=1)
        stack.append((longer, total[parent] + gain[column]))


class Listed:
    """A set of supports of k columns (rows of positions below `radix`), as a trie of arrays."""

    def __init__(self, supports: Int[Array, "m k"], radix: int) -> None:
        self._radix, self._levels = radix, []
        rank = np.zeros(len(supports), np.int64)
        for column in supports.T:
            level, rank = np.unique(rank * radix + column, return_inverse=True)
            self._levels.append(level)

    def contains(self, supports: Int[Array, "batch k"]) -> Bool[Array, "batch"]:
        """Which of the supports are in the set."""
        found = np.ones(len(supports), bool)
        rank = np.zeros(len(supports), np.int64)
        for level, column in zip(self._levels, supports.T, strict=True):
            if not len(level):
                return np.zeros(len(supports), bool)
            code = rank * self._radix + column
            rank = np.minimum(np.searchsorted(level, code), len(level) - 1)
            found &= level[rank] == code
        return found
