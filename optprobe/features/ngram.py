"""Frequent word pairs and triples: the last word of an n-gram, against both ways of missing it.

As for the compound words of Gurnee et al. 2023: negative are the last word behind other words, and
the words that follow its beginning in its place.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

from optprobe.features import treebank
from optprobe.features.base import Dataset, Feature
from optprobe.features.rules import BySearch

WORD = re.compile(r"\w+(?:['\u2019]\w+)*")
LEAST = 20
"""An n-gram occurs at least that often, and misses at least that often."""
MOST = 20
"""How many n-grams of each length are features."""
SIZES = (2, 3)


@lru_cache(maxsize=4096)
def words_of(text: str) -> tuple[tuple[str, int, int], ...]:
    """The words of a text in lower case, with their characters."""
    return tuple((match[0].lower(), match.start(), match.end()) for match in WORD.finditer(text))


@dataclass(frozen=True)
class Ends:
    """Where an n-gram ends (hit), or where it could end and does not (miss)."""

    gram: tuple[str, ...]
    hit: bool

    def __call__(self, text: str) -> list[tuple[int, int]]:
        found = words_of(text)
        size = len(self.gram)
        spans: list[tuple[int, int]] = []
        for i, (word, start, stop) in enumerate(found):
            before = tuple(entry[0] for entry in found[max(0, i - size + 1) : i])
            begins, ends = before == self.gram[:-1], word == self.gram[-1]
            if (begins and ends) if self.hit else (begins != ends):
                spans.append((start, stop))
        return spans


def features(dataset: Dataset) -> list[Feature]:
    """ngram/of-the, ngram/one-of-the, ...: the most frequent ones of these texts."""
    found: list[Feature] = []
    words = [[entry[0] for entry in words_of(text)] for text in dataset.texts]
    for size in SIZES:
        counts = Counter(
            tuple(text[i : i + size]) for text in words for i in range(len(text) - size + 1)
        )
        starts = Counter[tuple[str, ...]]()
        last = Counter(word for text in words for word in text)
        for gram, count in counts.items():
            starts[gram[:-1]] += count
        ranked = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
        enough = [
            gram
            for gram, count in ranked
            if count >= LEAST and starts[gram[:-1]] + last[gram[-1]] - 2 * count >= LEAST
        ]
        found += [_feature(gram) for gram in enough[:MOST]]
    return found


def _feature(gram: tuple[str, ...]) -> Feature:
    meaning = f"the last word of '{' '.join(gram)}', not one of the two parts alone"
    rule = BySearch(Ends(gram, hit=True), Ends(gram, hit=False))
    return Feature(f"ngram/{'-'.join(gram)}", meaning, "token", rule)


COLLECTION = treebank.collection(
    "ngram", "frequent word pairs and triples", features, computed=True
)
