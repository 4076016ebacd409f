"""How one neuron's activations are spread, class by class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int, Int8

Array = np.ndarray


@dataclass(frozen=True)
class Histogram:
    """Counts of rows between edges; a value on an inner edge counts to the right of it.

    Attributes:
        edges: bins + 1 activations, increasing.
        negative, positive: rows of each class per bin.
    """

    edges: Float64[Array, "edges"]
    negative: Int[Array, "bins"]
    positive: Int[Array, "bins"]


def histogram(
    values: Float64[Array, "rows"], labels: Int8[Array, "rows"], *, bins: int = 50
) -> Histogram:
    """Both classes over the same equal bins, from the smallest to the largest labelled activation.

    Args:
        values: of one neuron.
        labels: -1, +1, or 0 for rows that are left out.
        bins: how many.

    Raises:
        ValueError: lengths that disagree, or a class without rows.
    """
    check_labels(values, labels)
    edges = np.histogram_bin_edges(values[labels != 0], bins)
    negative, positive = (np.histogram(values[labels == side], edges)[0] for side in (-1, 1))
    return Histogram(edges, negative, positive)


def check_labels(values: Float64[Array, "rows"], labels: Int8[Array, "rows"]) -> None:
    """Refuse labels of another length, and a class without rows.

    Raises:
        ValueError: as above.
    """
    if labels.shape != values.shape or labels.ndim != 1:
        raise ValueError(
            f"{labels.shape} labels but {values.shape} activations; pass one label a row"
        )
    for side, name in ((1, "positive"), (-1, "negative")):
        if not (labels == side).any():
            raise ValueError(f"the feature has no {name} row in this store; nothing to compare")
