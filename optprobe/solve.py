"""One entry for every exact method: `solve` for one k, `solve_path` for several."""

# ruff: noqa: F722
from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Int

from optprobe.engine.interrupt import Interrupt
from optprobe.engine.native import Memory, Outcome, branch_and_bound
from optprobe.prefilter import best_columns
from optprobe.problem import Problem
from optprobe.result import Bounds, Limit, Limits, Result, Scope, Status
from optprobe.support import Rows, fit_support
from optprobe.verify import verify

if TYPE_CHECKING:
    from optprobe.certificate import Certificate
    from optprobe.verify import Verdict

Array = np.ndarray
Method = Literal["bnb", "oa"]
Log = Callable[[str], None]


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
    memory = Memory()
    for problem in problems:
        with Interrupt() as interrupt:
            started = time.monotonic()
            if method == "bnb":
                result = _native(problem, columns, limits, memory, log, interrupt, started)
            else:
                result = _outer(
                    problem, columns, backend, limits, seed, memory, log, interrupt, started
                )
        if check and result.certificate is not None:
            result = with_verdict(problem, result)
        yield result
        if interrupt.raised:
            return


def _scope(problem: Problem, columns: Int[Array, "p"]) -> Scope:
    return "all columns" if len(columns) == len(problem.usable) else "these candidates"


def _native(
    problem: Problem,
    columns: Int[Array, "p"],
    limits: Limits,
    memory: Memory,
    log: Log | None,
    interrupt: Interrupt,
    started: float,
) -> Result:
    """Run the native engine and write its certificate."""
    outcome = branch_and_bound(
        problem, columns, limits, memory=memory, log=log, stop=lambda: interrupt.raised
    )
    support = outcome.incumbent.support
    beta, intercept, upper = polish(problem, support)
    lower = min(outcome.lower, upper)
    reached = upper - lower <= limits.gap * abs(upper) * (1.0 + 1e-9)
    status, limit = _ending(reached, outcome.limit)
    scope = _scope(problem, columns)
    certificate = outcome.proof.certificate(
        problem, scope, columns, support, beta, intercept, lower, upper, "bnb"
    )
    return Result(
        k=problem.k,
        support=support,
        beta=beta,
        intercept=intercept,
        objective=upper,
        status=status,
        limit=limit,
        claimed=Bounds(lower, upper),
        scope=scope,
        candidates=len(columns),
        nodes=outcome.nodes,
        time_s=time.monotonic() - started,
        method="bnb",
        statistics=outcome.statistics,
        certificate=certificate,
    )


def _ending(reached: bool, limit: Limit | None) -> tuple[Status, Limit | None]:
    """Optimal within the gap, or feasible with what stopped it."""
    if reached:
        return Status.OPTIMAL, None
    return Status.FEASIBLE, limit or Limit.STALLED


def polish(problem: Problem, support: Int[Array, "s"]) -> tuple[Array, float, float]:
    """Coefficients, intercept and objective of a support, from the source columns in float64."""
    rows = Rows(problem.y, problem.weights, problem.loss, problem.lam)
    fits = fit_support(problem.data.columns(support, problem.data.train), rows)
    beta, intercept = fits.beta[0], float(fits.intercept[0])
    return beta, intercept, problem.objective(support, beta, intercept)


def judge(problem: Problem, certificate: Certificate) -> Verdict:
    """The independent checker's verdict on a certificate for this problem's data."""
    data = problem.data
    held = np.ones(len(data.y), bool)
    held[data.train] = False
    weights = data.given if data.given is not None else data.weighting
    return verify(certificate, data.on_host(), data.y, test=held, weights=weights)


def with_verdict(problem: Problem, result: Result) -> Result:
    """The result with the checker's bounds.

    Raises:
        RuntimeError: the checker refused our own certificate, which is a defect worth a report.
    """
    assert_certificate = result.certificate
    if assert_certificate is None:
        return result
    verdict = judge(problem, assert_certificate)
    if not verdict.valid:
        raise RuntimeError(
            f"the checker refused the certificate for k={problem.k}: {verdict.reason}; "
            "please report this with the data and settings"
        )
    return replace(result, verified=Bounds(verdict.lower, verdict.upper))
