"""One run in a process of its own: python -m optprobe.bench.worker FOLDER

Reads FOLDER/spec.json. Writes FOLDER/answer.json once the solver has answered and again once the
checker has, and meanwhile, line by line, FOLDER/events.jsonl: the phases "solve" and "check" as
they begin, and the solver's bounds as they come. So what was known survives when the process does
not. Exit code 0 with an answer, whatever it says; anything else is a crash.
"""

from __future__ import annotations

import json
import math
import resource
import sys
import time
import traceback
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from optprobe.bench.instances import Instance, Synthetic
from optprobe.bench.runs import Outcome, Run
from optprobe.machine import peak_memory_mb
from optprobe.mip.backends.base import (
    BackendError,
    LicenceError,
    NotInstalledError,
    TooLargeError,
)
from optprobe.problem import Problem
from optprobe.progress import TracePoint
from optprobe.result import Bounds, Limit, Limits, Result
from optprobe.solver import solve
from optprobe.storage import write_json
from optprobe.verdict import with_verdict

SLACK = 1e-6
"""Relative to the gap asked for: what recomputing an objective may cost."""

AT_LIMIT = 0.95
"""Share of the time limit after which a solver without a gap closed has run out of time."""

WARM_UP_S = 2.0
"""Time limit of the problem that every solver is warmed up on."""

COMPILED = Instance(
    Synthetic(80, 100, relevant=2, rho=0.5, snr=1.0, placement="equal"),
    "logistic",
    lam=1e-3,
    k=4,
    candidates=None,
    seed=0,
)
"""Quickly solved, and yet enough work for the native engine to load everything that it compiles."""

OF_LIMIT = {
    Limit.TIME: Outcome.TIME,
    Limit.NODES: Outcome.NODES,
    Limit.MEMORY: Outcome.MEMORY,
    Limit.INTERRUPTED: Outcome.INTERRUPTED,
    Limit.STALLED: Outcome.STALLED,
}


OF_ERROR: dict[type[BackendError], Outcome] = {
    TooLargeError: Outcome.TOO_LARGE,
    LicenceError: Outcome.NO_LICENCE,
    NotInstalledError: Outcome.NOT_INSTALLED,
}


class Worker:
    """A run and the folder that it reports to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run = Run.from_json(json.loads((folder / "spec.json").read_text("utf-8")))
        self.answer: dict[str, Any] = {}

    def work(self) -> None:
        """Solve, answer, check, answer again."""
        with (self.folder / "events.jsonl").open("w", encoding="utf-8") as events:

            def tell(**event: Any) -> None:
                events.write(json.dumps(event) + "\n")
                events.flush()

            try:
                with address_space(self.run.settings.memory_gb):
                    self._solve(tell)
            except MemoryError as error:
                self._failed(Outcome.MEMORY, str(error) or "out of memory")
            except BackendError as error:
                self._failed(OF_ERROR.get(type(error), Outcome.CRASHED), str(error))
            except ValueError as error:
                if self.run.solver.method != "compact":
                    raise
                self._failed(Outcome.UNSUPPORTED, str(error))  # this loss, or this kind of model
            except KeyboardInterrupt:
                self._failed(Outcome.INTERRUPTED, "interrupted")

    def _solve(self, tell: Any) -> None:
        run = self.run
        problem = run.instance.problem()
        warm_up(run)
        tell(phase="solve")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", RuntimeWarning)
            result = solve(
                problem,
                **run.solver.arguments,
                candidates=run.instance.candidates,
                limits=run.settings.limits,
                seed=run.instance.seed,
                threads=run.settings.threads,
                observe=lambda point: tell(**point_json(point)),
                check=False,
            )
            self._write(answer_json(run, problem, result))
            tell(phase="check")
            started = time.monotonic()
            checked = with_verdict(problem, result)
        seconds = time.monotonic() - started
        self._write({"verified": bounds_json(checked.verified), "check_seconds": seconds})
        if caught:
            self._write({"detail": "; ".join(str(warning.message) for warning in caught)})

    def _failed(self, outcome: Outcome, detail: str) -> None:
        """An answer without a result; a check that fails leaves the solver's answer as it is."""
        if self.answer:
            self._write({"detail": f"not checked: {detail}"})
        else:
            self._write({"outcome": str(outcome), "detail": detail})

    def _write(self, more: dict[str, Any]) -> None:
        """Add to the answer on disk."""
        self.answer |= {**more, "peak_memory_mb": peak_memory_mb()}
        write_json(self.folder / "answer.json", self.answer)


