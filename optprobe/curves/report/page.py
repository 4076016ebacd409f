"""The same panels on one HTML page that asks nothing of the network: Plotly is inside it (5 MB).

Names come from the data: they are escaped before they reach HTML or Plotly, whose labels are HTML.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from optprobe.curves.records import EXACT
from optprobe.curves.report.panels import Line, Overlap, Panel, heading, overlap, panels
from optprobe.curves.report.style import CONTROL, UNDECIDED, look, thinned
from optprobe.curves.report.text import notes
from optprobe.curves.result import Curve
from optprobe.plots import EXACT as BLACK
from optprobe.plots import PROVEN
from optprobe.storage import write_text

ACROSS = "columns in the probe, k"

POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; base-uri 'none'; form-action 'none'"
)
"""The browser itself refuses any request that the page might make."""

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 1.5rem auto; max-width: 95rem }
body { padding: 0 1rem }
h1 { font-size: 1.4rem } li { max-width: 70rem }
"""


def write_html(path: Path, curve: Curve) -> None:
    """The interactive page: zoom, hover for supports and intervals, click the legend to hide."""
    body = _figure(curve).to_html(
        full_html=False,
        include_plotlyjs=True,
        include_mathjax=False,
        config={"displaylogo": False, "responsive": True},
    )
    said = "".join(f"<li>{escape(note)}</li>" for note in notes(curve))
    title = escape(heading(curve))
    write_text(
        path,
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<title>{title}</title><style>{STYLE}</style></head><body><h1>{title}</h1>{body}"
        f"<ul>{said}</ul></body></html>\n",
    )


def _figure(curve: Curve) -> Any:
    """A grid of panels, three across."""
    from plotly.subplots import make_subplots

    shown = panels(curve)
    columns = 3 if len(shown) > 3 else 2
    titles = [panel.title for panel in shown]
    figure = make_subplots(
        rows=2,
        cols=columns,
        subplot_titles=[*titles, "overlap with the best support (Jaccard; * not certified)"],
        horizontal_spacing=0.07,
        vertical_spacing=0.13,
    )
    named: set[str] = set()
    for number, panel in enumerate(shown):
        row, col = number // columns + 1, number % columns + 1
        for trace in _traces(panel, named):
            figure.add_trace(trace, row=row, col=col)
        figure.update_xaxes(
            tickvals=np.log2(panel.ks).tolist(),
            ticktext=thinned(panel.ks),
            title=ACROSS,
            row=row,
            col=col,
        )
        figure.update_yaxes(title=panel.unit, row=row, col=col)
        if panel.ticks is not None:
            places, labels = zip(*panel.ticks, strict=True)
            top = 1.05 * max(places[-1], *(max(line.values, default=0.0) for line in panel.lines))
            figure.update_yaxes(
                tickvals=places, ticktext=labels, range=[-0.05 * top, top], row=row, col=col
            )
    number = len(shown)
    row, col = number // columns + 1, number % columns + 1
    figure.add_trace(_heat(overlap(curve)), row=row, col=col)
    figure.update_xaxes(title=ACROSS, type="category", row=row, col=col)
    figure.update_yaxes(autorange="reversed", type="category", row=row, col=col)
    figure.update_layout(
        template="plotly_white",
        height=900,
        margin={"l": 60, "r": 20, "t": 50, "b": 40},
        legend={"orientation": "h", "y": -0.08},
        hoverlabel={"align": "left"},
    )
    return figure


