"""Progress lines in the style of a MIP solver."""

from __future__ import annotations

import time
from collections.abc import Callable

INTERVAL_S = 1.0

HEADER = "    nodes     open     fitted     incumbent         bound      gap     time"


class ProgressLog:
    """At most one line per INTERVAL_S, and one for every new incumbent."""

    def __init__(self, write: Callable[[str], None] | None) -> None:
        self._write = write
        self._started = time.monotonic()
        self._next = 0.0
        self._best = float("inf")
        if write is not None:
            write(HEADER)

    @property
    def elapsed(self) -> float:
        """Seconds since the log began."""
        return time.monotonic() - self._started

    def line(
        self,
        nodes: int,
        open_nodes: int,
        fitted: int,
        upper: float,
        lower: float,
        last: bool = False,
    ) -> None:
        """Write a line if it is due; a star marks a new incumbent."""
        if self._write is None:
            return
        new = upper < self._best
        if not (new or last or self.elapsed >= self._next):
            return
        self._best, self._next = upper, self.elapsed + INTERVAL_S
        gap = 100.0 * (upper - lower) / max(abs(upper), 1e-12)
        mark = "*" if new else " "
        self._write(
            f"{mark}{nodes:8d} {open_nodes:8d} {fitted:10d} {upper:13.8f} {lower:13.8f} "
            f"{gap:7.3f}% {self.elapsed:7.1f}s"
        )
