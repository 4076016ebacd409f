"""The ways in which a row gets its label: one small class each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int8, Int32, Int64

from optprobe.activations.rows import RowFacts
from optprobe.features.align import inside, word_of
from optprobe.features.base import Dataset, Spans, Words

Array = np.ndarray


def signs(positive: Bool[Array, "n"]) -> Int8[Array, "n"]:
    """+1 where true, -1 elsewhere."""
    return np.where(positive, 1, -1).astype(np.int8)


def with_characters(labels: Int8[Array, "rows"], rows: RowFacts) -> Int8[Array, "rows"]:
    """The same labels, 0 on rows that stand for no character."""
    return np.where(rows.start == rows.stop, 0, labels).astype(np.int8)


@dataclass(frozen=True)
class ByText:
    """The label of the row's text, `Dataset.labels[name]`."""

    name: str

    def __call__(self, dataset: Dataset, rows: RowFacts) -> Int8[Array, "rows"]:
        if self.name not in dataset.labels:
            raise ValueError(f"{dataset.name} has no labels for {self.name}; load its own texts")
        return with_characters(dataset.labels[self.name][rows.text], rows)


@dataclass(frozen=True)
class ByWord:
    """The label of the first annotated word in the row; 0 where there is none."""

    sign: Callable[[Words], Int8[Array, "words"]]

    def __call__(self, dataset: Dataset, rows: RowFacts) -> Int8[Array, "rows"]:
        if dataset.words is None:
            raise ValueError(f"{dataset.name} has no annotated words; load the feature's own texts")
        word = word_of(dataset.characters, dataset.words, rows)
        return np.append(self.sign(dataset.words), np.int8(0))[word]


Finder = Callable[[str], list[tuple[int, int]]]
"""Spans of one text."""


@dataclass(frozen=True)
class BySearch:
    """+1 inside the spans found in the text; -1 inside those of `absent`, or everywhere else."""

    present: Finder
    absent: Finder | None = None

    def __call__(self, dataset: Dataset, rows: RowFacts) -> Int8[Array, "rows"]:
        positive = inside(dataset.characters, find_spans(dataset.texts, self.present), rows)
        if self.absent is None:
            return with_characters(signs(positive), rows)
        negative = inside(dataset.characters, find_spans(dataset.texts, self.absent), rows)
        return np.where(positive, 1, np.where(negative, -1, 0)).astype(np.int8)


@dataclass(frozen=True)
class BySpan:
    """+1 inside the spans `Dataset.spans[name]`, -1 elsewhere."""

    name: str

    def __call__(self, dataset: Dataset, rows: RowFacts) -> Int8[Array, "rows"]:
        if self.name not in dataset.spans:
            raise ValueError(f"{dataset.name} has no spans for {self.name}; load its own texts")
        return with_characters(
            signs(inside(dataset.characters, dataset.spans[self.name], rows)), rows
        )


@dataclass(frozen=True)
class ByTokenText:
    """+1 where the text of the token has the property."""

    has: Callable[[str], bool]

    def __call__(self, dataset: Dataset, rows: RowFacts) -> Int8[Array, "rows"]:
        known: dict[str, bool] = {}
        found = np.zeros(len(rows), bool)
        for i, token in enumerate(token_texts(dataset.texts, rows)):
            if token not in known:
                known[token] = bool(token) and self.has(token)
            found[i] = known[token]
        return with_characters(signs(found), rows)


@dataclass(frozen=True)
class ByPosition:
    """+1 where the token position and the last position of its text have the property."""

    has: Callable[[Int32[Array, "rows"], Int32[Array, "rows"]], Bool[Array, "rows"]]

    def __call__(self, dataset: Dataset, rows: RowFacts) -> Int8[Array, "rows"]:
        last = np.zeros(len(dataset.texts), np.int32)
        np.maximum.at(last, rows.text, rows.position)
        return signs(self.has(rows.position, last[rows.text]))


def find_spans(texts: tuple[str, ...], find: Finder) -> Spans:
    """The spans of every text."""
    found = [(i, *span) for i, text in enumerate(texts) for span in find(text)]
    table = np.array(found, np.int64).reshape(-1, 3)
    return Spans(table[:, 0], table[:, 1], table[:, 2])


def token_texts(texts: tuple[str, ...], rows: RowFacts) -> list[str]:
    """What each token says, with the space before it.

    Some tokenizers leave that space out of the token's characters; what lies between a token and
    the one before it is given back to it.
    """
    start: Int64[Array, "rows"] = rows.start.astype(np.int64)
    follows = (rows.text[1:] == rows.text[:-1]) & (rows.position[1:] == rows.position[:-1] + 1)
    start[1:] = np.where(follows, np.minimum(rows.stop[:-1], rows.start[1:]), rows.start[1:])
    bounds = zip(rows.text.tolist(), start.tolist(), rows.stop.tolist(), strict=True)
    return [texts[text][first:last] for text, first, last in bounds]