def _traces(panel: Panel, named: set[str]) -> list[Any]:
    """Areas first, then lines; a name enters the legend once."""
    from plotly.graph_objects import Scatter

    traces: list[Any] = []
    best = next((line for line in panel.lines if line.style == EXACT), None)
    if panel.empty and best is not None:
        at = np.log2([k for k, _ in panel.empty]).tolist()
        lower = [low for _, low in panel.empty]
        floor = min(lower) - 0.08 * (max(max(line.values, default=0.0) for line in panel.lines))
        known = dict(zip(best.ks, best.values, strict=True))
        upper = [known[k] for k, _ in panel.empty]
        traces += [
            _area(at, [max(floor, 0.0)] * len(at), lower, PROVEN, "proven empty", named),
            _area(at, lower, upper, UNDECIDED, "undecided", named),
        ]
    if panel.ceiling is not None:
        ends = [min(k for line in panel.lines for k in line.ks)]
        ends.append(max(k for line in panel.lines for k in line.ks))
        value, low, high = panel.ceiling.value, panel.ceiling.low, panel.ceiling.high
        said = f"dense, all columns: {value:.3f}"
        said += "" if low is None else f" [{low:.3f}, {high:.3f}]"
        traces.append(
            Scatter(
                x=np.log2(ends).tolist(), y=[value, value], mode="lines", name="dense, all columns",
                line={"color": CONTROL, "dash": "dashdot", "width": 1.5}, hovertext=[said, said],
                hoverinfo="text", legendgroup="dense", showlegend=_first("dense", named),
            )
        )  # fmt: skip
    for line in panel.lines:
        if line.ks:
            traces += _line(line, named)
    return traces


def _area(
    at: Sequence[float],
    low: Sequence[float],
    high: Sequence[float],
    colour: str,
    name: str,
    named: set[str],
    opacity: float = 0.5,
) -> Any:
    """A filled band."""
    from plotly.colors import hex_to_rgb
    from plotly.graph_objects import Scatter

    red, green, blue = hex_to_rgb(colour)
    return Scatter(
        x=[*at, *at[::-1]], y=[*high, *low[::-1]], fill="toself", mode="lines", line={"width": 0},
        fillcolor=f"rgba({red},{green},{blue},{opacity})", name=name, legendgroup=name,
        hoverinfo="skip", showlegend=_first(name, named),
    )  # fmt: skip


def _line(line: Line, named: set[str]) -> list[Any]:
    """A line with its markers, filled where certified, and the interval of the exact one."""
    from plotly.graph_objects import Scatter

    at, name = np.log2(line.ks).tolist(), escape(line.name)
    drawn, traces = look(line.style), list[Any]()
    if line.style == EXACT and line.low is not None and line.high is not None:
        traces.append(_area(at, line.low, line.high, BLACK, f"{name}: interval", named, 0.1))
    hover = [
        f"<b>{name}, k = {k}</b><br>{escape(note).replace(chr(10), '<br>')}"
        for k, note in zip(line.ks, line.notes, strict=True)
    ]
    symbols = [drawn.symbol if sure else f"{drawn.symbol}-open" for sure in line.certified]
    traces.append(
        Scatter(
            x=at, y=list(line.values), mode="lines+markers", name=name, legendgroup=name,
            showlegend=_first(name, named), hovertext=hover, hoverinfo="text",
            line={"color": drawn.colour, "dash": drawn.stroke, "width": drawn.width},
            marker={
                "symbol": symbols, "size": drawn.size + 1.5, "color": drawn.colour,
                "line": {"color": drawn.colour, "width": 1.5},
            },
        )
    )  # fmt: skip
    return traces


def _first(name: str, named: set[str]) -> bool:
    """Whether a name is new to the legend."""
    new = name not in named
    named.add(name)
    return new


def _heat(found: Overlap) -> Any:
    """Methods down, k across."""
    from plotly.graph_objects import Heatmap

    marks = ["" if sure else "*" for sure in found.certified]
    return Heatmap(
        z=[list(row) for row in found.values],
        x=[f"{k}{mark}" for k, mark in zip(found.ks, marks, strict=True)],
        y=[escape(name) for name in found.methods],
        zmin=0.0,
        zmax=1.0,
        colorscale="Cividis",
        showscale=False,
        xgap=2,
        ygap=2,
        texttemplate="%{z:.2g}" if len(found.ks) * len(found.methods) <= 150 else None,
        hovertemplate="%{y}, k = %{x}: %{z:.3f}<extra></extra>",
    )
