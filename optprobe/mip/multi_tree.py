"""Outer approximation with HiGHS as it is: one tree after another.

    repeat:  solve the master;  lower = its bound;  for every solution (s, t) it held:
             add the cut at s, upper = min(upper, objective at s);  until upper - lower <= tol

HiGHS takes no cuts inside a tree (its lazy-constraint callback never fires). So a tree is solved
only as far as it pays, to a fraction of the gap first and to the tolerance in the end, and from
each of its solutions a descent on the cuts (`descent.py`) finds the next supports to cut at a
thousandth of the price of another tree.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Int

from optprobe.mip.backends.base import BackendError, Cut, Master, MipResult, Oracle, Progress
from optprobe.mip.descent import descend
from optprobe.result import Limit, Limits

Array = np.ndarray

COARSE = 0.05
"""A tree is first solved to this fraction of the gap that is left."""

DESCENTS = 50
"""At most so many supports are cut from one solution of a tree."""

OPTIONS: dict[str, bool] = {
    "mip_heuristic_run_rins": False,  # the incumbent is the core's business
    "mip_heuristic_run_rens": False,
    "mip_heuristic_run_root_reduced_cost": False,
    "mip_heuristic_run_feasibility_jump": False,
    "mip_allow_cut_separation_at_nodes": False,
}
"""Work that HiGHS is spared: measured on masters of 50 columns, it took most of a tree's time."""

LIMIT: dict[str, Limit | None] = {
    "kOptimal": None,
    "kTimeLimit": Limit.TIME,
    "kIterationLimit": Limit.NODES,
    "kSolutionLimit": Limit.NODES,
    "kMemoryLimit": Limit.MEMORY,
    "kInterrupt": None,  # only ever on our own request: `stop` or a stored exception
    "kHighsInterrupt": Limit.INTERRUPTED,
}
"""HiGHS's word for how a run ended -> what stopped it. A word that is not here raises."""


