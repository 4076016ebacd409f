"""One entry for every exact method: `solve` for one k, `solve_path` for several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import get_args

import numpy as np
from jaxtyping import Int

from optprobe.engine.native import WarmStart
from optprobe.interrupt import Interrupt
from optprobe.memory import keep_freed_memory
from optprobe.prefilter import best_columns
from optprobe.problem import Problem
from optprobe.result import Limit, Limits, Result
from optprobe.run import Log, Method, Observe, Run
from optprobe.threads import single_threaded_blas, threads_limited
from optprobe.verdict import with_verdict

Array = np.ndarray


def solve(
    problem: Problem,
    *,
    method: Method = "bnb",
    backend: str | None = None,
    formulation: str | None = None,
    candidates: int | None = None,
    limits: Limits | None = None,
    start: Sequence[Int[Array, "s"]] = (),
    seed: int = 0,
    threads: int | None = None,
    log: Log | None = None,
    observe: Observe | None = None,
    proof: bool = True,
    check: bool = True,
) -> Result:
    """The k-sparse probe with its bounds; the arguments are those of `solve_path`."""
    results = solve_path(
        problem,
        [problem.k],
        method=method,
        backend=backend,
        formulation=formulation,
        candidates=candidates,
        limits=limits,
        start=start,
        seed=seed,
        threads=threads,
        log=log,
        observe=observe,
        proof=proof,
        check=check,
    )
    return next(results)


def solve_path(
    problem: Problem,
    ks: Sequence[int],
    *,
    method: Method = "bnb",
    backend: str | None = None,
    formulation: str | None = None,
    candidates: int | None = None,
    limits: Limits | None = None,
    start: Sequence[Int[Array, "s"]] = (),
    seed: int = 0,
    threads: int | None = None,
    log: Log | None = None,
    observe: Observe | None = None,
    proof: bool = True,
    check: bool = True,
) -> Iterator[Result]:
    """Solve for every k, each reusing the supports and dual points of those before it.

    Args:
        problem: data, loss and ridge; its own k is not used.
        ks: cardinalities, solved in increasing order.
        method: "bnb", the native engine; "oa", outer approximation on a MIP backend; "oa-plain",
            the same with cuts at integer points only and no root phase, as in the literature;
            "compact", a compact formulation on a solver that Pyomo can call.
        backend: solver of every method but "bnb": a name of `optprobe backends`, by default
            "highs"; of "compact" also any solver that Pyomo knows.
        formulation: of "compact": a name from the entry points "optprobe.formulations".
        candidates: keep this many columns by mean difference first, by covariance for squared
            error; None keeps all.
        limits: per k. Interruption (Ctrl-C) ends the current k with its incumbent and bound.
        start: supports in columns of X to begin from, say a heuristic's; one helps at its own
            size and at the next.
        seed: of the MIP backend; the native engine draws nothing.
        threads: processors to use; by default all for the native engine and one for a backend,
            whose callbacks wait for Python anyway.
        log: takes progress lines.
        observe: takes the bounds behind those lines, in seconds since the k began.
        proof: rebuild a checkable proof of a backend's answer: a tree over the dual points of its
            cuts and what the native engine adds to them. Without it the bounds are claims.
        check: run the independent checker on every certificate and fill `Result.verified`.

    Yields:
        One `Result` per k as soon as it is there.

    Raises:
        ValueError: unknown method, backend or formulation, k out of range, candidates fewer than
            k, threads < 1.
        BackendError: the solver is not installed, not licensed, or too small for the problem.
    """
    if not len(ks):
        raise ValueError("no k to solve for; pass at least one")
    if threads is not None and threads < 1:
        raise ValueError(f"threads={threads}: pass at least 1, or None for the default")
    _check_method(method, backend, formulation)
    problems = [problem.with_k(int(k)) for k in sorted(set(ks))]
    columns = problem.usable
    if candidates is not None:
        columns = best_columns(problems[-1], candidates)
    limits = limits or Limits()
    if formulation is not None:
        from optprobe.mip.compact import meeting  # Pyomo, if it is installed

        meeting(problem, formulation, backend or "highs", limits)
    run = Run(
        columns,
        "all columns" if len(columns) == len(problem.usable) else "these candidates",
        method,
        backend or "highs",
        formulation or "",
        limits,
        seed,
        threads,
        log,
        observe,
        proof,
        WarmStart(supports=[_start(problem, columns, support) for support in start]),
    )
    return _path(run, problems, check)


def _start(problem: Problem, columns: Int[Array, "p"], support: Int[Array, "s"]) -> Int[Array, "s"]:
    """The candidates of a support to begin from, increasing.

    Raises:
        ValueError: a column that no support may hold.
    """
    support = np.unique(np.asarray(support, np.int64))
    unusable = np.setdiff1d(support, problem.usable)
    if len(unusable):
        raise ValueError(
            f"start holds column {int(unusable[0])}, which is constant or not one of the "
            f"{problem.d} columns"
        )
    return np.intersect1d(support, columns)


def _check_method(method: str, backend: str | None, formulation: str | None) -> None:
    """Refuse combinations that mean nothing.

    Raises:
        ValueError: with the choices.
    """
    if method not in get_args(Method):
        raise ValueError(f"unknown method {method!r}; choose one of {', '.join(get_args(Method))}")
    if method == "bnb" and backend is not None:
        raise ValueError(f"backend={backend!r} belongs to the other methods; bnb needs no solver")
    if (method == "compact") != (formulation is not None):
        raise ValueError("formulation belongs to method 'compact', which needs one; pass both")


def _path(run: Run, problems: Sequence[Problem], check: bool) -> Iterator[Result]:
    """The generator behind `solve_path`, once its arguments have been checked."""
    keep_freed_memory()
    for problem in problems:
        with Interrupt() as interrupt, single_threaded_blas(), threads_limited(run.threads):
            solver = run.native if run.method == "bnb" else run.backed
            result = solver(problem, interrupt)
            if check:
                result = with_verdict(problem, result)
        yield result
        if interrupt.raised or result.limit is Limit.INTERRUPTED:
            return
