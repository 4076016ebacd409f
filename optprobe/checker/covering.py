"""The supports of a filtered node that its centres do not cover."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from optprobe.checker.centre import Centre
from optprobe.checker.columns import among
from optprobe.checker.form import RefusedError
from optprobe.checker.lines import Lines
from optprobe.checker.pairs import Pairs

if TYPE_CHECKING:
    from jaxtyping import Int

Array = np.ndarray

ALONG = 2**25
"""Supports up to which all are bounded along lines: past it, few of them are met at all."""

BLOCK = 2**13
"""Supports that are bounded one by one at once: some thirty such arrays stay in the cache."""

TOGETHER = 64
"""Columns that are bounded at once where a support has one."""

MOST = 2**24
"""Supports that a centre may leave, past which a node is refused."""


def uncovered(
    centres: list[Callable[[Int[Array, "u"]], Centre]], f: int, r: int, lower: float
) -> Int[Array, "batch r"]:
    """The r-subsets of f free columns whose bound reaches `lower` at no centre.

    Along lines and by sums over pairs at the first centre, then one by one at each.

    Args:
        centres: make the centre over some of the free columns.
        f, r: how many columns are free, and of these in a support.
        lower: what a bound must reach.

    Raises:
        RefusedError: there are too many to bound.
    """
    if r == 1:
        return _singles(centres, f, lower)[:, None]
    parts, held = [np.empty((r, 0), np.int64)], 0
    for sets in _left(centres[0](np.arange(f)), r, lower):
        parts.append(sets)
        held += sets.shape[1]
        if held > MOST:
            raise RefusedError(f"the first centre of a filtered node leaves more than {MOST}")
    left = np.concatenate(parts, axis=1)
    for centre in centres[1:]:
        used, place = among(left, f)
        bounds = centre(used).bounds(place)
        left = left[:, ~(bounds >= lower)]
    return left.T


def _singles(
    centres: list[Callable[[Int[Array, "u"]], Centre]], f: int, lower: float
) -> Int[Array, "batch"]:
    """The single columns, some at a time: no product of two of them is needed."""
    left = [np.empty(0, np.int64)]
    for start in range(0, f, TOGETHER):
        few = np.arange(start, min(start + TOGETHER, f))
        for centre in centres:
            few = few[~(centre(few).bounds(np.arange(len(few))[None]) >= lower)]
        left.append(few)
    return np.concatenate(left)


def _together(blocks: Iterator[Int[Array, "r batch"]]) -> Iterator[Int[Array, "r batch"]]:
    """The same supports in blocks that are worth the calls of NumPy."""
    parts: list[Array] = []
    held = 0
    for block in blocks:
        parts.append(block)
        held += block.shape[1]
        if held >= BLOCK:
            yield np.concatenate(parts, axis=1)
            parts, held = [], 0
    if parts:
        yield np.concatenate(parts, axis=1)


def _left(first: Centre, r: int, lower: float) -> Iterator[Int[Array, "r batch"]]:
    """What the first centre leaves, in blocks; r >= 2."""
    f = len(first.v)
    pairs = Pairs(first, r)
    few = math.comb(f, r) <= ALONG
    blocks = Lines(first).left(r, lower) if few else pairs.left(lower)
    for sets in _together(blocks):
        left = sets[:, pairs.exceed(sets, lower)]
        left = left[:, ~(first.bounds(left) >= lower)]
        for place in range(r):
            left = left[:, ~(first.beside(left, place) >= lower)]
        yield left
