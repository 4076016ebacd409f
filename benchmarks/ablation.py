"""What each part of the native engine is worth: python benchmarks/ablation.py FILE ...

One part is off at a time, by replacing a constant or a function of the package from here. One table
per regime, a row for a part and a column for a file: processor seconds (other work on the machine
matters less to them), nodes / fits, and the seconds over those of "everything on"; > marks a run
that the time limit ended. The last column is the geometric mean of the ratios. The least of
--repeat runs counts, after one that does not; the parts take turns, so that drift hits all alike.
Where nodes and fits are those of "everything on", what differs is noise, or the speed of the same
work.
Logistic loss, balanced weights, gap 1e-4. Two runs that contradict each other end the command.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np

from optprobe.bench.worker import COMPILED
from optprobe.bounds import BranchBounds, branch_bounds
from optprobe.engine import centres, compiled, leaves, native, tree
from optprobe.engine.centres import Centre, Centres
from optprobe.engine.damping import limits
from optprobe.files import read
from optprobe.machine import in_words, machine
from optprobe.prefilter import Screened, screen
from optprobe.problem import Problem
from optprobe.result import Limits, Result
from optprobe.solver import solve

GAP = 1e-4

SLACK = 1e-9
"""Relative: what recomputing an objective may cost."""

Replacement = tuple[Any, str, Any]
"""An owner, the name of one of its attributes, and what takes its place."""


class Regime(NamedTuple):
    """Candidates (None for the whole layer), ridge and k."""

    candidates: int | None
    lam: float
    k: int

    @property
    def label(self) -> str:
        """As the heading shows it."""
        columns = "whole layer" if self.candidates is None else f"{self.candidates} candidates"
        return f"{columns}, lam = {self.lam:g}, k = {self.k}"


REGIMES = (
    Regime(50, 0.01, 4),
    Regime(128, 0.01, 4),
    Regime(None, 0.1, 3),
    Regime(None, 0.01, 2),
    Regime(None, 0.01, 3),
)


def unfixed() -> list[Replacement]:
    """Bounds of children just below the cutoff where they reach it: nothing is fixed by them."""
    cutoff, resolve = [np.inf], tree.Search.resolve

    def noted(search: tree.Search, *arguments: Any) -> list[tree.Node]:
        cutoff[0] = search.cutoff
        return resolve(search, *arguments)

    def below(*arguments: Any) -> BranchBounds:
        found, most = branch_bounds(*arguments), np.nextafter(cutoff[0], -np.inf)
        return replace(
            found,
            entering=np.minimum(found.entering, most),
            leaving=np.minimum(found.leaving, most),
        )

    return [(tree.Search, "resolve", noted), (tree, "branch_bounds", below)]


def unscreened(points: Any, k: int, free: Any, cutoff: float) -> Screened:
    """The root's bound, and every column left."""
    return screen(points, k, free, np.inf)


def never(*_: Any) -> bool:
    """No."""
    return False


def whole_fits(
    exact: Any, rows: Any, chosen: Any, supports: Any, cutoff: float, worth: Any, near: Any
) -> Any:
    """Every support of a leaf to the end."""
    return leaves.fit_leaf(exact, rows, chosen, supports, np.inf, worth, near)


def made_at_once(
    maker: Centres, forced: Any, free: Any, offset: Any, best: Centre, share: float
) -> Centre:
    """The centre of the next share itself, instead of what it would be about."""
    times = best.reach / limits(maker.rows).reach
    return maker.made(forced, free, offset, times, share, best.fit, best.used)


PARTS: dict[str, Callable[[], list[Replacement]]] = {
    "everything on": list,
    "no filter": lambda: [(leaves.Filter, "takes", never)],
    "centres with t = 0 only": lambda: [(centres, "SHARES", (0.0,))],
    "centres with t = 0.3 only": lambda: [(centres, "SHARES", (0.3,))],
    "centres of one reach": lambda: [(centres, "REACHES", (1.0, 1.0))],
    "every share's centre made": lambda: [(Centres, "about", made_at_once)],
    "no look at a sample": lambda: [(leaves, "BEYOND", np.inf)],
    "further centres at the mean": lambda: [(centres, "FURTHER", (1.0,))],
    "one centre only": lambda: [(leaves, "CENTRES", 1)],
    "filter before branching": lambda: [(tree, "NEAR", np.inf)],
    "no fixing in the tree": unfixed,
    "no hubs": lambda: [(leaves, "_hubs", lambda *_, **__: leaves.NO_COLUMNS)],
    "no compiled loops": lambda: [(compiled.Compiled, "worth", never)],
    "no screening at the root": lambda: [(native, "screen", unscreened)],
    "no early pruning of fits": lambda: [(tree, "fit_leaf", whole_fits)],
}
"""What a row is called, and what it replaces; an attribute that is not there is an error."""


