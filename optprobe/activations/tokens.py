"""The tokens of all texts in flat arrays, and which of them get a row in the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Int32, Int64

from optprobe.activations.manifest import Aggregation
from optprobe.activations.rows import RowFacts

if TYPE_CHECKING:
    from optprobe.activations.doors import Door

Array = np.ndarray

AT_ONCE = 1024
"""Texts encoded together."""


@dataclass(frozen=True, eq=False)
class Tokens:
    """Text i has the tokens bounds[i] to bounds[i + 1].

    Attributes:
        bounds: of the texts.
        ids, starts, stops: of each token, and its characters.
        kept: tokens that count: not special ones (a beginning of text stands for no characters),
            nor the first of a text that are to be skipped.
        characters: of each text.
    """

    bounds: Int64[Array, "texts+1"]
    ids: Int32[Array, "tokens"]
    starts: Int32[Array, "tokens"]
    stops: Int32[Array, "tokens"]
    kept: Bool[Array, "tokens"]
    characters: Int64[Array, "texts"]

    @classmethod
    def of(
        cls, door: Door, texts: Sequence[str], *, max_tokens: int | None, skip_first: int
    ) -> Tokens:
        """The tokens of texts as the door's model reads them.

        Args:
            max_tokens: texts are cut after so many, special ones included; None for never.
            skip_first: positions at the beginning of each text that get no row.

        Raises:
            ValueError: a text longer than the model can read (named); no offsets.
        """
        ids: list[Array] = []
        offsets: list[Array] = []
        kept: list[Array] = []
        for first in range(0, len(texts), AT_ONCE):
            for encoded in door.encode(texts[first : first + AT_ONCE]):
                ids.append(encoded.ids[:max_tokens])
                offsets.append(encoded.offsets[:max_tokens])
                counts = ~encoded.special[:max_tokens]
                counts[:skip_first] = False
                kept.append(counts)
        lengths = np.array([len(one) for one in ids], np.int64)
        if door.context is not None and lengths.max(initial=0) > door.context:
            longest = int(np.argmax(lengths > door.context))
            raise ValueError(
                f"text {longest} has {lengths[longest]} tokens and {door.model} reads "
                f"{door.context} at once; pass max_tokens={door.context} to cut texts, or "
                "split them"
            )
        places = np.concatenate(offsets) if offsets else np.empty((0, 2), np.int32)
        return cls(
            np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]),
            np.concatenate(ids) if ids else np.empty(0, np.int32),
            np.ascontiguousarray(places[:, 0]),
            np.ascontiguousarray(places[:, 1]),
            np.concatenate(kept) if kept else np.empty(0, bool),
            np.array([len(text) for text in texts], np.int64),
        )

    @property
    def lengths(self) -> Int64[Array, "texts"]:
        """Tokens of each text."""
        return np.diff(self.bounds)

    def row_counts(self, aggregation: Aggregation) -> Int64[Array, "texts"]:
        """Rows of each text: its tokens that count, or one where it has such a token."""
        ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(self.kept)])
        counts = np.diff(ends[self.bounds])
        return counts if aggregation == "token" else np.minimum(counts, 1)

    def batch(
        self, texts: Int64[Array, "batch"]
    ) -> tuple[
        Int64[Array, "batch position"],
        Int64[Array, "batch position"],
        Bool[Array, "batch position"],
    ]:
        """Ids, mask (1 for tokens) and which tokens count, padded on the right with zeros."""
        lengths = self.bounds[texts + 1] - self.bounds[texts]
        here = ranges(self.bounds[texts], lengths)
        mask = np.arange(int(lengths.max()))[None, :] < lengths[:, None]
        ids, kept = np.zeros(mask.shape, np.int64), np.zeros(mask.shape, bool)
        ids[mask], kept[mask] = self.ids[here], self.kept[here]
        return ids, mask.astype(np.int64), kept

    def facts(self, first: int, last: int, aggregation: Aggregation) -> RowFacts:
        """What the rows of the texts from first up to last, exclusive, stand for."""
        here = slice(int(self.bounds[first]), int(self.bounds[last]))
        text = np.repeat(np.arange(first, last), np.diff(self.bounds[first : last + 1]))
        kept = self.kept[here]
        if aggregation != "token":
            with_row = np.unique(text[kept])
            aggregated = np.full(len(with_row), -1)
            return RowFacts(
                with_row,
                aggregated,
                aggregated,
                np.zeros(len(with_row), np.int32),
                self.characters[with_row],
            )
        position = np.arange(here.start, here.stop) - self.bounds[text]
        return RowFacts(
            text[kept],
            position[kept],
            self.ids[here][kept],
            self.starts[here][kept],
            self.stops[here][kept],
        )


def ranges(starts: Int64[Array, "m"], counts: Int64[Array, "m"]) -> Int64[Array, "n"]:
    """starts[0], starts[0] + 1, ... counts[0] numbers, then those from starts[1], and so on."""
    before = np.cumsum(counts) - counts
    return np.repeat(starts - before, counts) + np.arange(int(counts.sum()))
