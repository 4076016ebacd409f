"""Dependency: the relation of the token's first word to its head, against every other word."""

from __future__ import annotations

from optprobe.features import treebank
from optprobe.features.base import Dataset, Feature
from optprobe.features.tags import one_against_rest


def features(dataset: Dataset) -> list[Feature]:
    """dep/nsubj, dep/obj, ..., with subtypes such as dep/nsubj:pass on their own."""
    return one_against_rest(dataset, "dep", "deprel", "dependency relation")


COLLECTION = treebank.collection("dep", "dependency relation", features)
