"""What every part of one branch and cut shares: oracle, relaxation, incumbent, bound and limits."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import ModuleType

import numpy as np
from jaxtyping import Float64, Int

from optprobe.mip.backends.base import Cut, Master, Oracle, Progress
from optprobe.mip.branch_and_cut.lp import MasterLp
from optprobe.result import Limit, Limits

Array = np.ndarray

SHARE = 0.9
"""Nodes are closed within this share of the tolerance of the incumbent; the rest is rounding's."""

FIRST_CLUSTER = 6.0
"""Supports that the first cut of a listed node is made for (`leaf.py`)."""


class State:
    """One search, as its parts see it.

    Attributes:
        upper: objective of the best support known.
        held: every support that was the incumbent, in turn.
        working: bound of the node in work, infinite between nodes.
        waiting: least bound of the open nodes.
        closed: least bound of what was closed below the cutoff: a fit that the oracle could not
            bring within the tolerance of its own cut.
        limit, stopped: why the search is over, if it is.
        cluster: see `leaf.py`.
        nodes, fractional, integer, listed: counters.
    """

    def __init__(
        self,
        highspy: ModuleType,
        master: Master,
        oracle: Oracle,
        *,
        mip_start: Int[Array, "s"],
        limits: Limits,
        seed: int,
        threads: int,
        stop: Callable[[float], bool],
        on_progress: Callable[[Progress], None],
    ) -> None:
        self.master, self.oracle, self.limits = master, oracle, limits
        self.lp = MasterLp(highspy, master, seed, threads)
        self.upper = master.upper
        start = np.sort(mip_start)
        self.held = {start.tobytes(): start}
        self.working = self.waiting = self.closed = np.inf
        self.limit: Limit | None = None
        self.stopped = False
        self.cluster = FIRST_CLUSTER
        self.nodes = self.fractional = self.integer = self.listed = 0
        self._stop, self._on_progress = stop, on_progress
        self._deadline = time.monotonic() + limits.time_s
        self._lower = 0.0
        self._fitted: set[bytes] = set()

    @property
    def cutoff(self) -> float:
        """A node with this bound is closed."""
        return self.upper - SHARE * self.master.tolerance

    @property
    def lower(self) -> float:
        """The bound on every support at this moment; it never falls."""
        least = min(self.working, self.waiting, self.closed, self.cutoff)
        self._lower = max(self._lower, least)
        return self._lower

    @property
    def seconds(self) -> float:
        """What is left of the time."""
        return self._deadline - time.monotonic()

    def over(self) -> bool:
        """Report, and ask whether time is up or the caller wants the result now."""
        lower = self.lower
        self._on_progress(Progress(self.nodes, lower))
        self.stopped = self.stopped or self._stop(lower)
        if not self.stopped and self.seconds <= 0.0:
            self.limit = Limit.TIME
        return self.stopped or self.limit is not None

    def cut_fraction(self, s: Float64[Array, "p"]) -> Cut:
        """The oracle's cut at a fractional point."""
        self.fractional += 1
        return self.oracle.at_fraction(s)

    def fit(self, support: Int[Array, "s"]) -> Cut:
        """The oracle's cut at a support, perhaps a new incumbent."""
        support = np.sort(support)
        self.integer += 1
        self._fitted.add(support.tobytes())
        found = self.oracle.at_support(support)
        if found.objective < self.upper:
            self.upper = found.objective
            self.held[support.tobytes()] = support
        return found.cut

    def settle(self, support: Int[Array, "s"]) -> Cut:
        """Fit a support for good: its own cut is the last word on it."""
        cut = self.fit(support)
        own = cut.value - float(cut.gain[support].sum())
        if own < self.cutoff:
            self.closed = min(self.closed, own)
        return cut

    def promising(self, support: Int[Array, "s"]) -> bool:
        """Whether a support was never fitted and the cuts held leave it below the cutoff."""
        if np.sort(support).tobytes() in self._fitted:
            return False
        lp = self.lp
        return bool((lp.value - lp.gain[:, support].sum(axis=1) < self.cutoff).all())
