"""Data sets whose labels belong to whole texts: joined, and as features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from optprobe.features.base import Dataset, Feature
from optprobe.features.rules import ByText

Array = np.ndarray


def join(name: str, parts: Sequence[Dataset]) -> Dataset:
    """The texts of several data sets one after another; a label is 0 on the texts of the others."""
    counts = [len(part.texts) for part in parts]
    labels: dict[str, Array] = {}
    first = 0
    for part, count in zip(parts, counts, strict=True):
        for feature, values in part.labels.items():
            whole = labels.setdefault(feature, np.zeros(sum(counts), np.int8))
            whole[first : first + count] = values
        first += count
    return Dataset(
        name,
        tuple(text for part in parts for text in part.texts),
        tuple(document for part in parts for document in part.documents),
        "; ".join(dict.fromkeys(part.source for part in parts)),
        "; ".join(dict.fromkeys(part.licence for part in parts)),
        labels,
    )


def gather(feature: str | None, *sources: Callable[[], list[Dataset]]) -> list[Dataset]:
    """The data sets of all sources; or those that label a feature, from the first that has any."""
    parts: list[Dataset] = []
    for source in sources:
        found = source()
        labelling = [part for part in found if feature in part.labels]
        if labelling:
            return labelling
        parts += found
    return parts


def text_features(
    dataset: Dataset, collection: str, aggregation: Literal["mean", "last"]
) -> list[Feature]:
    """The labels of a data set that belong to a collection, as features of whole texts."""
    return [
        Feature(name, dataset.meanings.get(name, ""), "text", ByText(name), aggregation)
        for name in dataset.labels
        if name.startswith(f"{collection}/")
    ]
