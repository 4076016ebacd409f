"""Morphology: one value of a morphological feature, against the words it could stand with.

Negative are the words with another value (Plur: Sing), as in Gurnee et al. 2023; where there is
hardly another value (Voice=Pass), the other words of the parts of speech that carry it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int8

from optprobe.features import treebank
from optprobe.features.base import Dataset, Feature, Words
from optprobe.features.rules import ByWord
from optprobe.features.tags import frequent

Array = np.ndarray

COMMON = 0.1
"""Share of a value's words that a part of speech needs to be among those that carry it."""


@dataclass(frozen=True)
class Value:
    """+1 on words whose feature `key` has this value."""

    key: str
    value: str

    def __call__(self, words: Words) -> Int8[Array, "words"]:
        held = words.tags[self.key]
        positive = held == self.value
        negative = (held != "") & ~positive
        if negative.sum() < treebank.LEAST:
            upos = words.tags["upos"]
            kinds, counts = np.unique(upos[positive], return_counts=True)
            negative |= np.isin(upos, kinds[counts >= COMMON * positive.sum()]) & ~positive
        return np.where(positive, 1, np.where(negative, -1, 0)).astype(np.int8)


def features(dataset: Dataset) -> list[Feature]:
    """morph/Number=Plur, morph/Tense=Past, ..."""
    keys = [] if dataset.words is None else sorted(dataset.words.tags)
    found: list[Feature] = []
    for key in keys:
        if key in ("upos", "deprel"):
            continue
        for value in frequent(dataset, key):
            meaning = f"morphology {key}={value}, not another {key}"
            rule = ByWord(Value(key, value))
            found.append(Feature(f"morph/{key}={value}", meaning, "token", rule))
    return found


COLLECTION = treebank.collection("morph", "morphology", features)
