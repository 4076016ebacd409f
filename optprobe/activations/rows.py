"""What each stored row of activations stands for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Bool, Int

Array = np.ndarray

AGGREGATED = -1
"""Position and token of a row that stands for a whole text."""


@dataclass(frozen=True, eq=False)
class RowFacts:
    """One entry per row of a store: text in int64, the others in int32.

    Attributes:
        text: number of the text in the source, not decreasing.
        position: of the token in the text's tokens; -1 for a row that stands for the whole text.
        token: id; -1 for a row that stands for the whole text.
        start, stop: the characters of the text that the row stands for.

    Raises:
        ValueError: arrays of different lengths, or that are not one-dimensional and whole.
    """

    text: Int[Array, "rows"]
    position: Int[Array, "rows"]
    token: Int[Array, "rows"]
    start: Int[Array, "rows"]
    stop: Int[Array, "rows"]

    def __post_init__(self) -> None:
        for name, values in self.arrays().items():
            given = np.asarray(values)
            if given.ndim != 1 or given.dtype.kind not in "iu":
                raise ValueError(
                    f"{name} is {given.dtype}{given.shape}; pass one whole number a row"
                )
            if len(given) != len(self.text):
                raise ValueError(
                    f"{name} has {len(given)} entries and text {len(self.text)}; pass one a row"
                )
            kind = np.int64 if name == "text" else np.int32
            object.__setattr__(self, name, given.astype(kind, copy=False))

    def __len__(self) -> int:
        return len(self.text)

    def arrays(self) -> dict[str, Int[Array, "rows"]]:
        """The attributes by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def take(self, rows: Int[Array, "r"] | Bool[Array, "rows"] | slice) -> RowFacts:
        """The facts of some rows, by number, by mask or by slice."""
        return RowFacts(**{name: values[rows] for name, values in self.arrays().items()})

    @classmethod
    def concatenate(cls, parts: Sequence[RowFacts]) -> RowFacts:
        """The rows of one part after another; no part gives no rows."""
        names = [field.name for field in fields(cls)]
        nothing = np.empty(0, np.int64)
        return cls(
            **{
                name: np.concatenate([nothing[:0], *(getattr(part, name) for part in parts)])
                for name in names
            }
        )

    @classmethod
    def of_texts(cls, first: int, lengths: Int[Array, "texts"]) -> RowFacts:
        """One row per text, which it stands for as a whole: texts first, first + 1, ...

        Args:
            first: number of the first text.
            lengths: characters of each text.
        """
        count = len(lengths)
        whole = np.full(count, AGGREGATED)
        return cls(np.arange(first, first + count), whole, whole, np.zeros(count, int), lengths)
