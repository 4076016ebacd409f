"""What is labelled and how: data sets of text, features of their rows, collections of features."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int8, Int64

from optprobe.activations.rows import AGGREGATED, RowFacts

Array = np.ndarray

SKIP_FIRST = 5
"""Token positions at the start of a text that are not probed [Gurnee et al. 2023]: activations
there are unlike any other."""


SPACES = [code for code in range(0x3001) if chr(code).isspace()]
"""Code points of white space; there are none beyond."""


@dataclass(frozen=True, eq=False)
class Spans:
    """Characters start <= i < stop of some texts."""

    text: Int64[Array, "spans"]
    start: Int64[Array, "spans"]
    stop: Int64[Array, "spans"]

    def __len__(self) -> int:
        return len(self.text)


@dataclass(frozen=True, eq=False)
class Words(Spans):
    """Annotated words, in the order of their texts; no two share a character.

    Attributes:
        tags: one value a word for each kind of tag ("upos", "deprel", "Number", ...), "" for none.
    """

    tags: Mapping[str, Array] = field(default_factory=dict[str, Array])


@dataclass(frozen=True, eq=False)
class Characters:
    """The texts laid end to end.

    Attributes:
        first: where each text begins; the last entry is where the last one ends.
        visible: False on white space.
    """

    first: Int64[Array, "texts_and_end"]
    visible: Bool[Array, "characters"]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Texts with the documents they come from, and what their source says about them.

    Attributes:
        name: of the data set; collections that share it can share one capture.
        texts: what the model reads, one at a time.
        documents: one per text, the unit that a split keeps whole.
        source, licence: of the texts.
        labels: by feature name, one of -1, 0 (unused), +1 per text.
        meanings: by feature name, what +1 and -1 in `labels` mean.
        words: annotated words, where the source has them.
        spans: by feature name, the characters where it is present.

    Raises:
        ValueError: no text, a text without a document, or labels of another length.
    """

    name: str
    texts: tuple[str, ...]
    documents: tuple[str, ...]
    source: str
    licence: str
    labels: Mapping[str, Int8[Array, "texts"]] = field(default_factory=dict[str, Array])
    meanings: Mapping[str, str] = field(default_factory=dict[str, str])
    words: Words | None = None
    spans: Mapping[str, Spans] = field(default_factory=dict[str, Spans])

    def __post_init__(self) -> None:
        if not self.texts:
            raise ValueError(f"{self.name}: no text; pass at least one")
        if len(self.documents) != len(self.texts):
            raise ValueError(
                f"{self.name}: {len(self.texts)} texts but {len(self.documents)} documents; "
                "pass one a text"
            )
        for name, values in self.labels.items():
            if len(values) != len(self.texts):
                raise ValueError(
                    f"{name}: {len(self.texts)} texts but {len(values)} labels; pass one a text"
                )

    @cached_property
    def lengths(self) -> Int64[Array, "texts"]:
        """Characters of each text."""
        return np.array([len(text) for text in self.texts], np.int64)

    @cached_property
    def characters(self) -> Characters:
        """The texts laid end to end."""
        codes = np.frombuffer("".join(self.texts).encode("utf-32-le", "surrogatepass"), np.uint32)
        return Characters(np.append(0, np.cumsum(self.lengths)), ~np.isin(codes, SPACES))

    def documents_of(self, rows: RowFacts) -> Array:
        """The document of each row, as the groups of a split."""
        return np.array(self.documents)[rows.text]


Rule = Callable[[Dataset, RowFacts], Int8[Array, "rows"]]
"""-1, 0 (unused) or +1 for each row of a data set."""


@dataclass(frozen=True)
class Feature:
    """A property that a row has (+1), has not (-1), or that says nothing about it (0).

    Attributes:
        name: "collection/feature".
        description: what +1 means, and what -1 means where it is not simply the rest.
        kind: "token" where the tokens of one text differ; "text" where they do not.
        rule: the labels.
        aggregation: how the paper reads such a feature: every token, the last one, or their mean.
        skip_first: first token positions that are not to be probed.
    """

    name: str
    description: str
    kind: Literal["text", "token"]
    rule: Rule
    aggregation: Literal["token", "mean", "max", "last"] = "token"
    skip_first: int = SKIP_FIRST

    @property
    def collection(self) -> str:
        """The part of the name before the slash."""
        return self.name.partition("/")[0]

    def labels(self, dataset: Dataset, rows: RowFacts) -> Int8[Array, "rows"]:
        """-1 (absent), 0 (unused) or +1 (present) for each row.

        A row without characters, such as a mark for the beginning of a text, is unused, unless the
        feature is its position.

        Raises:
            ValueError: rows of other texts, or rows of whole texts for a feature of tokens.
        """
        check_rows(dataset, rows)
        if self.kind == "token" and (rows.position == AGGREGATED).any():
            raise ValueError(
                f"{self.name} is a feature of tokens and these rows stand for whole texts; "
                "capture with aggregation 'token'"
            )
        return self.rule(dataset, rows)


def check_rows(dataset: Dataset, rows: RowFacts) -> None:
    """Raise ValueError unless every row lies within a text of the data set."""
    if not len(rows):
        return
    if rows.text.min() < 0 or rows.text.max() >= len(dataset.texts):
        raise ValueError(
            f"a row belongs to text {rows.text.max()} and {dataset.name} has "
            f"{len(dataset.texts)} texts; these activations come from other texts"
        )
    lengths = dataset.lengths[rows.text]
    wrong = np.flatnonzero((rows.start < 0) | (rows.start > rows.stop) | (rows.stop > lengths))
    if len(wrong):
        i = int(wrong[0])
        raise ValueError(
            f"row {i} stands for characters {rows.start[i]}:{rows.stop[i]} of text {rows.text[i]}, "
            f"which has {lengths[i]}; these activations come from other texts"
        )


@dataclass(frozen=True)
class Collection:
    """Features that come from one source.

    Attributes:
        name: before the slash in the names of its features.
        title: what it is about.
        source, licence: of the texts; the package ships none of them.
        how_to_get: one sentence, for somebody who lacks them.
        found: whether the texts lie in a folder or in the Python environment.
        read: the texts from there; all, or those that one feature needs.
        listed: the features of those texts.
        urls: file name in the folder -> where it can be downloaded.
    """

    name: str
    title: str
    source: str
    licence: str
    how_to_get: str
    found: Callable[[Path | None], bool]
    read: Callable[[Path | None, str | None], Dataset]
    listed: Callable[[Dataset], list[Feature]]
    urls: Mapping[str, str] = field(default_factory=dict[str, str])

    def available(self, folder: Path | None = None) -> bool:
        """Whether `load` would find the texts."""
        return self.found(folder)

    def load(self, folder: Path | None = None, feature: str | None = None) -> Dataset:
        """The texts.

        Args:
            folder: where treebanks, relations, code and LaTeX lie; searched with its subfolders.
            feature: read only the texts that this feature needs.

        Raises:
            ValueError: the texts are not here (how to get them is said), or are damaged.
        """
        if folder is not None and not folder.exists():
            raise ValueError(f"{folder}: no such folder; pass one that holds the texts")
        if not self.found(folder):
            where = "no folder was given" if folder is None else f"not in {folder}"
            raise ValueError(
                f"the texts of '{self.name}' are not here ({where}): {self.how_to_get}"
            )
        return self.read(folder, feature)

    def features(self, dataset: Dataset) -> list[Feature]:
        """The features of the texts that `load` returned."""
        return self.listed(dataset)
