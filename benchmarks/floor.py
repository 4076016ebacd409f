"""Where a solve's time goes, beside the least it could take: python benchmarks/floor.py FILE ...

One table per file, a row for a regime of `engine_table.py` and a column for a part of the engine:
its seconds / its floor, the time that the bytes and flops that it cannot do without would take on
this machine at its best rates, which are measured first. What each part is counted for:

    relaxations   reads of Z, one for every product with all columns
    incumbent     the same, and one pass over the rows for every support that is fitted
    sums          M, K and the directions of every centre, at the rate of matrix products
    centres       nothing: their fits, and the bounds of samples
    supports      per set, the lines of the pair costs that are summed; per support of a small
                  node, its bound beside the others; E, M and K of a node once; nothing where
                  NumPy lists them
    fits          one pass over the rows for every support that is left, in float32, and the Gram
                  matrix of its columns
    rest          nothing: rows read and standardised, screening, the certificate

Seconds are wall time on all processors that may be used; a part's own, without the parts below it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
from engine_table import GAP, REGIMES, SLACK, Regime, asked, in_digits

from optprobe.bench.worker import COMPILED
from optprobe.engine import centres, column_sums, filter, leaves, native, pairs, tree
from optprobe.heuristics import fits
from optprobe.machine import in_words, machine
from optprobe.matrix.dense import DenseMatrix
from optprobe.result import Limits
from optprobe.solver import solve, solve_path
from optprobe.threads import in_threads, single_threaded_blas, workers

PARTS = {
    "relaxations": [(native, "root_relaxation"), (tree, "relax")],
    "incumbent": [
        (native, "rounded"),
        (native, "selected"),
        (native, "first_incumbent"),
        (tree.Search, "rounding_heuristic"),
    ],
    "sums": [(filter, "sums"), (column_sums, "sums")],
    "centres": [(centres.Centres, "centre"), (centres.Centres, "centre_of")],
    "supports": [(leaves.Filter, "_left")],
    "fits": [(tree.Search, "enumerate")],
}
"""Functions that are clocked, by the part that they are; whatever else runs is the rest."""

REST = "rest"

ROW = 40
"""Flops of a row's loss, entropy and weights beside its margin: a polynomial for e^-|m| and one for
the logarithm, and the sums."""


class Rates(NamedTuple):
    """What this machine does in a second: flops, and bytes read."""

    double: float
    single: float
    memory: float
    cache: float

    @classmethod
    def measured(cls) -> Rates:
        """The best of some turns, on all processors."""
        every, rng = range(workers()), np.random.default_rng(0)
        double = rng.standard_normal((1500, 1500))
        single, large, small = double.astype(np.float32), np.ones(2**25), np.ones(2**17)

        def rate(work: Callable[[], object], amount: float) -> float:
            best = math.inf
            for _ in range(5):
                started = time.perf_counter()
                in_threads(lambda _: work(), every)
                best = min(best, time.perf_counter() - started)
            return len(every) * amount / best

        return cls(
            rate(lambda: double @ double, 2.0 * 1500**3),
            rate(lambda: single @ single, 2.0 * 1500**3),
            rate(lambda: large @ large, large.nbytes),
            rate(lambda: [small @ small for _ in range(256)], 256.0 * small.nbytes),
        )


@dataclass
class Clock:
    """Seconds and floors of the parts."""

    rates: Rates
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys([*PARTS, REST], 0.0))
    floor: dict[str, float] = field(default_factory=lambda: dict.fromkeys([*PARTS, REST], 0.0))
    inside: list[str] = field(default_factory=lambda: [REST])
    since: float = field(default_factory=time.perf_counter)

    def turn(self) -> None:
        """What has passed is that of the part that runs."""
        now = time.perf_counter()
        self.seconds[self.inside[-1]] += now - self.since
        self.since = now

    def within(self, part: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """`work`, clocked as a part."""

        def clocked(*arguments: Any, **named: Any) -> Any:
            self.turn()
            self.inside.append(part)
            try:
                return work(*arguments, **named)
            finally:
                self.turn()
                self.inside.pop()

        return clocked

    def counted(self, work: Callable[..., Any], least: Callable[..., float]) -> Callable[..., Any]:
        """`work`, for which the part that runs needs at least `least` seconds."""

        def noted(*arguments: Any, **named: Any) -> Any:
            self.floor[self.inside[-1]] += least(*arguments, **named)
            return work(*arguments, **named)

        return noted


def needs(rates: Rates) -> list[tuple[Any, str, Callable[..., float]]]:
    """Functions, and the least seconds that a call of theirs takes."""

    def product(matrix: DenseMatrix, duals: Any) -> float:
        n, d = matrix.shape
        return max(matrix.transposed.nbytes / rates.memory, 2.0 * len(duals) * n * d / rates.double)

    def sums(forced: Any, free: Any, at: Any, clip: float) -> float:
        f, n = free.shape
        return n * f * (3.0 * f + 8.0 * (len(forced) + 1)) / rates.double

    def costs(at: filter.Quadratic, lam: float, size: int) -> float:
        return 3.0 * at.M.nbytes / rates.memory

    def lines(loops: Any, sets: Any, bar: float, last: bool) -> float:
        return sets.size * 8.0 * len(loops.E) / rates.cache

    def bounds(loops: Any, f: int, size: int) -> float:
        return math.comb(f, size) * (5.0 * size + 10.0) / rates.double

    def few(block: Any, supports: Any, rows: Any, **_: Any) -> float:
        return len(supports) * len(rows.w) * (4.0 * supports.shape[1] + ROW) / rates.double

    def many(columns: Any, rows: Any, chosen: Any, supports: Any, *_: Any) -> float:
        n, used = len(rows.w), len(np.unique(supports))
        passes = len(supports) * n * (4.0 * supports.shape[1] + ROW) / rates.single
        return passes + n * used * used / rates.double

    return [
        (DenseMatrix, "correlations", product),
        (filter, "sums", sums),
        (column_sums, "sums", sums),
        (pairs, "pair_costs", costs),
        (pairs.Loops, "longer", lines),
        (pairs.Loops, "every", bounds),
        (fits, "fit_supports", few),
        (tree, "fit_leaf", many),
    ]


def clocked(path: Path, regime: Regime, limit: float, rates: Rates) -> tuple[Clock, float]:
    """Solve a regime; the largest gap that is claimed."""
    problem, gap = regime.problem(path), 0.0
    limits = Limits(gap=GAP, time_s=regime.limit or limit)
    clock = Clock(rates)
    with ExitStack() as stack:
        for owner, name, least in needs(rates):
            work = clock.counted(getattr(owner, name), least)
            stack.enter_context(patch.object(owner, name, work))
        for part, functions in PARTS.items():
            for owner, name in functions:
                work = clock.within(part, getattr(owner, name))
                stack.enter_context(patch.object(owner, name, work))
        clock.since = time.perf_counter()
        candidates = regime.candidates
        for result in solve_path(
            problem, regime.ks, candidates=candidates, limits=limits, check=False
        ):
            gap = max(gap, result.claimed.gap)
        clock.turn()
    return clock, gap


def cells(clock: Clock) -> list[str]:
    """Of every part and of all: seconds / floor."""
    both = [(clock.seconds[part], clock.floor[part]) for part in [*PARTS, REST]]
    both.append((sum(clock.seconds.values()), sum(clock.floor.values())))
    return [in_digits(spent) + (f" / {in_digits(least)}" if least else "") for spent, least in both]


def main() -> None:
    """Print the rates, then the tables row by row."""
    arguments = asked(__doc__)
    chosen = [int(i) for i in arguments.regimes.split(",") if i] or range(len(REGIMES))
    with single_threaded_blas():
        rates = Rates.measured()
    print(in_words(machine()))
    double, single, memory, cache = (rate / 1e9 for rate in rates)
    print(f"{double:.0f} and {single:.0f} Gflop/s in float64 and float32, ", end="")
    print(f"{memory:.0f} and {cache:.0f} GB/s from memory and from a cache")
    solve(COMPILED.problem(), check=False)  # compiles, or loads what was compiled
    for path in arguments.files:
        print(f"\n### {path.stem}\n")
        print("| columns, lam, k | " + " | ".join([*PARTS, REST]) + " | all | times floor |")
        print("|---" * (len(PARTS) + 4) + "|")
        for regime in [REGIMES[number] for number in chosen]:
            clock, gap = clocked(path, regime, arguments.time_limit, rates)
            times = sum(clock.seconds.values()) / sum(clock.floor.values())
            left = f" ({100 * gap:.2g} % left)" if gap > GAP * (1.0 + SLACK) else ""
            row = " | ".join(cells(clock))
            print(f"| {regime.label}{left} | {row} | {times:.1f} |", flush=True)


if __name__ == "__main__":
    main()
