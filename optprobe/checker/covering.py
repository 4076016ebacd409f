"""The supports of a filtered node that its centres do not cover."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from optprobe.checker.centre import Centre
from optprobe.checker.lines import Lines

if TYPE_CHECKING:
    from jaxtyping import Int

Array = np.ndarray


def uncovered(centres: list[Centre], r: int, lower: float) -> Iterator[Int[Array, "batch r"]]:
    """Positions of the r-subsets whose bound reaches `lower` at no centre, in blocks.

    Along lines at the first centre, then one by one at each.
    """
    few = np.arange(len(centres[0].v))[None] if r == 1 else np.empty((0, 1), np.int64)
    for sets in Lines(centres[0]).left(r, lower) if r > 1 else (few,):
        left = sets
        for centre in centres:
            left = left[:, ~(centre.bounds(left) >= lower)]
        yield left.T
