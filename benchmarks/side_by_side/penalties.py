"""A cardinality by way of penalties: the search for the penalty whose answer has k columns.

A solver of  P(mu) = min f(beta) + mu |beta|_0  answers for some k only, those on the lower convex
hull of the best values f_k. For every mu and k

    f_k >= P(mu) - mu k,

so every solve bounds f_k from below, and an optimal answer with k columns is optimal for k.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

A = TypeVar("A")

SHRINK = 0.7
"""Factor between two penalties on the way down: a larger step meets harder problems than needed."""


@dataclass(frozen=True)
class Solved(Generic[A]):
    """What a penalty gave.

    Attributes:
        size: columns of the answer.
        value: f of the answer, without the penalty.
        lower: bound on P(mu).
        optimal: the solver finished.
        answer: whatever the solver gave.
    """

    size: int
    value: float
    lower: float
    optimal: bool
    answer: A


def bound(solved: Solved[A], penalty: float, k: int) -> float:
    """P(mu) - mu k <= f_k."""
    return solved.lower - penalty * k


def search(
    solve: Callable[[float], Solved[A]], k: int, nothing: float, largest: float
) -> Solved[A] | None:
    """The optimal answer with k columns, None if no penalty has one or the solver gave up.

    The penalty shrinks until an answer has k columns or more; then it is where the two answers
    around k tie, (f_a - f_b) / (b - a), which meets every hull point between them or none.

    Args:
        solve: one penalty.
        k: at least 1.
        nothing: f without columns.
        largest: a penalty that admits no column, or few.
    """
    fewer, fewer_value = 0, nothing
    penalty = largest
    while True:
        found = solve(penalty)
        if not found.optimal:
            return None
        if found.size >= k:
            break
        if found.size > fewer:
            fewer, fewer_value = found.size, found.value
        penalty *= SHRINK
    more = found
    while more.size > k:
        found = solve((fewer_value - more.value) / (more.size - fewer))
        if not found.optimal:
            return None
        if k <= found.size < more.size:
            more = found
        elif fewer < found.size < k:
            fewer, fewer_value = found.size, found.value
        else:
            return None
    return more
