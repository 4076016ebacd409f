"""What the native engine closes: python benchmarks/engine_table.py FILE ... [--regimes 0,3]

One row per regime, one column per file: seconds to solve, then seconds to check the certificate;
the gap that is left where the time limit came first. Logistic loss, gap 1e-4, one run each, in a
process that has loaded its compiled loops. Rows of the files' own training split.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np

from optprobe.files import read
from optprobe.machine import in_words, machine
from optprobe.problem import Problem
from optprobe.result import Limits
from optprobe.solver import solve_path
from optprobe.verdict import judge


class Regime(NamedTuple):
    """One row: candidates (None for the whole layer), ridge and the k that are solved in turn."""

    candidates: int | None
    lam: float
    ks: tuple[int, ...]

    @property
    def label(self) -> str:
        """As the table shows it."""
        columns = "whole layer" if self.candidates is None else f"{self.candidates} candidates"
        ks = f"{self.ks[0]}..{self.ks[-1]}" if len(self.ks) > 1 else str(self.ks[0])
        return f"{columns}, {self.lam:g}, {ks}"


REGIMES = (
    Regime(None, 1.0, tuple(range(1, 9))),
    Regime(50, 0.01, (4,)),
    Regime(50, 0.01, (5,)),
    Regime(128, 0.01, (4,)),
    Regime(None, 0.01, (1,)),
    Regime(None, 0.01, (2,)),
    Regime(None, 0.01, (3,)),
    Regime(None, 0.001, (2,)),
    Regime(None, 0.001, (3,)),
    Regime(None, 0.1, (3,)),
    Regime(None, 0.1, (5,)),
    Regime(None, 0.1, (8,)),
)


def problem_of(path: Path, lam: float, k: int) -> Problem:
    """The file's problem with logistic loss and balanced weights."""
    held = read(path)
    return Problem.of(
        held.X, held.y, k=k, lam=lam, names=held.names, test=held.test, groups=held.groups
    )


def cell(path: Path, regime: Regime, limit: float) -> str:
    """Seconds of the solves and of the checks, or the largest verified gap that is left."""
    problem = problem_of(path, regime.lam, regime.ks[-1])
    solve = check = gap = 0.0
    limits = Limits(time_s=limit)
    for result in solve_path(
        problem, regime.ks, candidates=regime.candidates, limits=limits, check=False
    ):
        assert result.certificate is not None
        verdict = judge(problem.with_k(result.k), result.certificate)
        if not verdict.valid:
            raise SystemExit(f"{path.name}, {regime.label}: refused, {verdict.reason}")
        solve, check, gap = solve + result.time_s, check + verdict.seconds, max(gap, verdict.gap)
    if gap > 1.001e-4:
        return f"{100 * gap:.2g} % at {limit:g} s"
    return f"{solve:.2g} / {check:.2g}"


def main() -> None:
    """Print the table, row by row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--regimes", default="", help="numbers of the rows, by default all")
    parser.add_argument("--time-limit", type=float, default=60.0, help="seconds for each k")
    arguments = parser.parse_args()
    chosen = [int(i) for i in arguments.regimes.split(",") if i] or range(len(REGIMES))
    print(in_words(machine()) + "\n")
    print("| columns, lam, k | " + " | ".join(path.stem for path in arguments.files) + " |")
    print("|---" * (len(arguments.files) + 1) + "|")
    for path in arguments.files[:1]:  # compiles, or loads what was compiled
        cell(path, Regime(50, 0.01, (4,)), np.inf)
    for number in chosen:
        cells = [cell(path, REGIMES[number], arguments.time_limit) for path in arguments.files]
        print(f"| {REGIMES[number].label} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
