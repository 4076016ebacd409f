"""Every answer against what the checker proved: whose support is optimal, and how fast.

    judged gap = (f(answer, refitted) - L) / f(answer, refitted)

with L the largest verified lower bound of any run on the same instance. It asks nothing of the
method that gave the answer, neither a bound nor honesty.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Float64

from optprobe.bench.report.summary import FLOOR_S, Summary, seconds_text
from optprobe.bench.runs import Outcome
from optprobe.bench.statistics import shifted_geometric_mean
from optprobe.bench.table import Row

Array = np.ndarray

OPTIMAL = "optimal"
"""Column that `with_verdicts` adds, beside judged_gap."""

LABELS = {
    "native": "optprobe",
    "gurobi:plain": "paper's scheme on Gurobi",
    "gurobi": "Gurobi",
    "highs": "HiGHS",
    "scip": "SCIP",
    "el0ps": "El0ps",
    "abess": "abess",
    "fasterrisk": "FasterRisk",
    "transformer_lens": "TransformerLens",
    "local_search": "optprobe's local search",
}
"""Solver -> its name in tables and figures, where it differs."""


def answer(row: Row) -> float | None:
    """The refitted objective of a run's own answer, not of what its proof found later."""
    return row["objective"] if row["claimed_upper"] is None else row["claimed_upper"]


def proved_bounds(table: Iterable[Row]) -> dict[str, float]:
    """Instance -> largest verified lower bound; an instance without one is left out."""
    best: dict[str, float] = {}
    for row in table:
        lower = row["verified_lower"]
        if lower is not None:
            best[row["instance"]] = max(lower, best.get(row["instance"], -np.inf))
    return best


def judged_gap(row: Row, bounds: Mapping[str, float]) -> float | None:
    """Of a run's answer; None without an answer or without a proved bound."""
    value, lower = answer(row), bounds.get(row["instance"])
    if value is None or lower is None:
        return None
    return max(value - lower, 0.0) / max(abs(value), 1e-12)


def is_optimal(row: Row, gap: float | None) -> bool:
    """Whether an answer is within the gap asked for of a proved bound."""
    return gap is not None and _reached(row, gap)


def is_certified(row: Row) -> bool:
    """Whether it closed its own gap in time and the checker confirmed that."""
    gap = row["verified_gap"]
    return row["outcome"] == Outcome.SOLVED and gap is not None and _reached(row, gap)


def _reached(row: Row, gap: float) -> bool:
    """Whether a gap is the one asked for, up to rounding."""
    return gap <= row["gap_asked"] * (1.0 + 1e-6) + 1e-9


def with_verdicts(table: Sequence[Row]) -> list[Row]:
    """The rows with `judged_gap` and `optimal`."""
    bounds = proved_bounds(table)
    judged = [(row, judged_gap(row, bounds)) for row in table]
    return [{**row, "judged_gap": gap, OPTIMAL: is_optimal(row, gap)} for row, gap in judged]


def times_to_optimum(
    table: Sequence[Row], instances: Sequence[str], solvers: Sequence[str]
) -> Float64[Array, "solvers n"]:
    """Median seconds of the runs with an optimal answer, infinity where most have none."""
    found: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for row in table:
        seconds = max(row["solver_seconds"] or 0.0, FLOOR_S) if row[OPTIMAL] else np.inf
        found[row["solver"], row["instance"]].append(seconds)
    return np.array(
        [
            [statistics.median_high(found.get((solver, one), [np.inf])) for one in instances]
            for solver in solvers
        ]
    )


def cell(rows: Sequence[Row]) -> str:
    """Seconds, and what they brought; of the last repetition."""
    if not rows:
        return ""
    row = rows[-1]
    gap = row["judged_gap"]
    seconds = row["solver_seconds"]
    at = "" if seconds is None else seconds_text(max(seconds, FLOOR_S))
    if row["outcome"] == Outcome.REFUTED:
        return f"**{at}, refuted" + ("**" if gap is None else f", {100.0 * gap:.2g} %**")
    if row["outcome"] == Outcome.SOLVED:
        return f"**{at}**" if is_certified(row) else f"**{at}** \\*"
    if row[OPTIMAL]:
        return at
    if gap is not None:
        return f"{at}, {100.0 * gap:.2g} %".removeprefix(", ")
    return row["outcome"].replace("_", " ")


def markdown(table: Sequence[Row], summary: Summary) -> str:
    """Totals per solver, one line per instance, and how to read them."""
    by_cell: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in table:
        by_cell[row["instance"], row["solver"]].append(row)
    names = [label(solver) for solver in summary.solvers]
    body = [
        [name, *(cell(by_cell[one, solver]) for solver in summary.solvers)]
        for one, name in summary.labels.items()
    ]
    parts = ["# Side by side", "", *_lines(_TOTALS, totals(table, summary)), ""]
    parts += [*_lines(["instance", *names], body), ""]
    parts += [f"- {note}" for note in notes(summary)]
    return "\n".join(parts) + "\n"


_TOTALS = [
    "solver", "certified", "closed", "refuted", "optimal", "mean gap, %", "mean time, s",
]  # fmt: skip


def totals(table: Sequence[Row], summary: Summary) -> list[list[str]]:
    """One line a solver, over all its runs."""
    body: list[list[str]] = []
    for solver in summary.solvers:
        rows = [row for row in table if row["solver"] == solver]
        gaps = [row["judged_gap"] for row in rows if row["judged_gap"] is not None]
        spent = [min(row["solver_seconds"] or summary.time_limit, summary.time_limit)
                 for row in rows]  # fmt: skip
        counts = [
            sum(is_certified(row) for row in rows),
            sum(row["outcome"] == Outcome.SOLVED for row in rows),
            sum(row["outcome"] == Outcome.REFUTED for row in rows),
            sum(row[OPTIMAL] for row in rows),
        ]
        body.append(
            [
                label(solver),
                *(f"{count} of {len(rows)}" for count in counts),
                f"{100.0 * statistics.mean(gaps):.2g}" if gaps else "",
                seconds_text(shifted_geometric_mean(np.array(spent))),
            ]
        )
    return body


def label(solver: str) -> str:
    """The name of a solver in tables and figures."""
    return LABELS.get(solver, solver)


def notes(summary: Summary) -> list[str]:
    """How to read the tables."""
    return [
        f"Bold: the seconds in which a solver closed its own gap to {summary.gap:g}, certified by "
        "the checker; with a star, by its own word. Plain: the seconds to an answer, optimal "
        "within that gap or with how far it may be from the optimum: its refitted objective "
        "against the largest lower bound that the checker verified for any run. Refuted: it "
        "claimed a bound that another run's support lies below.",
        "Mean gap: over the instances with an answer and a verified bound. Mean time: shifted "
        "geometric, whatever came out; a run without an answer counts as the limit.",
        "The paper's scheme is outer approximation with cuts at integer points only, as Gurnee et "
        "al. 2023 run it on Gurobi, rebuilt with our fit of fixed supports. El0ps solves for a "
        "penalty, which is searched until its answer has k columns; its logistic loss, which has "
        "neither weights nor an intercept, is replaced by ours. El0ps and sparsely prove by their "
        "own word: they write nothing that could be checked.",
        *summary.notes[2:],
    ]


def _lines(header: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    """One Markdown table."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return [f"| {' | '.join(cells)} |" for cells in (header, rule, *body)]
