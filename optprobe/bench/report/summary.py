"""Instances x solvers: one cell each, and one line of totals per solver.

The time of a cell is the median of its repetitions, infinity standing for one that is not solved.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from optprobe.bench.runs import Outcome
from optprobe.bench.statistics import SHIFT_S, share_solved, shifted_geometric_mean
from optprobe.bench.table import Row

Array = np.ndarray

FLOOR_S = 1e-3
"""Shorter times are the clock's: they count as this in every ratio."""


@dataclass(frozen=True)
class Cell:
    """One solver on one instance.

    Attributes:
        seconds: median time to the gap, infinity if most repetitions did not reach it.
        solved, runs: repetitions.
        gap: median claimed gap of those that did not reach it, None where there is no bound.
        outcome: the commonest of those that did not, "solved" if all did.
        certified: every solved repetition's gap was confirmed by the checker.
    """

    seconds: float
    solved: int
    runs: int
    gap: float | None
    outcome: str
    certified: bool

    @property
    def text(self) -> str:
        """Seconds, or the gap that is left, or why there is neither."""
        if np.isfinite(self.seconds):
            some = "" if self.solved == self.runs else f" ({self.solved}/{self.runs})"
            return f"{seconds_text(self.seconds)}{'' if self.certified else '*'}{some}"
        if self.gap is not None and self.outcome in (Outcome.TIME, Outcome.NODES, Outcome.STALLED):
            return f"{self.outcome}, {100.0 * self.gap:.2g} %"
        return self.outcome.replace("_", " ")


@dataclass(frozen=True)
class Total:
    """One solver over all instances that every solver has been run on."""

    solver: str
    share: float
    mean: float
    outcomes: str


@dataclass(frozen=True)
class Summary:
    """What the reports show.

    Attributes:
        labels: instance id -> row label.
        solvers: columns, in the order in which they were met.
        cells: (instance id, solver) -> cell; a run that is still to be done has none.
        complete: instances with a cell for every solver: totals and profiles are over these.
        times: of the solvers on these instances, infinity where not solved.
    """

    labels: dict[str, str]
    solvers: list[str]
    cells: dict[tuple[str, str], Cell]
    complete: list[str]
    times: Float64[Array, "solvers n"]
    totals: list[Total]
    time_limit: float
    gap: float
    machine: Mapping[str, Any]

    @property
    def notes(self) -> list[str]:
        """How to read the tables."""
        return [
            f"Cells: seconds of the solver alone to a claimed gap of {self.gap:g}, or the outcome "
            f"and the claimed gap after {self.time_limit:g} s. A star: the independent checker did "
            "not confirm that gap.",
            f"Totals: over the {len(self.complete)} of {len(self.labels)} instances that every "
            f"solver was run on; shifted geometric mean with a shift of {SHIFT_S:g} s, an instance "
            "that was not solved, whatever the reason, counting as the time limit.",
            *self.circumstances,
        ]

    @property
    def circumstances(self) -> list[str]:
        """What the times depend on."""
        facts = self.machine
        versions = ", ".join(f"{name} {at}" for name, at in facts["packages"].items() if at)
        return [
            "Times compare only if one run at a time had the machine (--jobs 1) and nothing else "
            "ran on it.",
            f"Machine: {facts['processor']}, {facts['cores']} cores, {facts['memory_gb']} GB, "
            f"Python {facts['python']}, {versions}.",
        ]


def summarise(table: Sequence[Row], machine: Mapping[str, Any]) -> Summary:
    """Cells and totals of a table with at least one row."""
    groups: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
    seeded: defaultdict[str, set[int]] = defaultdict(set)
    for row in table:
        groups[row["instance"], row["solver"]].append(row)
        seeded[row["instance_name"]].add(row["seed"])
    labels = {
        row["instance"]: row["instance_name"]
        + (f" seed {row['seed']}" if len(seeded[row["instance_name"]]) > 1 else "")
        for row in sorted(table, key=_order)
    }
    solvers = sorted({solver for _, solver in groups}, key=lambda name: (name != "native", name))
    cells = {key: _cell(group) for key, group in groups.items()}
    complete = [one for one in labels if all((one, solver) in cells for solver in solvers)]
    times = np.array([[cells[one, solver].seconds for one in complete] for solver in solvers])
    limit = float(table[0]["time_limit"])
    totals = [
        _total(solver, times[i], [cells[one, solver].outcome for one in complete], limit)
        for i, solver in enumerate(solvers)
        if complete
    ]
    return Summary(
        labels,
        solvers,
        cells,
        complete,
        times,
        totals,
        limit,
        float(table[0]["gap_asked"]),
        machine,
    )


def _order(row: Row) -> tuple[Any, ...]:
    """Synthetic before real, small before large, few columns before many."""
    size = (row["rows"] or 0) * (row["searched"] or 0)
    return (row["source"] != "synthetic", size, row["loss"], -row["lam"], row["k"], row["instance"])


def _cell(group: Sequence[Row]) -> Cell:
    """The repetitions of one solver on one instance."""
    done = [row for row in group if row["outcome"] == Outcome.SOLVED]
    open_ = [row for row in group if row["outcome"] != Outcome.SOLVED]
    times = [float(row["solver_seconds"]) for row in done] + [np.inf] * len(open_)
    gaps = [row["claimed_gap"] for row in open_ if row["claimed_gap"] is not None]
    outcomes = Counter(row["outcome"] for row in open_)
    return Cell(
        seconds=max(_median(times), FLOOR_S),
        solved=len(done),
        runs=len(group),
        gap=_median(gaps) if gaps else None,
        outcome=outcomes.most_common(1)[0][0] if open_ else str(Outcome.SOLVED),
        certified=all(reached(row, row["verified_gap"]) for row in done),
    )


def _median(values: Sequence[float]) -> float:
    """The upper median: of an even number the larger of the middle two, infinity included."""
    return float(sorted(values)[len(values) // 2])


def reached(row: Row, gap: float | None) -> bool:
    """Whether a proved gap is as small as the run was asked for, up to the checker's rounding."""
    return gap is not None and gap <= row["gap_asked"] * (1.0 + 1e-6) + 1e-9


def _total(solver: str, times: Array, outcomes: Sequence[str], limit: float) -> Total:
    """Share solved, mean and what the others ended with."""
    counted = np.where(np.isfinite(times), times, limit)
    others = Counter(word.replace("_", " ") for word in outcomes if word != Outcome.SOLVED)
    said = ", ".join(f"{count} {word}" for word, count in others.most_common())
    return Total(solver, share_solved(times), shifted_geometric_mean(counted), said)


def seconds_text(seconds: float) -> str:
    """Three digits, never more than the clock is worth."""
    return (
        f"{seconds:.3f}"
        if seconds < 1.0
        else f"{seconds:.3g}"
        if seconds < 100.0
        else f"{seconds:.0f}"
    )


def grid(summary: Summary) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table of cells."""
    body = [
        [label, *(_text(summary.cells.get((one, solver))) for solver in summary.solvers)]
        for one, label in summary.labels.items()
    ]
    return ["instance", *summary.solvers], body


def _text(cell: Cell | None) -> str:
    return "" if cell is None else cell.text


def totals_grid(summary: Summary) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table of totals."""
    body = [
        [total.solver, f"{100.0 * total.share:.0f} %", seconds_text(total.mean), total.outcomes]
        for total in summary.totals
    ]
    return ["solver", "solved", "shifted geometric mean, s", "other outcomes"], body
