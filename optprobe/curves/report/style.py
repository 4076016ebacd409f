"""How a method looks in both kinds of figures, and which k have room for a label."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from optprobe.curves.records import EXACT, RANDOM
from optprobe.plots import EXACT as BLACK
from optprobe.plots import HEURISTIC

CONTROL, UNDECIDED = "#767676", "#fdd9a0"
"""Colours of the controls, and of the area between a proven bound and the best support known."""

ROOM = 0.05
"""Least distance of two tick labels as a share of the axis."""


@dataclass(frozen=True)
class Look:
    """Six colours and markers, then the same with another dash.

    Attributes:
        colour: as a hexadecimal number.
        marker: for matplotlib; `symbol` is Plotly's word for it.
        dash: for matplotlib; `stroke` is Plotly's word for it.
        size, width: of markers and lines, in points.
    """

    colour: str
    marker: str
    symbol: str
    dash: str
    stroke: str
    size: float
    width: float


MARKS = (
    ("s", "square"),
    ("D", "diamond"),
    ("v", "triangle-down"),
    ("^", "triangle-up"),
    ("P", "cross"),
    ("h", "hexagon"),
)
DASHES = (("-", "solid"), ("--", "dash"), (":", "dot"))


def look(style: int | str) -> Look:
    """The look of a heuristic by its number, of the exact line or of a control."""
    if style == EXACT:
        return Look(BLACK, "o", "circle", "-", "solid", 4.5, 1.8)
    if isinstance(style, str):
        marker, symbol = ("x", "x-thin") if style == RANDOM else ("+", "cross-thin")
        return Look(CONTROL, marker, symbol, ":", "dot", 5.0, 1.2)
    colour, marks = HEURISTIC[style % len(HEURISTIC)], MARKS[style % len(MARKS)]
    dashes = DASHES[style // len(HEURISTIC) % len(DASHES)]
    # Markers shrink, so that methods that agree all show.
    return Look(colour, *marks, *dashes, size=max(4.5, 9.5 - 0.5 * style), width=1.2)


def thinned(ks: Sequence[int]) -> list[str]:
    """A label for every k, empty where it would run into its neighbour."""
    labels, last = list[str](), -math.inf
    least = ROOM * max(math.log2(ks[-1] / ks[0]), 1.0)
    for k in ks:
        free = math.log2(k) - last >= least * (0.6 + 0.2 * len(str(k)))
        labels.append(str(k) if free else "")
        last = math.log2(k) if free else last
    return labels
