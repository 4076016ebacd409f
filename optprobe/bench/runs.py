"""One run: what is asked for, and the record of what came of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from optprobe.bench.instances import Instance
from optprobe.bench.specs import SolverSpec
from optprobe.result import Limits

Record = dict[str, Any]
"""A finished run as plain JSON values: the keys of `Run.as_json`, of the worker's answer, and
outcome, detail, exit_code, wall_seconds, cpu_seconds, peak_memory_mb, stderr."""


class Outcome(StrEnum):
    """What came of a run."""

    SOLVED = "solved"  # the claimed gap was reached within the time limit
    TIME = "time"
    NODES = "nodes"
    MEMORY = "memory"
    STALLED = "stalled"  # the method could do no more
    TOO_LARGE = "too_large"  # for the licence
    NO_LICENCE = "no_licence"
    NOT_INSTALLED = "not_installed"
    UNSUPPORTED = "unsupported"  # the solver does not take this problem
    NO_BOUND = "no_bound"  # an answer of a method that proves nothing
    REFUTED = "refuted"  # the claimed bound is false: some support lies below it
    CRASHED = "crashed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class Settings:
    """What all runs of one output folder have in common.

    Attributes:
        gap: relative gap at which a run is solved.
        time_limit: seconds of the solver.
        threads: of the solver and of BLAS.
        memory_gb: address space of a run, in 10^9 bytes.

    Raises:
        ValueError: a number out of range.
    """

    gap: float = 1e-4
    time_limit: float = 60.0
    threads: int = 1
    memory_gb: float = 8.0

    def __post_init__(self) -> None:
        if not 0.0 < self.time_limit < float("inf"):
            raise ValueError(f"time limit {self.time_limit}: pass seconds > 0")
        if not self.gap >= 0.0:
            raise ValueError(f"gap {self.gap}: pass a number >= 0")
        if self.threads < 1:
            raise ValueError(f"threads={self.threads}: pass at least 1")
        if not 0.0 < self.memory_gb < float("inf"):
            raise ValueError(f"memory of {self.memory_gb} GB: pass a number > 0")

    @property
    def limits(self) -> Limits:
        """For `solve`."""
        return Limits(gap=self.gap, time_s=self.time_limit)


@dataclass(frozen=True)
class Run:
    """One solver on one instance, once."""

    instance: Instance
    solver: SolverSpec
    repetition: int
    settings: Settings

    @property
    def id(self) -> str:
        """Fit for a file name; the same for the same run whatever else is planned."""
        text = json.dumps([self.instance.id, asdict(self.solver), self.repetition])
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        solver = self.solver.name.replace(":", "-")
        return f"{self.instance.id}.{solver}.{self.repetition}.{digest}"

    def as_json(self) -> dict[str, Any]:
        """Plain values that `from_json` takes."""
        return {
            "run": self.id,
            "instance": self.instance.as_json(),
            "solver": asdict(self.solver),
            "repetition": self.repetition,
            "settings": asdict(self.settings),
        }

    @classmethod
    def from_json(cls, held: dict[str, Any]) -> Run:
        """The run that `as_json` wrote."""
        return cls(
            Instance.from_json(held["instance"]),
            SolverSpec(**held["solver"]),
            held["repetition"],
            Settings(**held["settings"]),
        )


def plan(
    instances: Iterable[Instance],
    solvers: Iterable[SolverSpec],
    repetitions: int,
    settings: Settings,
) -> list[Run]:
    """All runs; the solvers of an instance follow each other, so that drift hits all alike.

    Raises:
        ValueError: fewer than one repetition.
    """
    if repetitions < 1:
        raise ValueError(f"repeat={repetitions}: pass at least 1")
    instances, solvers = list(instances), list(solvers)
    return [
        Run(instance, solver, repetition, settings)
        for repetition in range(repetitions)
        for instance in instances
        for solver in solvers
    ]
