"""Claimed gap over time, one panel per instance, the hardest first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64

from optprobe.bench.instances import Instance
from optprobe.bench.report.figures import new_figure, save, style
from optprobe.bench.report.summary import Summary
from optprobe.bench.runs import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = np.ndarray

PANELS = 12
"""Instances shown at most."""

ACROSS = 3
FLOOR = 1e-6
"""Smallest gap on the logarithmic axis."""


def gap_curve(
    trace: Iterable[dict[str, float | None]],
) -> tuple[Float64[Array, "t"], Float64[Array, "t"]]:
    """(seconds, relative gap): at any time the best incumbent and the best bound until then."""
    lower, upper = -np.inf, np.inf
    seconds: list[float] = []
    gaps: list[float] = []
    for point in trace:
        low, high = point["lower"], point["upper"]
        lower = max(lower, -np.inf if low is None else low)
        upper = min(upper, np.inf if high is None else high)
        if np.isfinite(lower) and np.isfinite(upper):
            seconds.append(float(point["seconds"] or 0.0))
            gaps.append(max((upper - lower) / max(abs(upper), 1e-12), 0.0))
    return np.array(seconds), np.array(gaps)


def draw_traces(path: Path, summary: Summary, records: Sequence[Record]) -> None:
    """The first repetition of every solver on the hardest instances."""
    shown = sorted(summary.labels, key=lambda one: -_hardness(summary, one))[:PANELS]
    across = min(ACROSS, len(shown))
    down = -(-len(shown) // across)
    figure = new_figure(4.2 * across + 1.5, 2.8 * down + 0.4)
    panels = figure.subplots(down, across, squeeze=False)
    traces = {
        (Instance.from_json(record["instance"]).id, record["solver"]["name"]): record["trace"]
        for record in records
        if record["repetition"] == 0 and record.get("trace")
    }
    for axes, one in zip(panels.flat, shown, strict=False):
        curves = {i: traces.get((one, solver), []) for i, solver in enumerate(summary.solvers)}
        _panel(axes, summary, curves, summary.labels[one])
    for axes in panels.flat[len(shown) :]:
        axes.set_visible(False)
    lines = [panels[0, 0].plot([], [], **style(i))[0] for i in range(len(summary.solvers))]
    figure.legend(lines, summary.solvers, loc="outside right upper", frameon=False)
    save(figure, path)


def _hardness(summary: Summary, instance: str) -> float:
    """Sum of the times of all solvers, an unsolved run counting as the limit."""
    cells = [summary.cells.get((instance, solver)) for solver in summary.solvers]
    return sum(min(cell.seconds, summary.time_limit) for cell in cells if cell is not None)


def _panel(
    axes: Axes, summary: Summary, curves: dict[int, list[dict[str, Any]]], title: str
) -> None:
    """Gap over time on logarithmic axes."""
    for i, trace in curves.items():
        seconds, gaps = gap_curve(trace)
        if len(seconds):
            axes.step(
                np.maximum(seconds, 1e-3),
                np.maximum(gaps, FLOOR),
                where="post",
                lw=1.3,
                marker=".",
                ms=3,
                **style(i),
            )
    axes.axhline(max(summary.gap, FLOOR), color="#bbbbbb", lw=0.8, zorder=0)
    axes.set(xscale="log", yscale="log")
    axes.set_xlim(right=1.2 * summary.time_limit)
    axes.set_ylim(FLOOR / 2.0, 2.0)
    axes.set_title(title, fontsize=8)
    axes.set_xlabel("seconds", fontsize=8)
    axes.set_ylabel("claimed gap", fontsize=8)
    axes.tick_params(labelsize=7)