@dataclass(frozen=True)
class Cell:
    """One solve."""

    seconds: float
    result: Result

    def words(self, full: Cell) -> str:
        """Beside the solve with everything on."""
        late = ">" if self.result.limit else ""
        fits = int(self.result.statistics["supports_fitted"])
        ratio = self.seconds / full.seconds
        return f"{late}{self.seconds:.2g} s, {self.result.nodes} / {fits}, {late}{ratio:.2g}"


def run(problem: Problem, candidates: int | None, part: str, limit: float) -> Cell:
    """Solve with a part off."""
    limits = Limits(gap=GAP, time_s=limit)
    with ExitStack() as off:
        for owner, name, value in PARTS[part]():
            off.enter_context(patch.object(owner, name, value))
        started = time.process_time()
        result = solve(problem, candidates=candidates, limits=limits, check=False)
        return Cell(time.process_time() - started, result)


def agree(cells: Sequence[Cell], where: str) -> None:
    """Every lower bound is below every objective.

    Raises:
        SystemExit: two runs contradict each other.
    """
    lower = max(cell.result.claimed.lower for cell in cells)
    upper = min(cell.result.objective for cell in cells)
    if lower > upper * (1.0 + SLACK):
        raise SystemExit(f"{where}: a bound of {lower!r} is above an objective of {upper!r}")


def measured(
    path: Path, regime: Regime, parts: Sequence[str], limit: float, repeat: int
) -> list[Cell]:
    """The quickest run of every part."""
    problem = read(path).problem(k=regime.k, lam=regime.lam)
    run(problem, regime.candidates, parts[0], limit)  # reads the rows, loads what is loaded late
    best = [run(problem, regime.candidates, part, limit) for part in parts]
    for _ in range(repeat - 1):
        for i, part in enumerate(parts):
            if best[i].result.limit is None:
                again = run(problem, regime.candidates, part, limit)
                best[i] = min(best[i], again, key=lambda cell: cell.seconds)
    agree(best, f"{path.name}, {regime.label}")
    return best


def table(
    paths: Sequence[Path], regime: Regime, parts: Sequence[str], limit: float, repeat: int
) -> None:
    """Print the rows of a regime."""
    columns = [measured(path, regime, parts, limit, repeat) for path in paths]
    print(f"\n### {regime.label}\n")
    print("| | " + " | ".join(path.stem for path in paths) + " | mean ratio |")
    print("|---" * (len(paths) + 2) + "|")
    for i, part in enumerate(parts):
        words = " | ".join(cells[i].words(cells[0]) for cells in columns)
        ratios = [cells[i].seconds / cells[0].seconds for cells in columns]
        late = ">" if any(cells[i].result.limit for cells in columns) else ""
        print(f"| {part} | {words} | {late}{np.exp(np.mean(np.log(ratios))):.2f} |", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--regimes", default="", help="numbers of the tables, by default all")
    parser.add_argument("--parts", default="", help="numbers of the rows beside 0, by default all")
    parser.add_argument("--time-limit", type=float, default=60.0, help="seconds a solve")
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    chosen = [int(i) for i in arguments.regimes.split(",") if i] or range(len(REGIMES))
    parts = [int(i) for i in arguments.parts.split(",") if i] or range(1, len(PARTS))
    names = list(PARTS)
    print(in_words(machine()))
    solve(COMPILED.problem(), check=False)  # compiles, or loads what was compiled
    for number in chosen:
        rows = [names[0], *(names[i] for i in parts)]
        table(arguments.files, REGIMES[number], rows, arguments.time_limit, arguments.repeat)


if __name__ == "__main__":
    main()
