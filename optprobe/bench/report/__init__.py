"""Reports on the runs of a folder. A new one is a file and a line in `write_reports`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optprobe.bench.report.html import write_html
from optprobe.bench.report.profile import draw_profile
from optprobe.bench.report.summary import Summary, summarise
from optprobe.bench.report.text import write_markdown
from optprobe.bench.report.traces import draw_traces
from optprobe.bench.runs import Record
from optprobe.bench.table import rows, write_tables


def write_reports(
    folder: Path, records: Sequence[Record], machine: Mapping[str, Any]
) -> Summary | None:
    """Parquet tables, report.md, profile.png, traces.png and report.html; None without records."""
    if not records:
        return None
    table = rows(records)
    write_tables(folder, records, table)
    summary = summarise(table, machine)
    write_markdown(folder / "report.md", summary)
    figures = {
        "Performance profile": folder / "profile.png",
        "Gap over time": folder / "traces.png",
    }
    draw_profile(figures["Performance profile"], summary)
    draw_traces(figures["Gap over time"], summary, records)
    write_html(folder / "report.html", summary, figures)
    return summary
