"""Which texts a model reads together: fixed by the texts alone, whatever a run does.

Texts of like length share a batch, so that little is padding; results come in the order of the
texts. So texts are taken in windows, consecutive ones that fit in memory together, and each window
is cut into batches from its shortest text to its longest. What a model answers depends in the last
digits on what else is in a batch: a run that was interrupted goes on with the same batches.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Window:
    """The texts from `first` up to `last`, exclusive, and the batches that they are read in.

    Attributes:
        batches: numbers of texts, those without tokens left out.
    """

    first: int
    last: int
    batches: tuple[Int64[Array, "batch"], ...]


def windows(
    lengths: Int64[Array, "texts"], *, batch_tokens: int, window_tokens: int
) -> list[Window]:
    """All texts in windows; a text longer than either limit is alone in its batch or window.

    Args:
        lengths: tokens of each text.
        batch_tokens: of a batch at most, padding included.
        window_tokens: of a window at most.
    """
    found: list[Window] = []
    ends = np.cumsum(lengths)
    first = 0
    while first < len(lengths):
        before = int(ends[first - 1]) if first else 0
        last = int(np.searchsorted(ends, before + window_tokens, "right"))
        last = max(first + 1, last)
        batches = tuple(_batches(lengths, first, last, batch_tokens))
        found.append(Window(first, last, batches))
        first = last
    return found


def _batches(
    lengths: Int64[Array, "texts"], first: int, last: int, batch_tokens: int
) -> Iterator[Int64[Array, "batch"]]:
    """The texts of a window that have tokens, by length, cut where the padded size would pass."""
    order = first + np.argsort(lengths[first:last], kind="stable")
    order = order[lengths[order] > 0]
    start = 0
    for stop in range(1, len(order) + 1):
        full = stop < len(order) and (stop - start + 1) * lengths[order[stop]] > batch_tokens
        if full or stop == len(order):
            yield order[start:stop]
            start = stop
