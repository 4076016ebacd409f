"""The supports of a filtered node that its centres do not cover."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from optprobe.checker.centre import Centre
from optprobe.checker.lines import Lines
from optprobe.checker.pairs import Pairs

if TYPE_CHECKING:
    from jaxtyping import Int

Array = np.ndarray

ALONG = 2**25
"""Supports up to which all are bounded along lines: past it, few of them are met at all."""


def uncovered(centres: list[Centre], r: int, lower: float) -> Iterator[Int[Array, "batch r"]]:
    """Positions of the r-subsets whose bound reaches `lower` at no centre, in blocks.

    Along lines and by sums over pairs at the first centre, then one by one at each.

    Raises:
        RefusedError: there are too many to bound.
    """
    first, f = centres[0], len(centres[0].v)
    pairs = Pairs(first, r) if r > 1 else None
    if pairs is None:
        blocks = iter((np.arange(f)[None],))
    elif math.comb(f, r) <= ALONG:
        blocks = Lines(first).left(r, lower)
    else:
        blocks = pairs.left(lower)
    for sets in blocks:
        left = sets if pairs is None else sets[:, pairs.exceed(sets, lower)]
        for centre in centres:
            left = left[:, ~(centre.bounds(left) >= lower)]
        for place in range(r if r > 1 else 0):
            left = left[:, ~(first.beside(left, place) >= lower)]
        yield left.T
