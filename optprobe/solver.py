"""One entry for every exact method: `solve` for one k, `solve_path` for several."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Int

from optprobe.checker import verify
from optprobe.engine.native import Outcome, WarmStart, branch_and_bound
from optprobe.heuristics.local_search import Incumbent, greedy, swap
from optprobe.interrupt import Interrupt
from optprobe.mip.outer_approximation import outer_approximation
from optprobe.prefilter import best_columns
from optprobe.probe import Probe
from optprobe.problem import Problem
from optprobe.result import Bounds, Limit, Limits, Result, Scope, Status
from optprobe.support import fit_support
from optprobe.threads import single_threaded_blas

if TYPE_CHECKING:
    from optprobe.certificate import Certificate
    from optprobe.checker import Verdict

Array = np.ndarray
Method = Literal["bnb", "oa"]
Log = Callable[[str], None]

PROOF_S = 1.0
"""Seconds that the proof of a backend's answer gets even when the backend used all its time."""


def solve(
    problem: Problem,
    *,
    method: Method = "bnb",
    backend: str | None = None,
    candidates: int | None = None,
    limits: Limits | None = None,
    seed: int = 0,
    log: Log | None = None,
    check: bool = True,
) -> Result:
    """The k-sparse probe with its bounds; the arguments are those of `solve_path`."""
    results = solve_path(
        problem,
        [problem.k],
        method=method,
        backend=backend,
        candidates=candidates,
        limits=limits,
        seed=seed,
        log=log,
        check=check,
    )
    return next(results)


def solve_path(
    problem: Problem,
    ks: Sequence[int],
    *,
    method: Method = "bnb",
    backend: str | None = None,
    candidates: int | None = None,
    limits: Limits | None = None,
    seed: int = 0,
    log: Log | None = None,
    check: bool = True,
) -> Iterator[Result]:
    """Solve for every k, each reusing the supports and dual points of those before it.

    Args:
        problem: data, loss and ridge; its own k is not used.
        ks: cardinalities, solved in increasing order.
        method: "bnb", the native engine, or "oa", outer approximation on a MIP backend.
        backend: of "oa": "highs" (default) or "gurobi".
        candidates: keep this many columns by mean difference first; None keeps all.
        limits: per k. Interruption (Ctrl-C) ends the current k with its incumbent and bound.
        seed: of the MIP backend; the native engine draws nothing.
        log: takes progress lines.
        check: run the independent checker on every certificate and fill `Result.verified`.

    Yields:
        One `Result` per k as soon as it is there.

    Raises:
        ValueError: unknown method or backend, k out of range, candidates fewer than k.
    """
    if method not in ("bnb", "oa"):
        raise ValueError(f"unknown method {method!r}; choose 'bnb' or 'oa'")
    if method == "bnb" and backend is not None:
        raise ValueError(f"backend={backend!r} belongs to method 'oa'; the native engine has none")
    if not len(ks):
        raise ValueError("no k to solve for; pass at least one")
    problems = [problem.with_k(int(k)) for k in sorted(set(ks))]
    columns = problem.usable
    if candidates is not None:
        columns = best_columns(problems[-1], candidates)
    limits = limits or Limits()
    return _path(problems, columns, method, backend or "highs", limits, seed, log, check)


def _path(
    problems: Sequence[Problem],
    columns: Int[Array, "p"],
    method: Method,
    backend: str,
    limits: Limits,
    seed: int,
    log: Log | None,
    check: bool,
) -> Iterator[Result]:
    """The generator behind `solve_path`, once its arguments have been checked."""
    warm = WarmStart()
    for problem in problems:
        with Interrupt() as interrupt, single_threaded_blas():
            if method == "bnb":
                result = _native(problem, columns, limits, warm, log)
            else:
                result = _outer(problem, columns, backend, limits, seed, warm, log, interrupt)
            if check:
                result = with_verdict(problem, result)
        yield result
        if interrupt.raised or result.limit is Limit.INTERRUPTED:
            return


def _scope(problem: Problem, columns: Int[Array, "p"]) -> Scope:
    return "all columns" if len(columns) == len(problem.usable) else "these candidates"


def _native(
    problem: Problem, columns: Int[Array, "p"], limits: Limits, warm: WarmStart, log: Log | None
) -> Result:
    """Run the native engine and write its certificate."""
    started = time.monotonic()
    outcome = branch_and_bound(problem, columns, limits, warm=warm, log=log)
    certificate, bounds = _certified(problem, columns, outcome, "bnb")
    result = _result(problem, columns, certificate, bounds, limits.gap, outcome.limit)
    return replace(
        result,
        nodes=outcome.nodes,
        time_s=time.monotonic() - started,
        statistics=outcome.statistics,
    )


