"""One k by one method: the native engine, or a MIP solver's answer and the proof of it."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from jaxtyping import Int

from optprobe.engine.native import Outcome, WarmStart, branch_and_bound
from optprobe.heuristics.fits import Incumbent
from optprobe.heuristics.greedy import greedy
from optprobe.heuristics.swaps import swap
from optprobe.interrupt import Interrupt
from optprobe.mip.answer import Answer
from optprobe.mip.outer_approximation import outer_approximation
from optprobe.probe import Probe
from optprobe.problem import Problem
from optprobe.progress import TracePoint
from optprobe.result import Bounds, Limit, Limits, Result, Scope, Status
from optprobe.support import fit_support

Array = np.ndarray
Method = Literal["bnb", "oa", "oa-plain", "compact"]
Log = Callable[[str], None]
Observe = Callable[[TracePoint], None]

PROOF_S = 1.0
"""Seconds that the proof of a backend's answer gets even when the backend used all its time."""

PROOF_POINTS = 200
"""Dual points of the backend that a proof begins with: each costs a product with all columns."""

REFUTED = 1e-6
"""Relative excess of a claimed bound over a support's objective that tolerances do not explain."""


@dataclass
class Run:
    """What the k of a path have in common; the arguments of `solve_path`, checked.

    Attributes:
        warm: what the k before left.
        trace: bounds of the current k.
    """

    columns: Int[Array, "p"]
    scope: Scope
    method: Method
    backend: str
    formulation: str
    limits: Limits
    seed: int
    threads: int | None
    log: Log | None
    observe: Observe | None
    proof: bool
    warm: WarmStart = field(default_factory=WarmStart)
    trace: list[TracePoint] = field(default_factory=list)

    def watch(self, begun: float) -> Observe:
        """Collects the points of a solver that was started `begun` seconds into the k."""

        def take(point: TracePoint) -> None:
            point = replace(point, seconds=begun + point.seconds)
            self.trace.append(point)
            if self.observe is not None:
                self.observe(point)

        return take

    def native(self, problem: Problem, interrupt: Interrupt) -> Result:
        """Run the native engine and write its certificate."""
        started, self.trace = time.monotonic(), []
        outcome = branch_and_bound(
            problem, self.columns, self.limits, warm=self.warm, log=self.log, observe=self.watch(0)
        )
        seconds = {"solver_seconds": time.monotonic() - started}
        return replace(
            self.certified(problem, outcome, "bnb"),
            time_s=time.monotonic() - started,
            trace=tuple(self.trace),
            statistics=outcome.statistics | seconds,
        )

    def backed(self, problem: Problem, interrupt: Interrupt) -> Result:
        """A backend's answer, then a proof of it that can be checked.

        The backend's bound is a claim. The proof is a tree over the dual points of the cuts and
        what the native engine adds to them, in the time that the backend left (at least PROOF_S).
        Should the proof find a better support than the backend, that one is returned.
        """
        started, self.trace = time.monotonic(), []

        def spent() -> float:
            return time.monotonic() - started

        def stop() -> bool:
            return interrupt.raised or spent() >= self.limits.time_s

        first = greedy(problem.matrix, problem.rows, problem.k, self.columns, stop)
        first = swap(problem.matrix, problem.rows, first, self.columns, stop)
        limits = replace(self.limits, time_s=max(self.limits.time_s - spent(), 0.0))
        answer = self.ask(problem, limits, [first.support, *self.warm.supports], spent())
        solver_s = spent()
        result = self.claimed(problem, answer)
        if self.proof:
            left = max(self.limits.time_s - solver_s, PROOF_S)
            if answer.limit is not None:
                left = PROOF_S if interrupt.raised else min(left, max(solver_s, PROOF_S))
            # The last one is where the relaxation starts from.
            known = WarmStart(list(answer.points[:PROOF_POINTS][::-1]), [answer.support])
            limits = replace(self.limits, time_s=left)
            outcome = branch_and_bound(problem, self.columns, limits, warm=known, log=self.log)
            result = _with_proof(result, self.certified(problem, outcome, self.name), self.limits)
        self.warm.supports.append(result.support)
        seconds = {"solver_seconds": solver_s, "proof_seconds": spent() - solver_s}
        return replace(
            result,
            time_s=spent(),
            trace=tuple(self.trace),
            statistics=answer.statistics | seconds | {"solver_objective": answer.objective},
        )

    @property
    def name(self) -> str:
        """Method and solver, as a certificate names them."""
        return "+".join(word for word in (self.method, self.formulation, self.backend) if word)

    def ask(
        self, problem: Problem, limits: Limits, start: list[Int[Array, "s"]], begun: float
    ) -> Answer:
        """Run the backend."""
        if self.method == "compact":
            from optprobe.mip.compact import solve_compact  # Pyomo, if it is installed

            return solve_compact(
                problem,
                self.columns,
                formulation=self.formulation,
                backend=self.backend,
                limits=limits,
                seed=self.seed,
                threads=self.threads or 1,
                start=start,
                log=self.log,
            )
        return outer_approximation(
            problem,
            self.columns,
            backend=self.backend,
            limits=limits,
            seed=self.seed,
            threads=self.threads or 1,
            start=start,
            log=self.log,
            observe=self.watch(begun),
            plain=self.method == "oa-plain",
        )

    def claimed(self, problem: Problem, answer: Answer) -> Result:
        """A backend's answer as a result: its bounds are claims, optimality included."""
        reached = answer.claimed.within(self.limits.gap)
        return Result(
            k=problem.k,
            support=answer.support,
            beta=answer.beta,
            intercept=answer.intercept,
            objective=answer.objective,
            probe=Probe.of(problem, answer.support, answer.beta, answer.intercept),
            status=Status.CLAIMED if reached else Status.FEASIBLE,
            limit=None if reached else answer.limit or Limit.STALLED,
            claimed=answer.claimed,
            scope=self.scope,
            candidates=len(self.columns),
            nodes=answer.nodes,
            time_s=0.0,
            method=self.method,
            backend=self.backend,
            formulation=self.formulation or None,
        )

    def certified(self, problem: Problem, outcome: Outcome, method: str) -> Result:
        """What a search of the native engine found, with its certificate."""
        support = outcome.incumbent.support
        beta, intercept, upper = _polish(problem, outcome.incumbent)
        bounds = Bounds(min(outcome.lower, upper), upper)
        reached = bounds.within(self.limits.gap)
        certificate = outcome.proof.certificate(
            problem, self.scope, self.columns, support, beta, intercept, bounds, method
        )
        support = certificate.arrays["support"].astype(int)
        beta = certificate.arrays["beta"]
        intercept = float(certificate.arrays["intercept"][0])
        return Result(
            k=problem.k,
            support=support,
            beta=beta,
            intercept=intercept,
            objective=upper,
            probe=Probe.of(problem, support, beta, intercept),
            status=Status.OPTIMAL if reached else Status.FEASIBLE,
            limit=None if reached else outcome.limit or Limit.STALLED,
            claimed=bounds,
            scope=self.scope,
            candidates=len(self.columns),
            nodes=outcome.nodes,
            time_s=0.0,
            method="bnb",
            certificate=certificate,
        )


