"""The tables as Markdown, and for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from optprobe.bench.report.summary import Summary, grid, totals_grid

if TYPE_CHECKING:
    from rich.table import Table


def markdown(summary: Summary) -> str:
    """Totals, cells and how to read them."""
    parts = ["# Solver benchmark", ""]
    for header, body in (totals_grid(summary), grid(summary)):
        if body:
            parts += [*_lines(header, body), ""]
    parts += [f"- {note}" for note in summary.notes]
    return "\n".join(parts) + "\n"


def write_markdown(path: Path, summary: Summary) -> None:
    """`markdown` in a file."""
    path.write_text(markdown(summary), encoding="utf-8")


def _lines(header: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    """One Markdown table; the first column to the left, the others to the right."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return [f"| {' | '.join(cells)} |" for cells in (header, rule, *body)]


def tables(summary: Summary) -> list[Table]:
    """The same for a terminal."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    found: list[Table] = []
    for header, body in (grid(summary), totals_grid(summary)):
        if not body:
            continue
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for i, name in enumerate(header):
            table.add_column(escape(name), justify="right" if i else "left")
        for cells in body:
            table.add_row(*(escape(cell) for cell in cells))
        found.append(table)
    return found
