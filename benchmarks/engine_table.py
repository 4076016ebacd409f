"""What the native engine closes: python benchmarks/engine_table.py FILE ... [--regimes 0,3]

One row per regime, one column per file: seconds to solve, then seconds to check the certificate;
the gap that is left where the time limit came first. Logistic loss, balanced weights, gap 1e-4, one
run each, in a process that has loaded its compiled loops. Rows of the files' own training split.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

from optprobe.bench.worker import COMPILED
from optprobe.files import read
from optprobe.machine import in_words, machine
from optprobe.result import Limits
from optprobe.solver import solve, solve_path
from optprobe.verdict import judge

GAP = 1e-4

SLACK = 1e-3
"""Relative to the gap: what the checker's rounding may cost."""


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


def cell(path: Path, regime: Regime, limit: float) -> str:
    """Seconds of the solves and of the checks, or the largest verified gap that is left."""
    problem = read(path).problem(k=regime.ks[-1], lam=regime.lam)
    solving = checking = gap = 0.0
    limits = Limits(gap=GAP, time_s=limit)
    for result in solve_path(
        problem, regime.ks, candidates=regime.candidates, limits=limits, check=False
    ):
        assert result.certificate is not None
        verdict = judge(problem.with_k(result.k), result.certificate)
        if not verdict.valid:
            raise SystemExit(f"{path.name}, {regime.label}: refused, {verdict.reason}")
        solving, checking = solving + result.time_s, checking + verdict.seconds
        gap = max(gap, verdict.gap)
    if gap > GAP * (1.0 + SLACK):
        return f"{100 * gap:.2g} % at {limit:g} s"
    return f"{solving:.2g} / {checking:.2g}"


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
    solve(COMPILED.problem(), check=False)  # compiles, or loads what was compiled
    for number in chosen:
        cells = [cell(path, REGIMES[number], arguments.time_limit) for path in arguments.files]
        print(f"| {REGIMES[number].label} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
