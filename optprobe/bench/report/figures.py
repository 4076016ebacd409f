"""What the figures share: colours, and PNG files written whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = (
    "#000000", "#e69f00", "#0072b2", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#999999",
)  # fmt: skip
"""Okabe and Ito's colours, and grey; after that the dashes change."""

DASHES = ("-", "--", ":", "-.")


def style(i: int) -> dict[str, Any]:
    """Colour and dashes of the i-th solver, the same in every figure."""
    return {
        "color": COLOURS[i % len(COLOURS)],
        "linestyle": DASHES[i // len(COLOURS) % len(DASHES)],
    }


def new_figure(width: float, height: float) -> Figure:
    """A figure without display or global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, path: Path) -> None:
    """A PNG, whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    figure.savefig(partial, format="png", dpi=130)
    partial.replace(path)
