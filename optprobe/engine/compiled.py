"""Whether a search takes its compiled loops, which have to be loaded first."""

from __future__ import annotations

from dataclasses import dataclass

LOADING, SUPPORT, NUMBER = 0.3, 2.5e-7, 1e-8
"""Seconds, about: to load the compiled loops; to bound a support by NumPy; for a number that a
batch of fits or a centre reads. A search that would take less than the first goes without them."""


@dataclass
class Compiled:
    """Whether a search does enough for its compiled loops to be worth their loading.

    It goes by what the work is, not by the clock: the same search takes the same path.
    """

    seconds: float = 0.0

    def worth(self, seconds: float) -> bool:
        """Whether they are, with so much more to do."""
        self.seconds += seconds
        return self.seconds > LOADING

    def bounds(self, supports: int) -> bool:
        """Whether they are, with so many more supports to bound."""
        return self.worth(SUPPORT * supports)

    def columns(self, number: int, rows: int) -> bool:
        """Whether they are, with supports to fit, or a centre, of so many more columns."""
        return self.worth(NUMBER * number * rows)
