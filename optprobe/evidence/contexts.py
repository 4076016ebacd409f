"""Where in the text a neuron is most and least active."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64, Int8

if TYPE_CHECKING:
    from optprobe.activations.rows import RowFacts

Array = np.ndarray


@dataclass(frozen=True)
class Context:
    """One row in its text.

    Attributes:
        row, text, position: of the store; position is -1 for a whole text.
        activation: of the neuron.
        label: -1 or +1, 0 where the feature says nothing of the row.
        before, token, after: the text around the row's characters, and these.
    """

    row: int
    text: int
    position: int
    activation: float
    label: int
    before: str
    token: str
    after: str


def extremes(
    values: Float64[Array, "rows"],
    labels: Int8[Array, "rows"],
    rows: RowFacts,
    texts: Sequence[str],
    *,
    count: int = 20,
    width: int = 60,
) -> tuple[list[Context], list[Context]]:
    """The rows with the largest activations, and those with the smallest, most extreme first.

    All rows compete, those that the feature says nothing of too. Ties go to the earlier row.

    Args:
        values, labels: one per row.
        rows: where each row lies.
        texts: that were captured.
        count: of each kind.
        width: characters shown on either side.
    """
    order = np.argsort(-values, kind="stable")[:count]
    low = np.argsort(values, kind="stable")[:count]

    def context(row: int) -> Context:
        text = texts[int(rows.text[row])]
        start, stop = int(rows.start[row]), int(rows.stop[row])
        return Context(
            row=row,
            text=int(rows.text[row]),
            position=int(rows.position[row]),
            activation=float(values[row]),
            label=int(labels[row]),
            before=text[max(0, start - width) : start],
            token=text[start:stop],
            after=text[stop : stop + width],
        )

    return [context(int(row)) for row in order], [context(int(row)) for row in low]
