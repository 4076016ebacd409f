"""Outer approximation of the k-sparse probe.

    min t   s.t.   t >= sum w H(a) - (1/(2 lam)) sum_j s_j v_j(a)^2  for dual points a,
                   sum_j s_j <= k,   s binary                                 [BPV21, Algorithm 1]

The cuts are finite supporting planes of P(s) = max_a of the right-hand side, so the master is a
relaxation at every moment. The solver of the master is interchangeable (`backends/`); this file
owns the incumbent under the true loss, the root phase and every gap that is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Int

from optprobe.bounds import DualPoint
from optprobe.interrupt import Interrupt
from optprobe.mip.answer import Answer
from optprobe.mip.backends import get_backend
from optprobe.mip.backends.base import Backend, Master
from optprobe.mip.cuts import CutPool
from optprobe.mip.oracle import RootOracle
from optprobe.mip.root import Root
from optprobe.problem import Problem
from optprobe.progress import ProgressLog, TracePoint
from optprobe.result import Bounds, Limit, Limits, Status
from optprobe.threads import single_threaded_blas

Array = np.ndarray

ROOT_CUTS = 60
"""Cuts in the master before its first solve."""

FRACTIONAL_GAP = 0.005
"""Relative root gap beyond which cuts at fractional points pay."""


def outer_approximation(
    problem: Problem,
    columns: Int[Array, "p"],
    *,
    backend: str = "highs",
    limits: Limits | None = None,
    seed: int = 0,
    threads: int = 1,
    start: Sequence[Int[Array, "s"]] | None = None,
    log: Callable[[str], None] | None = None,
    observe: Callable[[TracePoint], None] | None = None,
    plain: bool = False,
) -> Answer:
    """Solve the problem over the candidate columns.

    Args:
        columns: candidate columns of X; none may be constant.
        backend: a name from `backends.BACKENDS`.
        limits: gap, seconds, nodes and bytes; default `Limits()`.
        seed, threads: for the solver; 0 threads leaves the number to it.
        start: supports in columns of X to begin from, e.g. a heuristic's; what is no candidate is
            left out, and so is what exceeds k.
        log: takes one line of progress at a time.
        observe: takes the bounds behind those lines.
        plain: cuts at integer points only, and no root phase beyond a first incumbent: the scheme
            of the literature, for comparison.

    Raises:
        ValueError: unknown backend, or columns that cannot be candidates.
        BackendError: the backend is not installed, not licensed or too small for the problem.
    """
    solver = get_backend(backend)
    solver.check()
    columns = _candidates(problem, columns)
    with Interrupt() as interrupt, single_threaded_blas():
        progress = ProgressLog(log, observe, ("nodes", "cuts"))
        run = _Solve(problem, columns, solver, limits or Limits(), interrupt, progress, plain)
        return run.run(seed, threads, start or ())


def _candidates(problem: Problem, columns: Int[Array, "p"]) -> Int[Array, "p"]:
    """Sorted candidates, or what is wrong with them."""
    chosen = np.unique(np.asarray(columns, np.int64))
    unusable = np.setdiff1d(chosen, problem.usable)
    if not len(chosen):
        raise ValueError("columns is empty; pass at least one candidate")
    if len(unusable):
        raise ValueError(
            f"column {int(unusable[0])} cannot be a candidate: it is constant or not one of the "
            f"{problem.d} columns"
        )
    return chosen


class _Solve:
    """One call of `outer_approximation`: root phase, master, answer."""

    def __init__(
        self,
        problem: Problem,
        columns: Array,
        backend: Backend,
        limits: Limits,
        interrupt: Interrupt,
        log: ProgressLog,
        plain: bool,
    ) -> None:
        self.problem, self.columns, self.backend = problem, columns, backend
        # A hair tighter than asked: the objective is recomputed at the end.
        self.gap = limits.gap * (1.0 - 1e-6)
        self.limits, self.interrupt, self.log, self.plain = limits, interrupt, log, plain
        rows = problem.rows
        self.pool = CutPool(problem.data.restricted(columns), rows)
        self.root = Root(self.pool, problem.k)
        self.nodes, self.lower = 0, 0.0
        self.limit: Limit | None = None
        self.statistics: dict[str, float] = {}

    @property
    def elapsed(self) -> float:
        """Seconds since the call."""
        return self.log.elapsed

    def run(self, seed: int, threads: int, start: Sequence[Int[Array, "s"]]) -> Answer:
        """Root, then the solver if a gap is left."""
        root = self.root
        local = [self._local(support) for support in start]
        try:
            if self.plain:
                for support in local:
                    root.offer(support)
            else:
                root.solve(local, self.gap, self._over)
                self._raise(root.lower)
            self.statistics |= {
                "root_seconds": self.elapsed,
                "root_lower": self.lower,
                "root_upper": root.best.objective,
                "root_cuts": float(len(self.pool.cuts)),
                "free_columns": float(root.free.sum()),
            }
            self._report()
            if not (root.single or self._closed or self._over()):
                self._solve_master(seed, threads)
        except KeyboardInterrupt:
            if self.interrupt.raised:
                raise
            self.interrupt.request()
        return self._answer()

    def _local(self, support: Int[Array, "s"]) -> Int[Array, "s"]:
        """The first k candidates of a support given in columns of X."""
        return np.flatnonzero(np.isin(self.columns, np.asarray(support)[: self.problem.k]))

    def _solve_master(self, seed: int, threads: int) -> None:
        """Hand the free columns to the solver, in units of the root's gap."""
        root, upper = self.root, self.root.best.objective
        scale = max(upper - self.lower, 1e-6 * abs(upper))
        oracle = RootOracle(root, self.lower, scale, tighten=not self.plain)
        rows = [oracle.row(cut) for cut in self.pool.cuts]
        rows = [row for row in rows if row.value > 0.0]
        rows = sorted(rows, key=lambda row: -row.bound(root.remaining))[:ROOT_CUTS]
        size = max(self.lower, 0.1 * abs(upper))
        master = Master(
            k=root.remaining,
            value=np.array([row.value for row in rows]),
            gain=np.array([row.gain for row in rows]).reshape(len(rows), len(oracle.free)),
            upper=(upper - oracle.floor) / scale,
            tolerance=max(self.gap * size / scale, 1e-9),
            fractional=not self.plain and upper - self.lower > FRACTIONAL_GAP * abs(upper),
        )
        answer = self.backend.solve(
            master,
            oracle,
            mip_start=oracle.local(root.best.support),
            limits=replace(self.limits, time_s=max(self.limits.time_s - self.elapsed, 0.0)),
            seed=seed,
            threads=threads,
            stop=lambda lower: self._stop(oracle.floor + scale * lower),
            on_progress=lambda now: self._progress(now.nodes, oracle.floor + scale * now.lower),
        )
        self._raise(oracle.floor + scale * answer.lower)
        self.nodes, self.limit = answer.nodes, answer.limit
        self.statistics |= answer.statistics

    @property
    def _closed(self) -> bool:
        """Whether the gap that was asked for is reached."""
        return Bounds(self.lower, self.root.best.objective).gap <= self.gap

    def _raise(self, lower: float) -> None:
        """Take note of a bound; none is worth more than the incumbent."""
        self.lower = max(self.lower, min(lower, self.root.best.objective))

    def _over(self) -> bool:
        """Whether time is up or the user wants the result now."""
        return self.interrupt.raised or self.elapsed >= self.limits.time_s

    def _stop(self, lower: float) -> bool:
        """The solver's question, with the bound it has so far."""
        self._raise(lower)
        return self._closed or self._over()

    def _progress(self, nodes: int, lower: float) -> None:
        """Take note of what the solver tells, and pass it on."""
        self._raise(lower)
        self.nodes = max(self.nodes, nodes)
        self._report()

    def _report(self, last: bool = False) -> None:
        """Tell the log where the solve stands."""
        counts = self.nodes, len(self.pool.cuts)
        self.log.report(counts, self.root.best.objective, self.lower, last=last)

    def _answer(self) -> Answer:
        """The incumbent with its gap, recomputed from the source columns."""
        best = self.root.best
        support = self.columns[best.support]
        objective = self.problem.objective(support, best.beta, best.intercept)
        claimed = Bounds(min(self.lower, objective), objective)
        done = claimed.within(self.limits.gap)
        limit = None if done else self._why()
        self._report(last=True)
        return Answer(
            support,
            best.beta,
            best.intercept,
            objective,
            claimed,
            Status.OPTIMAL if done else Status.FEASIBLE,
            limit,
            self.nodes,
            tuple(point.renumbered(self.columns) for point in self._strongest_first()),
            self.statistics | {"cuts": float(len(self.pool.points))},
        )

    def _strongest_first(self) -> list[DualPoint]:
        """The dual points of every cut, by the bound that each alone gives at the root."""
        bounds = np.array([cut.bound(self.problem.k) for cut in self.pool.cuts])
        return [self.pool.points[i] for i in np.argsort(-bounds, kind="stable")]

    def _why(self) -> Limit:
        """What stopped a solve short of its gap."""
        if self.interrupt.raised:
            return Limit.INTERRUPTED
        if self.elapsed >= self.limits.time_s:
            return Limit.TIME
        return self.limit or Limit.STALLED
