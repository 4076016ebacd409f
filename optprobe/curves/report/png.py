"""The panels as small multiples in one PNG."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from optprobe.curves.records import EXACT
from optprobe.curves.report.panels import Line, Overlap, Panel, heading, overlap, panels
from optprobe.curves.report.style import CONTROL, UNDECIDED, look, thinned
from optprobe.curves.result import Curve
from optprobe.plots import EXACT as BLACK
from optprobe.plots import PROVEN

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DODGE = 0.02
"""Distance in log2 k between the intervals of two methods."""


def write_png(path: Path, curve: Curve) -> None:
    """All panels and the heat map; matplotlib is imported here."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = panels(curve)
    columns = 3 if len(shown) > 3 else 2
    figure = Figure(figsize=(5.0 * columns, 8.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, columns).ravel()
    figure.suptitle(heading(curve).replace("$", r"\$"), fontsize=13)  # no formula in a file name
    for panel, ax in zip(shown, axes, strict=False):
        _draw(ax, panel)
    _heat(axes[len(shown)], overlap(curve))
    for ax in axes[len(shown) + 1 :]:
        ax.set_axis_off()
    _legend(figure, axes)
    partial = path.with_name(path.name + ".partial")
    figure.savefig(partial, format="png", dpi=140)
    partial.replace(path)


def _legend(figure: Any, axes: Any) -> None:
    """One entry per name, below all panels."""
    from matplotlib.lines import Line2D

    entries: dict[str, Any] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    for label, fill in (("filled: certified", BLACK), ("hollow: not certified", "none")):
        entries[label] = Line2D([], [], color=BLACK, marker="o", mfc=fill, ms=6, ls="none")
    figure.legend(
        entries.values(), entries.keys(), loc="outside lower center", ncols=6, frameon=False,
        fontsize=9,
    )  # fmt: skip


def _draw(ax: Axes, panel: Panel) -> None:
    """One panel over log2 k."""
    ax.set_title(panel.title, fontsize=10)
    ax.set_ylabel(panel.unit)
    if panel.ceiling is not None:
        ceiling = panel.ceiling
        ax.axhline(ceiling.value, color=CONTROL, lw=1.2, ls="-.", label="dense, all columns")
        if ceiling.low is not None and ceiling.high is not None:
            ax.axhspan(ceiling.low, ceiling.high, color=CONTROL, alpha=0.12, lw=0)
    crowded = sum(isinstance(line.style, int) for line in panel.lines) > 6
    for line in panel.lines:
        _line(ax, line, crowded)
    _bounds(ax, panel)
    places = np.log2(panel.ks)
    ax.set_xticks(places, thinned(panel.ks))
    ax.set_xlim(places[0] - 0.15, places[-1] + 0.15)
    ax.set_xlabel("columns in the probe, k")
    if panel.ticks is not None:
        ax.set_yticks([at for at, _ in panel.ticks], [label for _, label in panel.ticks])
        ax.set_ylim(-0.3, panel.ticks[-1][0] + 0.3)
    ax.grid(axis="y", color="0.92", lw=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


def _bounds(ax: Axes, panel: Panel) -> None:
    """Below the proven bounds, and between them and the best support known."""
    if not panel.empty:
        return
    exact = next(line for line in panel.lines if line.style == EXACT)
    best = dict(zip(exact.ks, exact.values, strict=True))
    at = np.log2([k for k, _ in panel.empty])
    lower, upper = [low for _, low in panel.empty], [best[k] for k, _ in panel.empty]
    low, high = ax.get_ylim()
    floor = min(low, min(lower) - 0.08 * (high - low))
    if len(at) == 1:
        at, lower, upper = np.append(at - 0.1, at + 0.1), lower * 2, upper * 2
    ax.fill_between(at, floor, lower, color=PROVEN, alpha=0.5, lw=0, label="proven empty")
    if any(not sure for sure in exact.certified):
        ax.fill_between(at, lower, upper, color=UNDECIDED, alpha=0.6, lw=0, label="undecided")
    ax.set_ylim(floor, high)


def _line(ax: Axes, line: Line, crowded: bool) -> None:
    """A line with hollow markers, filled where certified, and its interval."""
    if not line.ks:
        return
    at, values, drawn = np.log2(line.ks), np.array(line.values), look(line.style)
    if line.low is not None and line.high is not None:
        if line.style == EXACT:
            ax.fill_between(at, line.low, line.high, color=BLACK, alpha=0.10, lw=0)
        elif isinstance(line.style, int) and not crowded:
            ends = np.array([values - line.low, line.high - values]).clip(0.0)
            aside = at + DODGE * (line.style - 2)
            ax.errorbar(aside, values, ends, fmt="none", ecolor=drawn.colour, alpha=0.45, lw=1.0)
    ax.plot(
        at, values, color=drawn.colour, marker=drawn.marker, ms=drawn.size, mfc="none",
        ls=drawn.dash, lw=drawn.width, label=line.name,
    )  # fmt: skip
    sure = np.array(line.certified)
    if sure.any():
        ax.plot(
            at[sure],
            values[sure],
            color=drawn.colour,
            marker=drawn.marker,
            ms=drawn.size,
            ls="none",
        )


def _heat(ax: Axes, found: Overlap) -> None:
    """Methods down, k across; the number in every cell where there is room."""
    values = np.array(
        [[np.nan if cell is None else cell for cell in row] for row in found.values], float
    ).reshape(len(found.methods), len(found.ks))
    ax.set_title("overlap with the best support (Jaccard; * not certified)", fontsize=10)
    shown = np.ma.masked_invalid(values)
    ax.pcolormesh(
        np.arange(len(found.ks)), np.arange(len(found.methods)), shown, vmin=0.0, vmax=1.0,
        cmap="cividis", shading="nearest", edgecolors="white", linewidth=1.5,
    )  # fmt: skip
    ax.invert_yaxis()
    ax.tick_params(length=0)
    ax.set_yticks(range(len(found.methods)), found.methods, fontsize=8)
    marks = ["" if sure else "*" for sure in found.certified]
    labels = [f"{k}{mark}" for k, mark in zip(found.ks, marks, strict=True)]
    turned = 0 if len(labels) <= 12 else 60
    ax.set_xticks(range(len(found.ks)), labels, fontsize=8, rotation=turned)
    ax.set_xlabel("columns in the probe, k")
    ax.spines[:].set_visible(False)
    if values.size > 150:
        return
    for (row, column), cell in np.ndenumerate(values):
        if np.isfinite(cell):
            shade = "black" if cell > 0.6 else "white"
            ax.text(column, row, f"{cell:.2g}", ha="center", va="center", color=shade, fontsize=7)
