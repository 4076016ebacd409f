"""A sparsity curve as a table: per k the exact probe, every heuristic and the controls."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from optprobe.curves import Curve, Estimate, Point

NAMES = 8
"""Columns of a support that are named in the table; the files have all."""


def curve_table(found: Curve) -> Table:
    """Per k one row a method; regrets against a lower bound are marked with <=."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from optprobe.curves.report.panels import heading

    title = escape(heading(found))
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in HEADS:
        left = name in ("probe", "support")
        table.add_column(name, justify="left" if left else "right", no_wrap=name != "support")
    for k in found.settings.ks:
        _section(table, found, k)
    for point in found.of("dense", "control"):
        table.add_row(*_cells(str(point.k), point), style="dim")
    return table


HEADS = (
    "k", "probe", "objective", "regret", "overlap", "test F1", "PR-AUC", "F1 of best - this",
    "s", "support",
)  # fmt: skip


def _section(table: Table, found: Curve, k: int) -> None:
    """The rows of one k."""
    from optprobe.curves.records import RANDOM, SHUFFLED

    rows: list[tuple[list[str], str]] = []
    exact = found.exact(k)
    if exact is not None:
        rows.append((_cells(str(k), exact), "bold"))
    for method in found.methods:
        rows += [(_cells(str(k), point), "") for point in found.of(method) if point.k == k]
    for method in (RANDOM, SHUFFLED):
        drawn = [point for point in found.of(method, "control") if point.k == k]
        if drawn:
            rows.append((_mean(k, drawn), "dim"))
    for number, (cells, style) in enumerate(rows):
        first = "" if number else cells[0]
        table.add_row(first, *cells[1:], style=style, end_section=number == len(rows) - 1)


def _cells(k: str, point: Point) -> list[str]:
    """One point."""
    from rich.markup import escape

    from optprobe.curves.report.panels import shown_names

    against, test = point.against, point.test
    label = point.label
    if point.solve is not None and not point.solve.certified:
        label = "best known, open"
    difference = against.f1_difference if against is not None and point.solve is None else None
    return [
        k,
        escape(label),
        f"{point.objective:.6f}",
        _regret(point),
        "" if against is None else f"{against.overlap:.2f}",
        _estimate(None if test is None else test["f1"]),
        _estimate(None if test is None else test["pr_auc"]),
        _estimate(difference, signed=True),
        f"{point.seconds:.2f}",
        escape(shown_names(point, NAMES)),
    ]


def _mean(k: int, points: list[Point]) -> list[str]:
    """A control, averaged over its seeds."""
    objective = sum(point.objective for point in points) / len(points)
    label = points[0].label + (f", mean of {len(points)}" if len(points) > 1 else "")
    tests: list[str] = []
    for metric in ("f1", "pr_auc"):
        values = [point.test[metric].value for point in points if point.test is not None]
        tests.append(f"{sum(values) / len(values):.3f}" if values else "-")
    return [str(k), label, f"{objective:.6f}", "", "", *tests, "", "", ""]


def _regret(point: Point) -> str:
    """Per cent; an open gap makes it an upper bound."""
    against = point.against
    if against is None or against.regret is None:
        return ""
    if point.solve is not None and point.solve.certified:
        return "certified"
    sign = "<= " if against.reference == "lower bound" else ""
    return f"{sign}{100.0 * against.regret:.2f} %"


def _estimate(estimate: Estimate | None, *, signed: bool = False) -> str:
    """A number with its interval."""
    if estimate is None:
        return "-"
    plus = "+" if signed else ""
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:{plus}.3f}"
    return f"{estimate.value:{plus}.3f} [{estimate.low:{plus}.3f}, {estimate.high:{plus}.3f}]"
