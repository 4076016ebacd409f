"""Everything on one HTML page that asks nothing of the network."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from optprobe.bench.report.summary import Summary, grid, totals_grid

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums }
th, td { border-bottom: 1px solid #ddd; padding: .2rem .7rem; text-align: right }
th:first-child, td:first-child { text-align: left }
img { max-width: 100% }
"""


def write_html(path: Path, summary: Summary, figures: Mapping[str, Path]) -> None:
    """Tables, notes and the figures, embedded."""
    parts = ["<h1>Solver benchmark</h1>"]
    parts += [_table(*totals_grid(summary)), "<h2>Instances</h2>", _table(*grid(summary))]
    parts += [f"<p>{escape(note)}</p>" for note in summary.notes]
    for title, png in figures.items():
        data = base64.b64encode(png.read_bytes()).decode()
        parts.append(f"<h2>{escape(title)}</h2>")
        parts.append(f'<img alt="{escape(title)}" src="data:image/png;base64,{data}">')
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Solver benchmark</title>'
        f"<style>{STYLE}</style><body>{''.join(parts)}</body></html>\n"
    )
    path.write_text(page, encoding="utf-8")


def _table(header: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """One table; every cell is text."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    lines = ("".join(f"<td>{escape(cell)}</td>" for cell in cells) for cells in body)
    rows = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
