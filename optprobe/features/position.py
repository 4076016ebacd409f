"""Where in its text a token stands. No position is skipped: the first ones are the feature."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Int32

from optprobe.features import treebank
from optprobe.features.base import Dataset, Feature
from optprobe.features.rules import ByPosition

Array = np.ndarray
Test = Callable[[Int32[Array, "rows"], Int32[Array, "rows"]], Bool[Array, "rows"]]

EDGES = (2, 4, 8, 16, 32, 64, 128, 256)


def before(edge: int) -> Test:
    """Positions below an edge."""
    return lambda position, last: position < edge


TESTS: dict[str, tuple[str, Test]] = {
    "first": ("the first token of its text", lambda position, last: position == 0),
    "last": ("the last token of its text", lambda position, last: position == last),
    "first_half": ("in the first half of its text", lambda position, last: 2 * position < last),
    "last_quarter": (
        "in the last quarter of its text",
        lambda position, last: 4 * position > 3 * last,
    ),
    "even": ("at an even position", lambda position, last: position % 2 == 0),
    **{f"before_{edge}": (f"at a position below {edge}", before(edge)) for edge in EDGES},
}
"""Name -> meaning and test of (position, last position of the text), counted from 0."""


def features(dataset: Dataset) -> list[Feature]:
    """position/first, position/before_32, ...; they fit any texts."""
    return [
        Feature(f"position/{name}", f"token {meaning}", "token", ByPosition(test), skip_first=0)
        for name, (meaning, test) in TESTS.items()
    ]


COLLECTION = treebank.collection("position", "position in the text", features, computed=True)
