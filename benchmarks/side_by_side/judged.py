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

from optprobe.bench.report.summary import FLOOR_S, Summary, reached, seconds_text
from optprobe.bench.runs import Outcome
from optprobe.bench.statistics import shifted_geometric_mean
from optprobe.bench.table import Row
from optprobe.result import Bounds

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
    return max(Bounds(lower, value).gap, 0.0)


def is_certified(row: Row) -> bool:
    """Whether it closed its own gap in time and the checker confirmed that."""
    return row["outcome"] == Outcome.SOLVED and reached(row, row["verified_gap"])


def spent(row: Row) -> float:
    """Seconds of the solver; the time limit where none are known: it was killed, or never ran."""
    seconds = row["solver_seconds"]
    return row["time_limit"] if seconds is None else max(seconds, FLOOR_S)


def with_verdicts(table: Sequence[Row]) -> list[Row]:
    """The rows with `judged_gap`, and with `optimal`: whether that is as small as asked for."""
    bounds = proved_bounds(table)
    judged = [(row, judged_gap(row, bounds)) for row in table]
    return [{**row, "judged_gap": gap, OPTIMAL: reached(row, gap)} for row, gap in judged]


def times_to_optimum(
    table: Sequence[Row], instances: Sequence[str], solvers: Sequence[str]
) -> Float64[Array, "solvers n"]:
    """Median seconds of the runs with an optimal answer, infinity where most have none."""
    found: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for row in table:
        found[row["solver"], row["instance"]].append(spent(row) if row[OPTIMAL] else np.inf)
    return np.array(
        [
            [statistics.median_high(found.get((solver, one), [np.inf])) for one in instances]
            for solver in solvers
        ]
    )


def cell(rows: Sequence[Row]) -> str:
    """Seconds, and what they brought; the outcome where no seconds are known. Of the last run."""
    if not rows:
        return ""
    row = rows[-1]
    outcome, gap = row["outcome"], row["judged_gap"]
    words = outcome.replace("_", " ")
    if outcome == Outcome.SOLVED:
        return f"**{seconds_text(spent(row))}**" + ("" if is_certified(row) else " \\*")
    refuted = outcome == Outcome.REFUTED
    if gap is None and not refuted:
        return words
    parts = [] if row["solver_seconds"] is None else [seconds_text(spent(row))]
    if refuted or not parts:
        parts.append(words)
    if gap is not None and (refuted or not row[OPTIMAL]):
        parts.append(f"{100.0 * gap:.2g} %")
    text = ", ".join(parts)
    return f"**{text}**" if refuted else text


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
        times = [min(spent(row), summary.time_limit) for row in rows]
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
                seconds_text(shifted_geometric_mean(np.array(times))),
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
        "geometric, whatever came out; a run that was killed or left out counts as the limit.",
        "The paper's scheme is outer approximation with cuts at integer points only, as Gurnee et "
        "al. 2023 run it on Gurobi, rebuilt with our fit of fixed supports. El0ps solves for a "
        "penalty, which is searched until its answer has k columns; its logistic loss, which has "
        "neither weights nor an intercept, is replaced by ours. El0ps and sparsely prove by their "
        "own word: they write nothing that could be checked.",
        *summary.circumstances,
    ]


def _lines(header: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    """One Markdown table."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return [f"| {' | '.join(cells)} |" for cells in (header, rule, *body)]