def _outer(
    problem: Problem,
    columns: Int[Array, "p"],
    backend: str,
    limits: Limits,
    seed: int,
    warm: WarmStart,
    log: Log | None,
    interrupt: Interrupt,
) -> Result:
    """Outer approximation on a MIP backend, then a proof of its answer that can be checked.

    The backend's bound is a claim. The proof is a tree over the dual points of the cuts and what
    the native engine adds to them, in the time that the backend left (at least PROOF_S). Should
    the proof find a better support than the backend, that one is returned.
    """
    started = time.monotonic()

    def stop() -> bool:
        return interrupt.raised or time.monotonic() - started >= limits.time_s

    first = greedy(problem.matrix, problem.rows, problem.k, columns, stop)
    first = swap(problem.matrix, problem.rows, first, columns, stop)
    spent = time.monotonic() - started
    answer = outer_approximation(
        problem,
        columns,
        backend=backend,
        limits=replace(limits, time_s=max(limits.time_s - spent, 0.0)),
        seed=seed,
        start=[first.support, *warm.supports],
        log=log,
    )
    spent = time.monotonic() - started
    left = max(limits.time_s - spent, PROOF_S)
    if answer.limit is not None:
        left = PROOF_S if interrupt.raised else min(left, max(spent, PROOF_S))
    known = WarmStart(points=list(answer.points), supports=[answer.support])
    proof_limits = replace(limits, time_s=left)
    outcome = branch_and_bound(problem, columns, proof_limits, warm=known, log=log)
    certificate, bounds = _certified(problem, columns, outcome, f"oa+{backend}")
    claimed = Bounds(min(answer.claimed.lower, bounds.upper), bounds.upper)
    result = _result(problem, columns, certificate, claimed, limits.gap, answer.limit)
    warm.supports.append(result.support)
    return replace(
        result,
        nodes=answer.nodes,
        time_s=time.monotonic() - started,
        method="oa",
        backend=backend,
        statistics={**answer.statistics, "proof_nodes": float(outcome.nodes)},
    )


def _result(
    problem: Problem,
    columns: Int[Array, "p"],
    certificate: Certificate,
    claimed: Bounds,
    gap: float,
    limit: Limit | None,
) -> Result:
    """What a certificate's incumbent and a claim make of a result of the native engine."""
    support = certificate.arrays["support"].astype(int)
    beta = certificate.arrays["beta"]
    intercept = float(certificate.arrays["intercept"][0])
    status, limit = _ending(claimed, gap, limit)
    return Result(
        k=problem.k,
        support=support,
        beta=beta,
        intercept=intercept,
        objective=claimed.upper,
        probe=Probe.of(problem, support, beta, intercept),
        status=status,
        limit=limit,
        claimed=claimed,
        scope=_scope(problem, columns),
        candidates=len(columns),
        nodes=0,
        time_s=0.0,
        method="bnb",
        certificate=certificate,
    )


def _certified(
    problem: Problem, columns: Int[Array, "p"], outcome: Outcome, method: str
) -> tuple[Certificate, Bounds]:
    """The certificate of a search, its incumbent refitted on the source columns."""
    support = outcome.incumbent.support
    beta, intercept, upper = polish(problem, outcome.incumbent)
    bounds = Bounds(min(outcome.lower, upper), upper)
    certificate = outcome.proof.certificate(
        problem, _scope(problem, columns), columns, support, beta, intercept, bounds, method
    )
    return certificate, bounds


def _ending(bounds: Bounds, gap: float, limit: Limit | None) -> tuple[Status, Limit | None]:
    """Optimal within the gap (up to rounding), or feasible with what stopped it."""
    if bounds.gap <= gap * (1.0 + 1e-9):
        return Status.OPTIMAL, None
    return Status.FEASIBLE, limit or Limit.STALLED


def polish(problem: Problem, found: Incumbent) -> tuple[Array, float, float]:
    """Coefficients, intercept and objective of a support, from the source columns in float64."""
    rows = problem.rows
    columns = problem.data.columns(found.support, problem.data.train)
    start = np.append(found.beta, found.intercept)
    solution = fit_support(columns, rows, start).solution[0]
    beta, intercept = solution[:-1], float(solution[-1])
    return beta, intercept, problem.objective(found.support, beta, intercept)


def judge(problem: Problem, certificate: Certificate) -> Verdict:
    """The independent checker's verdict on a certificate for this problem's data."""
    data = problem.data
    held = np.ones(len(data.y), bool)
    held[data.train] = False
    weights = data.given if data.given is not None else data.weighting
    return verify(certificate, data.on_host(), data.y, test=held, weights=weights)


def with_verdict(problem: Problem, result: Result) -> Result:
    """The result with the checker's bounds.

    Should the checker refuse the certificate, which would be a defect of ours, a RuntimeWarning
    names the leaf and the result comes back feasible and without certificate: nothing that was
    computed is lost, nothing is overstated.
    """
    if result.certificate is None:
        return result
    verdict = judge(problem, result.certificate)
    if not verdict.valid:
        warnings.warn(
            f"the checker refused the certificate for k={problem.k}: {verdict.reason}; the result "
            "is claimed, not certified (please report this with the data and settings)",
            RuntimeWarning,
            stacklevel=2,
        )
        return replace(
            result, certificate=None, status=Status.FEASIBLE, limit=result.limit or Limit.STALLED
        )
    return replace(result, verified=Bounds(verdict.lower, verdict.upper))