def _with_proof(said: Result, proven: Result, limits: Limits) -> Result:
    """A backend's result with the certificate, and the better support, of the search for a proof.

    The claimed lower bound stays the backend's. It is refuted if a support lies below it by more
    than the solvers' tolerances explain; a RuntimeWarning says so.
    """
    upper = proven.objective
    excess = said.claimed.lower - upper
    refuted = None
    if excess > REFUTED * abs(upper):
        refuted = (
            f"{said.backend} claimed that no support is better than {said.claimed.lower:.9g}, but "
            f"columns {', '.join(map(str, proven.support))} reach {upper:.9g}"
        )
        warnings.warn(refuted, RuntimeWarning, stacklevel=2)
    claimed = Bounds(min(said.claimed.lower, upper), upper)
    status, limit = said.status, said.limit
    if proven.status is Status.OPTIMAL:
        status, limit = Status.OPTIMAL, None
    elif refuted or not claimed.within(limits.gap):
        status, limit = Status.FEASIBLE, said.limit or Limit.STALLED
    return replace(
        proven,
        status=status,
        limit=limit,
        claimed=claimed,
        nodes=said.nodes,
        method=said.method,
        backend=said.backend,
        formulation=said.formulation,
        refuted=refuted,
    )


def _polish(problem: Problem, found: Incumbent) -> tuple[Array, float, float]:
    """Coefficients, intercept and objective of a support, from the source columns in float64."""
    beta, intercept = found.beta, found.intercept
    if not found.exact:
        columns = problem.data.columns(found.support, problem.data.train)
        solution = fit_support(columns, problem.rows, np.append(beta, intercept)).solution[0]
        beta, intercept = solution[:-1], float(solution[-1])
    return beta, intercept, problem.objective(found.support, beta, intercept)
