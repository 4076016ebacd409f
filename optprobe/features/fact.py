"""Facts about places, works and companies: names and relations. Read at the last token."""

from __future__ import annotations

from pathlib import Path

from optprobe.features import relations, text_sets
from optprobe.features.base import Collection, Dataset, Feature
from optprobe.features.sources import HOW_TO_GET_WHEEL
from optprobe.features.text_labels import gather, join, text_features


def found(folder: Path | None) -> bool:
    """Whether the wheel is installed or a folder holds relations of things."""
    return text_sets.installed() or bool(relations.find_relations(folder, people=False))


def read(folder: Path | None, feature: str | None = None) -> Dataset:
    """Both sources, as far as they are here."""
    wanted = text_sets.starts_with(text_sets.FACTS)
    parts = gather(
        feature,
        lambda: relations.read_relations(folder, people=False, collection="fact"),
        lambda: text_sets.read("fact", wanted, feature),
    )
    return join("fact", parts)


def features(dataset: Dataset) -> list[Feature]:
    """fact/us_state_FL, fact/landmark_on_continent=Europe, ..."""
    return text_features(dataset, "fact", "last")


COLLECTION = Collection(
    "fact",
    "facts about places, works and companies",
    f"{text_sets.SOURCE}; {relations.SOURCE}",
    f"{text_sets.LICENCE}; relations {relations.LICENCE}",
    f"{HOW_TO_GET_WHEEL}, or optprobe features fact --folder DIR --download",
    found,
    read,
    features,
    relations.FACT_URLS,
)
