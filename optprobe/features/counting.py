"""How often a feature occurs, before any model has cut the texts into tokens."""

from __future__ import annotations

import re

import numpy as np

from optprobe.activations.rows import RowFacts
from optprobe.features.base import Dataset, Feature

PIECE = re.compile(r" ?\w+| ?[^\w\s]+|\s+")
"""A word or a run of punctuation with the space before it, or white space."""


def word_rows(dataset: Dataset) -> RowFacts:
    """Rows as a tokenizer of whole words would give them."""
    found = [
        (i, position, 0, *match.span())
        for i, text in enumerate(dataset.texts)
        for position, match in enumerate(PIECE.finditer(text))
    ]
    columns = np.array(found, np.int64).reshape(-1, 5).T
    return RowFacts(*columns)


def count(dataset: Dataset, feature: Feature, words: RowFacts) -> tuple[int, int]:
    """Positive and negative texts, or words for a feature of tokens.

    Args:
        dataset: texts.
        feature: of them.
        words: `word_rows(dataset)`, shared by all features.
    """
    if feature.kind == "token":
        labels = feature.labels(dataset, words)
    else:
        whole = RowFacts.of_texts(0, dataset.lengths)
        labels = feature.labels(dataset, whole)
    return int((labels > 0).sum()), int((labels < 0).sum())
