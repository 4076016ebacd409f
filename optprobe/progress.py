"""Where a running solve stands: lines in the style of a MIP solver, and points for a plot."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

INTERVAL_S = 1.0
"""Between two lines, or two points, that bring no new incumbent."""

STEP = 0.05
"""A bound that closes this share of the gap left is worth a point."""


@dataclass(frozen=True)
class TracePoint:
    """Bounds on the optimum after so many seconds."""

    seconds: float
    lower: float
    upper: float


class ProgressLog:
    """Passes on what is new: an incumbent, a bound worth telling, or one interval's silence.

    Args:
        write: takes lines; the first is a header.
        observe: takes points.
        counters: headings of the counts that `report` is given.
    """

    def __init__(
        self,
        write: Callable[[str], None] | None,
        observe: Callable[[TracePoint], None] | None,
        counters: Sequence[str],
    ) -> None:
        self._write, self._observe = write, observe
        self._started = time.monotonic()
        self._written = self._observed = TracePoint(-INTERVAL_S, 0.0, float("inf"))
        if write is not None:
            heads = "".join(f"{head:>10}" for head in counters)
            write(f" {heads}     incumbent         bound      gap     time")

    @property
    def elapsed(self) -> float:
        """Seconds since the log began."""
        return time.monotonic() - self._started

    @property
    def due(self) -> bool:
        """Whether a line or a point is due whatever it says."""
        now = self.elapsed - INTERVAL_S
        line = self._write is not None and now >= self._written.seconds
        return line or (self._observe is not None and now >= self._observed.seconds)

    def report(
        self, counts: Sequence[int | float], upper: float, lower: float, *, last: bool = False
    ) -> None:
        """Write a line and hand on a point if they are due; a star marks a new incumbent.

        Of the counts, floats are written with one decimal and their exponent.
        """
        now = TracePoint(self.elapsed, lower, upper)
        if self._observe is not None and (last or _news(now, self._observed)):
            self._observed = now
            self._observe(now)
        if self._write is None:
            return
        new = upper < self._written.upper
        if not (new or last or now.seconds >= self._written.seconds + INTERVAL_S):
            return
        self._written = now
        gap = 100.0 * (upper - lower) / max(abs(upper), 1e-12)
        numbers = "".join(
            f"{count:10d}" if isinstance(count, int) else f"{count:10.1e}" for count in counts
        )
        self._write(
            f"{'*' if new else ' '}{numbers} {upper:13.8f} {lower:13.8f} {gap:7.3f}% "
            f"{now.seconds:7.1f}s"
        )


def _news(now: TracePoint, before: TracePoint) -> bool:
    """Whether a point says more than the one before it."""
    return (
        now.upper < before.upper
        or now.lower - before.lower > STEP * (now.upper - before.lower)
        or now.seconds >= before.seconds + INTERVAL_S
    )
