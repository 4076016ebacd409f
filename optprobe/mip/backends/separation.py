"""What a callback decides inside a solver's tree, the same for every solver.

At an integer point (s, t) with t below the oracle's cut the point is refused by that cut. Where
the root gap is wide the relaxation's fractional points are cut as well, which is what closes hard
instances: the master's linear bound then follows the perspective bound down the tree. The adapter
reads the point, adds the rows and ends the solve; nothing here knows a solver.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

import numpy as np
from jaxtyping import Float64, Int

from optprobe.mip.backends.base import FRACTIONAL_VIOLATION, Cut, Master, Oracle, Progress

Array = np.ndarray

ROOT_ROUNDS = 20
ROUNDS = 1
"""New cuts at fractional points of the root, and of any other node, before the solver branches:
with more of them at the nodes SCIP took three times the time and Gurobi gained nothing."""

KNOWN_ROWS = 5
"""Known rows, the most violated first, that one point is given at once."""


class Separator:
    """The state of one solve that its callbacks share.

    Args:
        master, oracle, stop, on_progress: those of `Backend.solve`.
        forgetful: the solver drops rows, or keeps them in one subtree only. Then the known rows
            are looked through first: that is one product, a new cut is a fit.

    Attributes:
        held: integer points that the solver itself held, by their bytes.
        stopped: `stop` said so.
        error: the first exception inside a callback, for the adapter to raise after the solve.
        integer_cuts, fractional_cuts: rows handed over, the known ones not counted.
    """

    def __init__(
        self,
        master: Master,
        oracle: Oracle,
        stop: Callable[[float], bool],
        on_progress: Callable[[Progress], None],
        *,
        forgetful: bool = False,
    ) -> None:
        self.master, self.oracle, self.forgetful = master, oracle, forgetful
        self._stop, self._on_progress = stop, on_progress
        self.held: dict[bytes, Array] = {}
        self.stopped = False
        self.error: BaseException | None = None
        self.integer_cuts = self.fractional_cuts = 0
        self._upper, self._better = master.upper, None
        self._value, self._gain = np.empty(0), np.empty((0, master.p))
        self._node, self._rounds = -1, 0
        self._one_at_a_time = threading.RLock()  # solvers may call back from several threads

    @property
    def over(self) -> bool:
        """Whether the solver is to end now."""
        return self.stopped or self.error is not None

    @property
    def supports(self) -> tuple[Int[Array, "s"], ...]:
        """The integer points that the solver held."""
        return tuple(self.held.values())

    @property
    def statistics(self) -> dict[str, float]:
        """The counters, as a result carries them."""
        return {
            "lazy_cuts": float(self.integer_cuts),
            "fractional_cuts": float(self.fractional_cuts),
        }

    @contextmanager
    def guard(self) -> Generator[None]:
        """Keep an exception of a callback: solvers swallow it, or turn it into one of theirs."""
        with self._one_at_a_time:
            try:
                yield
            except BaseException as error:
                self.error = self.error or error

    def integer(self, s: Float64[Array, "p"], t: float) -> Cut | None:
        """The cut that refuses an integer point, None if t is large enough."""
        support = np.flatnonzero(s > 0.5)
        self.held.setdefault(support.tobytes(), support)
        found = self.oracle.at_support(support)
        if found.objective < self._upper:
            self._upper, self._better = found.objective, support
        if found.cut.at(self.indicator(support)) - t <= self.master.violation:
            return None
        self.integer_cuts += 1
        return self._keep(found.cut)

    def fractional(self, s: Float64[Array, "p"], t: float, node: int) -> list[Cut]:
        """The rows that cut a fractional point off: known ones, or a new one where that is wanted.

        Args:
            s, t: the point.
            node: nodes done before, 0 at the root.
        """
        s = np.clip(s, 0.0, 1.0)
        missing = self._value - self._gain @ s - t
        known = np.argsort(-missing)[:KNOWN_ROWS]
        known = known[missing[known] > FRACTIONAL_VIOLATION]
        if len(known) or not self.master.fractional:
            return [Cut(float(self._value[i]), self._gain[i]) for i in known]
        self._node, self._rounds = node, self._rounds + 1 if node == self._node else 1
        if self._rounds > (ROUNDS if node else ROOT_ROUNDS):
            return []
        cut = self.oracle.at_fraction(s)
        if cut.at(s) - t <= FRACTIONAL_VIOLATION:
            return []
        self.fractional_cuts += 1
        return [self._keep(cut)]

    def better(self) -> Float64[Array, "p1"] | None:
        """(s, t) of a support better than all before, once: an incumbent to offer the solver."""
        if self._better is None:
            return None
        point = np.append(self.indicator(self._better), self._upper)
        self._better = None
        return point

    def report(self, nodes: int, lower: float) -> None:
        """Tell of nodes and bound, and ask whether to end."""
        _take_ctrl_c_back()
        lower = max(0.0, lower)
        self._on_progress(Progress(nodes, lower))
        self.stopped = self.stopped or self._stop(lower)

    def indicator(self, support: Int[Array, "s"]) -> Float64[Array, "p"]:
        """The support as a point of {0,1}^p."""
        return np.isin(np.arange(self.master.p), support).astype(float)

    def _keep(self, cut: Cut) -> Cut:
        """Note a row, to be found again where a forgetful solver has it no longer."""
        if self.forgetful:
            self._value = np.append(self._value, cut.value)
            self._gain = np.vstack([self._gain, cut.gain])
        return cut


def _take_ctrl_c_back() -> None:
    """Let Python's handler have Ctrl-C again.

    While they run, Xpress lets the signal kill the process, COPT and CPLEX catch it themselves:
    whoever asked to be told, the core's `Interrupt`, would not hear of it.
    """
    if threading.current_thread() is threading.main_thread():
        handler = signal.getsignal(signal.SIGINT)
        if handler is not None:
            signal.signal(signal.SIGINT, handler)