class MultiTree:
    """One master with its solver, from the first tree to the last."""

    def __init__(
        self,
        highspy: ModuleType,
        master: Master,
        oracle: Oracle,
        *,
        mip_start: Int[Array, "s"],
        seed: int,
        threads: int,
        stop: Callable[[float], bool],
        on_progress: Callable[[Progress], None],
    ) -> None:
        self.master, self.oracle, self.stop, self.on_progress = master, oracle, stop, on_progress
        self.lower, self.upper = 0.0, master.upper
        self.best = np.sort(mip_start)
        self.value, self.gain = master.value, master.gain
        self.nodes = self.trees = 0
        self.cut_at: set[bytes] = set()
        self.held: dict[bytes, Array] = {}
        self.error: BaseException | None = None
        self.stopped = False
        self.highspy = highspy
        self.solver = self._build(seed, threads)

    def _build(self, seed: int, threads: int) -> Any:
        """The solver with columns (s, t), the first rows, tolerances and callbacks."""
        master, infinity = self.master, self.highspy.kHighsInf
        self.highspy.Highs.resetGlobalScheduler(True)  # or it keeps the first thread count
        solver = self.highspy.Highs()
        solver.silent()
        options: dict[str, float | int | bool] = {
            **OPTIONS,
            "mip_rel_gap": 0.0,
            "mip_feasibility_tolerance": master.feasibility,
            "primal_feasibility_tolerance": master.feasibility,
            "dual_feasibility_tolerance": master.feasibility,
            "random_seed": seed % 2**31,
            "threads": threads,
        }
        for option, value in options.items():
            solver.setOptionValue(option, value)
        p = master.p
        first = np.arange(p, dtype=np.int32)
        cost, none = np.append(np.zeros(p), 1.0), np.zeros(p + 1, np.int32)
        top = np.append(np.ones(p), infinity)
        solver.addCols(p + 1, cost, np.zeros(p + 1), top, 0, none, none[:0], cost[:0])
        integer = np.full(p, self.highspy.HighsVarType.kInteger)
        solver.changeColsIntegrality(p, first, integer)
        solver.addRow(-infinity, float(master.k), p, first, np.ones(p))
        for value, gain in zip(master.value, master.gain, strict=True):
            self._add(solver, Cut(float(value), gain))
        solver.cbMipInterrupt.subscribe(self._interrupt)
        solver.cbMipSolution.subscribe(self._solution)
        return solver

    def _add(self, solver: Any, cut: Cut) -> None:
        """The row t + gain . s >= value."""
        used = np.flatnonzero(cut.gain)
        index = np.append(used, self.master.p).astype(np.int32)
        row = np.append(cut.gain[used], 1.0)
        solver.addRow(cut.value, self.highspy.kHighsInf, len(index), index, row)

    def _interrupt(self, event: Any) -> None:
        """Asks `stop` while a tree runs; an exception is kept until the tree has ended."""
        try:
            bound = max(self.lower, float(event.data_out.mip_dual_bound))
            nodes = self.nodes + int(event.data_out.mip_node_count)
            self.on_progress(Progress(nodes, bound))
            self.stopped |= self.stop(bound)
        except BaseException as error:  # re-raised by `solve`
            self.error = error
        if self.stopped or self.error is not None:
            event.interrupt()

    def _solution(self, event: Any) -> None:
        """Remembers every integer point the tree finds."""
        try:
            self._hold(np.array(event.data_out.mip_solution, float))
        except BaseException as error:  # re-raised by `solve`
            self.error = error

    def _hold(self, solution: Array) -> None:
        if len(solution) == self.master.p + 1:
            support = np.flatnonzero(solution[:-1] > 0.5)
            self.held.setdefault(support.tobytes(), support)

    def solve(self, limits: Limits) -> MipResult:
        """Trees until the gap is closed, a limit is hit or no cut helps."""
        deadline = time.monotonic() + limits.time_s
        goal = 0.5 * self.master.tolerance
        limit, fine, held = None, False, {}
        while self.upper - self.lower > self.master.tolerance and not self.stop(self.lower):
            seconds, nodes = deadline - time.monotonic(), limits.nodes - self.nodes
            if seconds <= 0.0 or nodes <= 0:
                limit = Limit.TIME if seconds <= 0.0 else Limit.NODES
                break
            width = goal if fine else max(goal, COARSE * (self.upper - self.lower))
            limit = self._tree(width, seconds, nodes)
            new = [s for key, s in self.held.items() if key not in self.cut_at]
            held |= self.held
            for support in new:
                self._cut_around(support, deadline)
            if limit is not None or self.stopped:
                break
            if not new and width <= goal and self.upper - self.lower > self.master.tolerance:
                limit = Limit.STALLED
                break
            fine = not new
        statistics = {"trees": float(self.trees)}
        return MipResult(self.lower, tuple(held.values()), limit, self.nodes, statistics)

    def _tree(self, width: float, seconds: float, nodes: float) -> Limit | None:
        """Solve the master to an absolute gap, starting from the best support known."""
        solver, p = self.solver, self.master.p
        solver.setOptionValue("mip_abs_gap", width)
        solver.setOptionValue("time_limit", seconds if math.isfinite(seconds) else 1e30)
        solver.setOptionValue("mip_max_nodes", int(min(nodes, 2**31 - 1)))
        start = np.zeros(p + 1)
        start[self.best], start[p] = 1.0, self.upper
        solver.setSolution(p + 1, np.arange(p + 1, dtype=np.int32), start)  # after every addRow
        self.held = {}
        solver.run()
        if self.error is not None:
            raise self.error
        self.trees += 1
        info, word = solver.getInfo(), solver.getModelStatus().name
        if word not in LIMIT:
            raise BackendError(f"HiGHS ended the master with the unexpected status {word!r}")
        self.nodes += max(int(info.mip_node_count), 0)
        self.lower = max(self.lower, min(float(info.mip_dual_bound), self.upper))
        self._hold(np.array(solver.getSolution().col_value, float))
        self.on_progress(Progress(self.nodes, self.lower))
        return LIMIT[word]

    def _cut_around(self, support: Array, deadline: float) -> None:
        """Cut a support, then those that the cuts so far rate best around it."""
        for _ in range(DESCENTS):
            self._cut(support)
            support, rated = descend(self.value, self.gain, support, self.master.k)
            harmless = rated > self.upper - self.master.tolerance
            if harmless or support.tobytes() in self.cut_at or time.monotonic() > deadline:
                return

    def _cut(self, support: Array) -> None:
        """Cut an integer point, once."""
        self.cut_at.add(support.tobytes())
        found = self.oracle.at_support(support)
        self._add(self.solver, found.cut)
        self.value = np.append(self.value, found.cut.value)
        self.gain = np.vstack([self.gain, found.cut.gain])
        if found.objective < self.upper:
            self.upper, self.best = found.objective, support
