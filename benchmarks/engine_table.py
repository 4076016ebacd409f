"""What the native engine closes: python benchmarks/engine_table.py FILE ... [--regimes 0,3]

One row per regime, one column per file: seconds to solve, then seconds to check the certificate;
the gap that is left where the time limit came first. Balanced weights, gap 1e-4, one run each, in a
process that has loaded its compiled loops. Rows of the files' own training split. Where every
regime is asked for, a second table follows: correlated synthetic rows, one column per loss.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from optprobe.bench.instances import Instance, Synthetic
from optprobe.bench.worker import COMPILED
from optprobe.files import read
from optprobe.machine import in_words, machine
from optprobe.problem import Problem
from optprobe.result import Limits
from optprobe.solver import solve, solve_path
from optprobe.verdict import judge

GAP = 1e-4

SLACK = 1e-3
"""Relative to the gap: what the checker's rounding may cost."""


class Regime(NamedTuple):
    """One row: candidates (None for the whole layer), ridge and the k that are solved in turn.

    Attributes:
        by_root: whether the ridge is lam / sqrt(n), n training rows, instead of lam.
        limit: seconds for each k, None for those of the command.
    """

    candidates: int | None
    lam: float
    ks: tuple[int, ...]
    loss: str = "logistic"
    by_root: bool = False
    limit: float | None = None

    @property
    def label(self) -> str:
        """As the table shows it."""
        columns = "whole layer" if self.candidates is None else f"{self.candidates} candidates"
        ks = f"{self.ks[0]}..{self.ks[-1]}" if len(self.ks) > 1 else str(self.ks[0])
        lam = f"{self.lam:g}/sqrt(n)" if self.by_root else f"{self.lam:g}"
        loss = "" if self.loss == "logistic" else f", {self.loss}"
        return f"{columns}, {lam}, {ks}{loss}"

    def problem(self, path: Path) -> Problem:
        """On a file, at the largest k."""
        problem = read(path).problem(k=self.ks[-1], lam=self.lam, loss=self.loss)
        if not self.by_root:
            return problem
        return replace(problem, lam=self.lam / math.sqrt(len(problem.weights)))


REGIMES = (
    Regime(None, 1.0, tuple(range(1, 9))),
    Regime(50, 0.01, (4,)),
    Regime(50, 0.01, (5,)),
    Regime(50, 0.01, (8,), limit=300.0),
    Regime(128, 0.01, (4,)),
    Regime(None, 0.01, (1,)),
    Regime(None, 0.01, (2,)),
    Regime(None, 0.01, (3,)),
    Regime(None, 0.01, (4,), limit=300.0),
    Regime(None, 0.001, (2,)),
    Regime(None, 0.001, (3,)),
    Regime(None, 0.1, (3,)),
    Regime(None, 0.1, (5,)),
    Regime(None, 0.1, (8,)),
    Regime(None, 100.0, tuple(range(1, 9)), "hinge", by_root=True),  # the sparse-probing paper's
)

SYNTHETIC = Synthetic(4000, 1000, relevant=10, rho=0.5, snr=6.0, placement="equal")

SYNTHETIC_LOSSES = ("logistic", "hinge")


def cell(
    name: str, problem: Problem, ks: tuple[int, ...], candidates: int | None, limit: float
) -> str:
    """Seconds of the solves and of the checks, or the largest verified gap that is left."""
    solving = checking = gap = 0.0
    limits = Limits(gap=GAP, time_s=limit)
    for result in solve_path(problem, ks, candidates=candidates, limits=limits, check=False):
        assert result.certificate is not None
        verdict = judge(problem.with_k(result.k), result.certificate)
        if not verdict.valid:
            raise SystemExit(f"{name}, k={result.k}: refused, {verdict.reason}")
        solving, checking = solving + result.time_s, checking + verdict.seconds
        gap = max(gap, verdict.gap)
    if gap > GAP * (1.0 + SLACK):
        return f"{100 * gap:.2g} % at {limit:g} s"
    return f"{in_digits(solving)} / {in_digits(checking)}"


def in_digits(seconds: float) -> str:
    """Two digits, or all before the point."""
    return f"{seconds:.2g}" if seconds < 99.5 else f"{seconds:.0f}"


def synthetic_row(limit: float) -> str:
    """The cells of the second table; lam = 1/sqrt(n), k the number of relevant columns."""
    lam, k = 1.0 / math.sqrt(SYNTHETIC.n), SYNTHETIC.relevant
    cells: list[str] = []
    for loss in SYNTHETIC_LOSSES:
        problem = Instance(SYNTHETIC, loss, lam, k, candidates=None, seed=0).problem()
        cells.append(cell(f"{SYNTHETIC.name}, {loss}", problem, (k,), None, limit))
    return f"| {SYNTHETIC.n} x {SYNTHETIC.d}, 1/sqrt(n), {k} | " + " | ".join(cells) + " |"


def asked(about: str | None) -> argparse.Namespace:
    """Files, numbers of regimes and the time limit, from the command line."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--regimes", default="", help="numbers of the rows, by default all")
    parser.add_argument("--time-limit", type=float, default=60.0, help="seconds for each k")
    return parser.parse_args()


def main() -> None:
    """Print the tables, row by row."""
    arguments = asked(__doc__)
    chosen = [int(i) for i in arguments.regimes.split(",") if i]
    print(in_words(machine()) + "\n")
    print("| columns, lam, k | " + " | ".join(path.stem for path in arguments.files) + " |")
    print("|---" * (len(arguments.files) + 1) + "|")
    solve(COMPILED.problem(), check=False)  # compiles, or loads what was compiled
    for regime in [REGIMES[number] for number in chosen] or REGIMES:
        limit = regime.limit or arguments.time_limit
        cells = [
            cell(
                f"{path.name}, {regime.label}",
                regime.problem(path),
                regime.ks,
                regime.candidates,
                limit,
            )
            for path in arguments.files
        ]
        print(f"| {regime.label} | " + " | ".join(cells) + " |", flush=True)
    if not chosen:
        print("\n| n x d, lam, k | " + " | ".join(SYNTHETIC_LOSSES) + " |")
        print("|---" * (len(SYNTHETIC_LOSSES) + 1) + "|")
        print(synthetic_row(arguments.time_limit))


if __name__ == "__main__":
    main()
