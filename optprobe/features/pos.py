"""Part of speech: the universal tag of the token's first word, against every other word."""

from __future__ import annotations

from optprobe.features import treebank
from optprobe.features.base import Dataset, Feature
from optprobe.features.tags import one_against_rest


def features(dataset: Dataset) -> list[Feature]:
    """pos/NOUN, pos/VERB, ..."""
    return one_against_rest(dataset, "pos", "upos", "part of speech")


COLLECTION = treebank.collection("pos", "part of speech", features)
