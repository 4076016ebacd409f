"""Figures, written straight to a file: no display, no global state, matplotlib imported on use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = np.ndarray

EXACT, PROVEN = "#000000", "#9ecae1"
HEURISTIC = ("#e69f00", "#d55e00", "#cc79a7", "#009e73", "#56b4e9", "#0072b2")
"""Okabe and Ito's colours, which colour-blind readers can tell apart."""

MARKERS = "sDv^Ph"


def heuristic_against_exact(
    path: Path,
    title: str,
    ks: Sequence[int],
    exact: Float64[Array, "ks"],
    lower: Float64[Array, "ks"],
    heuristics: Mapping[str, Float64[Array, "ks"]],
    name: str = "exact",
) -> None:
    """Objective over k (left), and how far every heuristic is above the proven bound (right).

        right panel:  100 (f_heuristic - lower) / lower,  grey area: no probe of size k is there

    Args:
        path: where the PNG goes.
        title: of the figure.
        ks: cardinalities, increasing.
        exact: objective of the exact probe per k.
        lower: verified lower bound per k, NaN where there is none.
        heuristics: name -> objective per k.
        name: of the exact line; call it otherwise if a solve stopped early.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.0, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    figure.suptitle(title)
    _objectives(left, ks, exact, lower, heuristics)
    left.get_lines()[-1].set_label(name)
    _excess(right, ks, exact, lower, heuristics)
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    save(figure, path)


def score_against_rank(
    path: Path,
    title: str,
    panels: Mapping[str, Mapping[str, Float64[Array, "top"]]],
) -> None:
    """One panel per metric, one line per kind of direction, over its rank from 1.

    Args:
        path: where the PNG goes.
        title: of the figure.
        panels: metric -> name of a line -> its values, best rank first; the first line stands out.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.0 * len(panels), 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    (row,) = figure.subplots(1, len(panels), squeeze=False)
    for axes, (metric, lines) in zip(row, panels.items(), strict=True):
        for i, (name, values) in enumerate(lines.items()):
            colour = EXACT if i == 0 else HEURISTIC[(i - 1) % len(HEURISTIC)]
            ranks = np.arange(1, len(values) + 1)
            axes.plot(ranks, values, color=colour, marker="o", ms=2.5, lw=1.2, label=name)
        axes.set(xlabel="rank by training objective", ylabel=metric)
    handles, labels = row[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    save(figure, path)


def save(figure: Figure, path: Path) -> None:
    """Write under another name first: a figure that is there is whole."""
    partial = path.with_name(path.name + ".partial")
    figure.savefig(partial, format="png", dpi=150)
    partial.replace(path)


def _objectives(
    axes: Axes, ks: Sequence[int], exact: Array, lower: Array, heuristics: Mapping[str, Array]
) -> None:
    """Objectives over k, with the region that the verified bound excludes."""
    best = float(np.nanmin([*lower, *exact]))
    worst = max([*exact, *(value for line in heuristics.values() for value in line)])
    floor = best - 0.15 * (worst - best)
    axes.fill_between(ks, floor, lower, color=PROVEN, alpha=0.5, label="proven empty", linewidth=0)
    _lines(axes, ks, exact, heuristics)
    axes.set(xlabel="neurons in the probe, k", ylabel="training objective", xticks=list(ks))
    axes.set_ylim(floor, worst + 0.05 * (worst - best))


def _excess(
    axes: Axes, ks: Sequence[int], exact: Array, lower: Array, heuristics: Mapping[str, Array]
) -> None:
    """Per cent above the verified lower bound: the optimum lies between 0 and the exact line."""
    excess = {name: 100.0 * (line / lower - 1.0) for name, line in heuristics.items()}
    _lines(axes, ks, 100.0 * (exact / lower - 1.0), excess)
    low, high = axes.get_ylim()
    below = -0.1 * max(high, -low)
    axes.axhspan(below, 0.0, color=PROVEN, alpha=0.5, linewidth=0)
    axes.set(xlabel="neurons in the probe, k", ylabel="% above the certified bound")
    axes.set(xticks=list(ks), ylim=(below, high))


def _lines(axes: Axes, ks: Sequence[int], exact: Array, heuristics: Mapping[str, Array]) -> None:
    """One line per method; hollow markers that shrink, so that methods that agree all show."""
    for i, (name, line) in enumerate(heuristics.items()):
        colour, marker = HEURISTIC[i % len(HEURISTIC)], MARKERS[i % len(MARKERS)]
        size = max(4.0, 13.0 - 2.0 * i)
        axes.plot(ks, line, color=colour, marker=marker, ms=size, mfc="none", lw=1.2, label=name)
    axes.plot(ks, exact, color=EXACT, marker="o", ms=3.5, lw=1.8, label="exact")