def warm_up(run: Run) -> None:
    """The same solver on a tiny problem: imports and licences are looked up before the clock.

    The native engine, which searches for the proof of every solver's answer, compiles or loads
    what it compiled.
    """
    tiny = replace(
        run.instance,
        source=Synthetic(40, 6, relevant=2, rho=0.5, snr=1.0, placement="equal"),
        lam=0.1,
        k=2,
        candidates=None,
    )
    solve(
        tiny.problem(),
        **run.solver.arguments,
        limits=Limits(time_s=WARM_UP_S),
        threads=run.settings.threads,
    )
    solve(COMPILED.problem(), threads=run.settings.threads, check=False)


@contextmanager
def address_space(gigabytes: float) -> Generator[None, None, None]:
    """Within it the process may map so much memory, libraries included, and no more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    asked = int(gigabytes * 1e9)
    if hard != resource.RLIM_INFINITY:
        asked = min(asked, hard)
    resource.setrlimit(resource.RLIMIT_AS, (asked, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))  # room to say what happened


def answer_json(run: Run, problem: Problem, result: Result) -> dict[str, Any]:
    """What a result says, as plain values; the checker's part is filled in later.

    The solver is judged by its own incumbent: a better one that the search for a proof found
    would flatter it.
    """
    upper = result.claimed.upper
    if result.trace:
        upper = max(upper, result.trace[-1].upper)
    claimed = Bounds(result.claimed.lower, upper)
    seconds = result.statistics["solver_seconds"]
    relevant = run.instance.source.support(run.instance.seed)
    return {
        "outcome": str(judged(run, result, claimed, seconds)),
        "detail": result.refuted or "",
        "status": str(result.status),
        "limit": None if result.limit is None else str(result.limit),
        "objective": float(result.objective),
        "support": [int(j) for j in result.support],
        "recovered": None if relevant is None else share_found(relevant, result.support),
        "claimed": bounds_json(claimed),
        "verified": None,
        "check_seconds": None,
        "nodes": int(result.nodes),
        "solver_seconds": float(seconds),
        "proof_seconds": float(result.statistics.get("proof_seconds", 0.0)),
        "rows": len(problem.weights),
        "columns": problem.d,
        "searched": int(result.candidates),
        "trace": [point_json(point) for point in result.trace],
    }


def judged(run: Run, result: Result, claimed: Bounds, seconds: float) -> Outcome:
    """The outcome of a result; a gap closed after the time limit is not closed in time."""
    if result.refuted:
        return Outcome.REFUTED
    limit = run.settings.time_limit
    if claimed.gap <= run.settings.gap * (1.0 + SLACK):
        return Outcome.SOLVED if seconds <= limit else Outcome.TIME
    if result.limit is None:  # the proof went further than the solver whose run this is
        return Outcome.TIME if seconds >= AT_LIMIT * limit else Outcome.STALLED
    return OF_LIMIT[result.limit]


def share_found(relevant: Any, support: Any) -> float:
    """|relevant columns in the support| / |relevant columns|."""
    inside = {int(j) for j in support}
    return sum(int(j) in inside for j in relevant) / len(relevant)


def point_json(point: TracePoint) -> dict[str, float | None]:
    """A point of the trace; a bound that is infinite is null."""
    return {name: finite(value) for name, value in vars(point).items()}


def bounds_json(bounds: Bounds | None) -> dict[str, float | None] | None:
    """Bounds and their gap; what is infinite is null."""
    if bounds is None:
        return None
    values = {"lower": bounds.lower, "upper": bounds.upper, "gap": bounds.gap}
    return {name: finite(value) for name, value in values.items()}


def finite(value: float) -> float | None:
    """The number, or None where JSON has no word for it."""
    return float(value) if math.isfinite(value) else None


def main(folder: str) -> int:
    """Work in a folder; the exit code."""
    try:
        Worker(Path(folder)).work()
    except Exception:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
