"""One figure per neuron: activations by class, ablation, and the tokens of its output weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from optprobe.evidence.api import Evidence
from optprobe.plots import HEURISTIC, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POSITIVE, NEGATIVE = HEURISTIC[1], HEURISTIC[5]
TOKENS = 8
"""Shown on each side."""


def draw(path: Path, found: Evidence) -> None:
    """Write the PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.0, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.4, 1.0, 1.0))
    figure.suptitle(_plain(f"{found.neuron.name} and {found.feature}, {found.model}"))
    _histogram(left, found)
    _effects(middle, found)
    _tokens(right, found)
    save(figure, path)


def _histogram(axes: Axes, found: Evidence) -> None:
    """Each class as a share of its rows, so that a rare class shows."""
    edges = found.histogram.edges
    for name, counts, colour in (
        ("negative", found.histogram.negative, NEGATIVE),
        ("positive", found.histogram.positive, POSITIVE),
    ):
        label = f"{name} ({int(counts.sum())})"
        share = counts / counts.sum()
        axes.stairs(share, edges, color=colour, fill=True, alpha=0.35)
        axes.stairs(share, edges, color=colour, lw=1.2, label=label)
    axes.set(xlabel="activation", ylabel="share of the class's rows", yscale="log")
    axes.legend(frameon=False)


def _effects(axes: Axes, found: Evidence) -> None:
    """Mean increase of the loss with two standard errors over documents."""
    axes.axhline(0.0, color="#767676", lw=0.8)
    if not found.effects:
        axes.text(0.5, 0.5, "no next token: rows are whole texts", ha="center", va="center")
        axes.set_axis_off()
        return
    for effect in found.effects:
        at = ("zero", "mean").index(effect.ablation) + (0.15 if effect.label > 0 else -0.15)
        colour = POSITIVE if effect.label > 0 else NEGATIVE
        error = 2.0 * (effect.standard_error or 0.0)
        axes.errorbar(at, effect.effect, error, color=colour, marker="o", capsize=4)
    axes.set_xticks([0, 1], ["set to 0", "set to its mean"])
    axes.set(xlim=(-0.5, 1.5), ylabel="increase of next-token loss, nats (2 s.e.)")


def _tokens(axes: Axes, found: Evidence) -> None:
    """Logits of the direction W_out[neuron]."""
    shown = [*found.promotes[:TOKENS], *found.suppresses[:TOKENS][::-1]]
    values = [token.logit for token in shown]
    colours = [POSITIVE if value > 0 else NEGATIVE for value in values]
    axes.barh(np.arange(len(shown)), values, color=colours)
    axes.set_yticks(
        np.arange(len(shown)), [_plain(repr(token.token)) for token in shown], fontsize=7
    )
    axes.invert_yaxis()
    axes.set(xlabel="logit of the output weights")


def _plain(text: str) -> str:
    """Without what the font cannot draw or mathtext would take for a formula."""
    return text.encode("ascii", "backslashreplace").decode().replace("$", r"\$")
