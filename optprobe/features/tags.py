"""Tags of words as features: one value against every other word."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int8

from optprobe.features.base import Dataset, Feature, Words
from optprobe.features.rules import ByWord, signs
from optprobe.features.treebank import LEAST

Array = np.ndarray


@dataclass(frozen=True)
class Tag:
    """+1 on words with this tag, -1 on all others."""

    key: str
    value: str

    def __call__(self, words: Words) -> Int8[Array, "words"]:
        return signs(words.tags[self.key] == self.value)


def frequent(dataset: Dataset, key: str) -> list[str]:
    """The tags with at least LEAST words that LEAST other words do not have."""
    if dataset.words is None or key not in dataset.words.tags:
        return []
    held = dataset.words.tags[key]
    values, counts = np.unique(held[held != ""], return_counts=True)
    enough = (counts >= LEAST) & (len(held) - counts >= LEAST)
    return values[enough].tolist()


def one_against_rest(dataset: Dataset, collection: str, key: str, title: str) -> list[Feature]:
    """A feature for every frequent tag."""
    return [
        Feature(f"{collection}/{value}", f"{title} {value}", "token", ByWord(Tag(key, value)))
        for value in frequent(dataset, key)
    ]
