"""One run of the side-by-side benchmark: python worker.py PEERS_PYTHON FOLDER

Does what `optprobe.bench.worker` does, with the same files in FOLDER, and knows two more kinds of
solver: "heuristic", a name of `optprobe.heuristics`, and "peer", a tool in the environment of
PEERS_PYTHON that NAME_solve.py beside this file runs. Whatever they answer is fitted again on its
support, in float64, as our problem.
"""

from __future__ import annotations

import json
import subprocess
import sys
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from exchange import Task
from jaxtyping import Int

from optprobe.bench import worker as ours
from optprobe.bench.instances import Synthetic
from optprobe.bench.runs import Outcome, Run
from optprobe.heuristics import get_heuristic
from optprobe.machine import peak_memory_mb
from optprobe.prefilter import best_columns
from optprobe.problem import Problem
from optprobe.progress import TracePoint
from optprobe.result import Bounds
from optprobe.statistics import refit
from optprobe.storage import write_json

Array = np.ndarray

TINY = Synthetic(60, 8, relevant=2, rho=0.5, snr=2.0, placement="equal")
"""Heuristics are warmed up on it."""


class Worker:
    """A run that `optprobe.bench.worker` does not know, and the folder that it reports to."""

    def __init__(self, run: Run, folder: Path, peers_python: Path) -> None:
        self.run, self.folder, self.peers_python = run, folder, peers_python
        self.problem: Problem = run.instance.problem()
        kept = run.instance.candidates
        self.columns: Int[Array, "p"] = (
            self.problem.usable if kept is None else best_columns(self.problem, kept)
        )
        self.trace: list[TracePoint] = []

    def work(self) -> None:
        """Answer; a later answer replaces an earlier one, so that a kill leaves the last."""
        with (self.folder / "events.jsonl").open("w", encoding="utf-8") as self.events:
            peer = self.run.solver.method == "peer"
            for answer in self._peer() if peer else self._heuristic():
                write_json(self.folder / "answer.json", {**answer, **self._facts()})

    def _heuristic(self) -> Iterator[dict[str, Any]]:
        run = self.run
        heuristic = get_heuristic(run.solver.name)
        try:
            heuristic.load()
        except ImportError as error:
            yield {"outcome": Outcome.NOT_INSTALLED, "detail": str(error)}
            return
        tiny = replace(run.instance, source=TINY, k=2, candidates=None).problem()
        try:
            heuristic.path(tiny, [2])
            self._tell(phase="solve")
            (choice,) = heuristic.path(
                self.problem, [run.instance.k], columns=self.columns, seed=run.instance.seed
            )
        except ValueError as error:
            yield {"outcome": Outcome.UNSUPPORTED, "detail": str(error)}
            return
        claimed = Bounds(-np.inf, refit(self.problem, choice.support).objective)
        yield self._answer(choice.support, claimed, choice.seconds, Outcome.NO_BOUND, "")

    def _peer(self) -> Iterator[dict[str, Any]]:
        if self.problem.loss_name != "logistic":
            yield {"outcome": Outcome.UNSUPPORTED, "detail": "it fits the logistic loss only"}
            return
        if not self.peers_python.exists():
            why = f"{self.peers_python} does not exist; `make bench` installs it"
            yield {"outcome": Outcome.NOT_INSTALLED, "detail": why}
            return
        path = self.folder / "task.npz"
        self._task().write(path)
        script = Path(__file__).with_name(f"{self.run.solver.name}_solve.py")
        child = subprocess.Popen(
            [str(self.peers_python), str(script), str(path)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        for line in child.stdout:
            told = json.loads(line)
            if "phase" in told:
                self._tell(**told)
            else:
                yield self._told(told)
        if child.wait():
            raise RuntimeError(f"{script.name} ended with exit code {child.returncode}")

    def _task(self) -> Task:
        """The problem as plain arrays."""
        problem, instance, settings = self.problem, self.run.instance, self.run.settings
        Z = problem.matrix.columns(self.columns)
        return Task(
            Z, problem.y, problem.weights, problem.lam, problem.k,
            settings.time_limit, settings.gap, instance.seed,
        )  # fmt: skip

    def _told(self, told: dict[str, Any]) -> dict[str, Any]:
        """The answer that a peer's line makes."""
        support = self.columns[np.array(told["support"], int)]
        lower = -np.inf if told["lower"] is None else told["lower"]
        claimed = Bounds(lower, refit(self.problem, support).objective)
        self.trace.append(TracePoint(told["seconds"], claimed.lower, claimed.upper))
        self._tell(**ours.point_json(self.trace[-1]))
        return self._answer(support, claimed, told["seconds"], *self._outcome(claimed, told))

    def _outcome(self, claimed: Bounds, told: dict[str, Any]) -> tuple[Outcome, str]:
        """What a peer's line amounts to, and why."""
        settings = self.run.settings
        if told["end"] in ("", "time") or told["seconds"] > settings.time_limit:
            return Outcome.TIME, ""
        if told["lower"] is None:
            return Outcome.NO_BOUND, f"{told['end']}, on rows of equal weight: not our objective"
        if claimed.gap <= settings.gap * (1.0 + ours.SLACK):
            return Outcome.SOLVED, ""
        return Outcome.STALLED, told["end"]

    def _answer(
        self,
        support: Int[Array, "s"],
        claimed: Bounds,
        seconds: float,
        outcome: Outcome,
        detail: str,
    ) -> dict[str, Any]:
        """The keys of a record."""
        relevant = self.run.instance.source.support(self.run.instance.seed)
        return {
            "outcome": str(outcome),
            "detail": detail,
            "objective": claimed.upper,
            "support": [int(j) for j in support],
            "recovered": None if relevant is None else ours.share_found(relevant, support),
            "claimed": ours.bounds_json(claimed),
            "solver_seconds": seconds,
            "trace": [ours.point_json(point) for point in self.trace],
        }

    def _facts(self) -> dict[str, Any]:
        """What every answer has."""
        return {
            "rows": len(self.problem.weights),
            "columns": self.problem.d,
            "searched": len(self.columns),
            "peak_memory_mb": peak_memory_mb() if self.run.solver.method == "heuristic" else None,
        }

    def _tell(self, **event: Any) -> None:
        """One event for the watching process."""
        self.events.write(json.dumps(event) + "\n")
        self.events.flush()


def main(peers_python: str, folder: str) -> int:
    """One run; the exit code."""
    path = Path(folder)
    run = Run.from_json(json.loads((path / "spec.json").read_text("utf-8")))
    if run.solver.method not in ("heuristic", "peer"):
        return ours.main(folder)
    try:
        with ours.address_space(run.settings.memory_gb):
            Worker(run, path, Path(peers_python)).work()
    except Exception:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
