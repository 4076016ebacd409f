"""Solving a compact formulation with any solver that Pyomo can call.

    repeat:  lower = the solver's bound on the model;  S = its support;
             upper = min(upper, P(S)), P(S) the exact fit of S;  refine the model at S

once for a model that is exact, until upper - lower <= gap for one that has to be refined. The
incumbent is always refitted under the true loss; the bound is the solver's claim.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import entry_points

import numpy as np
from jaxtyping import Float64, Int

from formulations.base import ConcreteModel, Formulation, Kind, Refinable, Size
from formulations.parts import checked
from optprobe.heuristics.greedy import greedy
from optprobe.interrupt import Interrupt
from optprobe.mip.answer import Answer
from optprobe.mip.backends.base import TooLargeError
from optprobe.mip.pyomo_solvers import SOLVERS, PyomoSolver, Settings, find_solver, run
from optprobe.problem import Problem
from optprobe.result import Bounds, Limit, Limits, Status
from optprobe.support import fit_support
from optprobe.threads import single_threaded_blas

Array = np.ndarray

SHARE = 0.5
"""A solver is asked for this share of the gap: its tolerances, the refit of its support and the
rounding of its bound reopen some of it (20 % with SCIP's cones), and two solves may share it."""

GROUP = "optprobe.formulations"
"""The entry-point group that formulations are found in."""

BYTES_PER_TERM = 500.0
"""Of Pyomo's model and the solver's copy together, per coefficient; measured."""

SECONDS_PER_TERM = 8e-6
"""To build a model and hand it over, per coefficient; measured."""


def formulations() -> tuple[str, ...]:
    """The names of every formulation that is installed."""
    return tuple(sorted({entry.name for entry in entry_points(group=GROUP)}))


def get_formulation(name: str) -> Formulation:
    """The formulation of that name.

    Raises:
        ValueError: no such name; the message lists the names.
        TypeError: what the entry point holds lacks part of the contract.
    """
    for entry in entry_points(group=GROUP, name=name):
        found = entry.load()
        if not isinstance(found, Formulation):
            wanted = ("LOSSES", "kind", "size", "build", "solution")
            missing = ", ".join(part for part in wanted if not hasattr(found, part))
            raise TypeError(
                f"the formulation {name!r} ({entry.value}) lacks {missing}; see "
                "formulations.base.Formulation"
            )
        return found
    raise ValueError(f"unknown formulation {name!r}; choose one of {', '.join(formulations())}")


def solve_compact(
    problem: Problem,
    columns: Int[Array, "p"],
    *,
    formulation: str | Formulation,
    backend: str = "highs",
    limits: Limits | None = None,
    seed: int = 0,
    threads: int = 1,
    start: Sequence[Int[Array, "s"]] | None = None,
    log: Callable[[str], None] | None = None,
) -> Answer:
    """Solve the problem over the candidate columns by a compact model.

    Args:
        columns: candidate columns of X; none may be constant.
        formulation: a registered name, or an object that meets the contract.
        backend: a name from `pyomo_solvers.SOLVERS`, or any other that Pyomo knows.
        limits: gap and seconds; `memory_bytes` bounds the model, not the tree. Pyomo reports no
            nodes: a limit on them is refused.
        seed, threads: for the solver; 0 threads leaves the number to it.
        start: supports in columns of X to take the first incumbent from; default greedy selection.
        log: takes one line of progress per round.

    Returns:
        An `Answer` whose `nodes` is 0 and whose `points` are empty. An interruption (Ctrl-C) is
        noticed between the rounds.

    Raises:
        ValueError: unknown formulation, a loss it does not cover, a kind of model that the solver
            does not take, columns that cannot be candidates, a limit on nodes.
        TooLargeError: the model exceeds the memory or the solver's licence.
        BackendError: the solver is not installed, not licensed, or fails.
    """
    limits = limits or Limits()
    name, model, solver = meeting(problem, formulation, backend, limits)
    columns = checked(problem, columns, name, model.LOSSES)
    settings = Settings(limits.time_s, limits.gap, _feasibility(limits.gap), seed, threads)
    size = model.size(len(problem.data.train), len(columns), problem.k, problem.loss_name)
    _check_memory(name, size, len(columns), limits.memory_bytes)
    with Interrupt() as interrupt, single_threaded_blas():
        solve = _Solve(problem, columns, model, size, solver, limits, interrupt, log)
        return solve.run(settings, start or ())


def meeting(
    problem: Problem, formulation: str | Formulation, backend: str, limits: Limits
) -> tuple[str, Formulation, PyomoSolver]:
    """Name, formulation and solver, if they can serve the problem together.

    Raises:
        ValueError, BackendError: as `solve_compact`, before anything is built.
    """
    if np.isfinite(limits.nodes):
        raise ValueError(
            f"nodes={limits.nodes}: Pyomo's solvers report no nodes; pass a time limit instead"
        )
    name = formulation if isinstance(formulation, str) else _name(formulation)
    model = get_formulation(formulation) if isinstance(formulation, str) else formulation
    checked(problem, None, name, model.LOSSES)
    _check_kind(name, model.kind(problem.loss_name), backend, problem.loss_name)
    return name, model, find_solver(backend)


def _name(formulation: object) -> str:
    """What to call a formulation that is passed as an object."""
    return str(getattr(formulation, "__name__", type(formulation).__name__)).rpartition(".")[2]


def _feasibility(gap: float) -> float:
    """Tolerance of the solver's rows, finer than the gap that is read off them."""
    return float(np.clip(0.1 * gap, 1e-9, 1e-7))


def _check_kind(name: str, kind: Kind, backend: str, loss: str) -> None:
    """Refuse a kind of model that the solver does not take, and say what would do."""
    solver = SOLVERS.get(backend)
    if solver is None or kind in solver.kinds:
        return
    able = [other.name for other in SOLVERS.values() if kind in other.kinds]
    fitting: list[str] = []
    for other in formulations():
        found = get_formulation(other)
        if loss in found.LOSSES and found.kind(loss) in solver.kinds - {Kind.LP, Kind.SOCP}:
            fitting.append(other)
    takes = " and ".join(sorted(solver.kinds))
    instead = f", or the formulation {' or '.join(fitting)}" if fitting else ""
    raise ValueError(
        f"the formulation {name!r} is a {kind}, {backend} takes {takes} only: choose the solver "
        f"{' or '.join(able)}{instead}"
    )


def _terms(size: Size) -> int:
    """What a model costs in Pyomo: coefficients, and about 8 of them per variable, row or cone."""
    return size.nonzeros + 8 * (size.binary + size.continuous + size.rows + size.cones + size.sets)


def _check_memory(name: str, size: Size, p: int, have: float) -> None:
    """Refuse a model that Pyomo cannot hold, before it is built."""
    need = _terms(size) * BYTES_PER_TERM
    if need > have:
        raise TooLargeError(
            f"the formulation {name!r} of {p} candidates has {size.nonzeros:,} coefficients, about "
            f"{need / 2**30:.1f} GiB in Pyomo with a limit of {have / 2**30:.1f} GiB: pass about "
            f"{int(p * have / need)} candidates, choose the formulation outer_approximation (whose "
            "model holds no rows of the data) or a method without Pyomo, or raise "
            "Limits(memory_bytes=...)"
        )


@dataclass(frozen=True)
class _Incumbent:
    """A support with its exact fit, from the source columns."""

    support: Int[Array, "s"]
    beta: Float64[Array, "s"]
    intercept: float
    objective: float


class _Solve:
    """One call of `solve_compact`: incumbent, model, rounds, answer."""

    def __init__(
        self,
        problem: Problem,
        columns: Int[Array, "p"],
        formulation: Formulation,
        size: Size,
        solver: PyomoSolver,
        limits: Limits,
        interrupt: Interrupt,
        log: Callable[[str], None] | None,
    ) -> None:
        self.begun = time.monotonic()
        self.problem, self.columns, self.formulation = problem, columns, formulation
        self.size, self.solver, self.limits = size, solver, limits
        self.interrupt, self.log = interrupt, log
        self.best = self._fit(np.empty(0, np.int64))
        self.lower = 0.0
        self.limit: Limit | None = None
        self.rounds = 0
        self.statistics = {
            "variables": float(size.binary + size.continuous),
            "rows": float(size.rows),
            "nonzeros": float(size.nonzeros),
        }

    @property
    def elapsed(self) -> float:
        """Seconds since the call."""
        return time.monotonic() - self.begun

    def run(self, settings: Settings, start: Sequence[Int[Array, "s"]]) -> Answer:
        """Incumbent, model, rounds, answer."""
        try:
            self._first(start)
            needed = _terms(self.size) * SECONDS_PER_TERM
            if self.limits.time_s - self.elapsed > needed:
                model = self.formulation.build(self.problem, self.columns)
                self.statistics["build_seconds"] = self.elapsed
                self._solve_model(model, settings)
            else:
                self.limit = Limit.TIME
                self._line(f"no model: it takes about {needed:.0f} s to build, past the limit;")
        except KeyboardInterrupt:
            if self.interrupt.raised:
                raise
            self.interrupt.request()
        return self._answer()

    def _first(self, start: Sequence[Int[Array, "s"]]) -> None:
        """The first incumbent: the best of the given supports, or greedy selection."""
        for given in start:
            support = np.unique(np.asarray(given, np.int64)[: self.problem.k])
            self._offer(support[np.isin(support, self.columns)])
        if not len(start):
            matrix, every = self.problem.data.restricted(self.columns), np.arange(len(self.columns))
            found = greedy(matrix, self.problem.rows, self.problem.k, every, self._over)
            self._offer(self.columns[found.support])
        self._line("start   ")

    def _solve_model(self, model: ConcreteModel, settings: Settings) -> None:
        """Solve, and refine and solve again where the formulation asks for it."""
        refinable = self.formulation if isinstance(self.formulation, Refinable) else None
        while not (self._closed or self._over()):
            left = max(self.limits.time_s - self.elapsed, 0.0)
            claim = run(
                self.solver, model, replace(settings, time_s=left, gap=SHARE * settings.gap)
            )
            self.rounds += 1
            self.lower = max(self.lower, claim.lower)
            violation = 0.0
            if claim.solved:
                self._offer(self.formulation.solution(model)[0])
                if refinable is not None and claim.limit is None:
                    violation = refinable.refine(self.problem, model)
            self._line(f"round {self.rounds:2d}")
            self.limit = claim.limit
            if claim.limit is not None or violation <= 0.1 * self.limits.gap * self.best.objective:
                return

    def _fit(self, support: Int[Array, "s"]) -> _Incumbent:
        """Fit a support on the source columns under the true loss."""
        problem = self.problem
        fit = fit_support(problem.data.columns(support, problem.data.train), problem.rows)
        beta, intercept = fit.solution[0, :-1], float(fit.solution[0, -1])
        objective = problem.objective(support, beta, intercept)
        return _Incumbent(support, beta, intercept, objective)

    def _offer(self, support: Int[Array, "s"]) -> None:
        """A support, perhaps the new incumbent (a solver's tolerances might make it too large)."""
        if len(support) <= self.problem.k:
            found = self._fit(support)
            if found.objective < self.best.objective:
                self.best = found

    @property
    def _bounds(self) -> Bounds:
        """The claim; no bound is worth more than the incumbent."""
        upper = self.best.objective
        return Bounds(min(self.lower, upper), upper)

    @property
    def _closed(self) -> bool:
        """Whether the gap that was asked for is reached."""
        return self._bounds.within(self.limits.gap)

    def _over(self) -> bool:
        """Whether time is up or the user wants the result now."""
        return self.interrupt.raised or self.elapsed >= self.limits.time_s

    def _line(self, what: str) -> None:
        """Round, incumbent, bound, gap, time."""
        if self.log is not None:
            now = self._bounds
            self.log(
                f"{what}  incumbent {now.upper:.7f}  bound {now.lower:.7f}  "
                f"gap {100.0 * now.gap:8.4f} %  {self.elapsed:7.1f} s"
            )

    def _answer(self) -> Answer:
        """The incumbent and the claim, with what stopped the solve short of its gap."""
        limit = self.limit or Limit.STALLED
        if self.interrupt.raised:
            limit = Limit.INTERRUPTED
        elif self.elapsed >= self.limits.time_s:
            limit = Limit.TIME
        best, closed = self.best, self._closed
        return Answer(
            best.support,
            best.beta,
            best.intercept,
            best.objective,
            self._bounds,
            Status.OPTIMAL if closed else Status.FEASIBLE,
            None if closed else limit,
            0,
            statistics=self.statistics | {"rounds": float(self.rounds)},
        )
