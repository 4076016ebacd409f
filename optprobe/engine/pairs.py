"""Supports of a filtered node whose pairs cost much, listed without meeting the others.

A set of m + 1 columns whose `pair_costs` sum to more than x has one of m columns, without the one
that adds least, whose sum exceeds x (m - 1) / (m + 1): every pair lies in m - 1 of its subsets of m
columns, so that these have that share of the sum on average. So the sets are found from pairs
upwards: a few columns aside, of the 2 x 10^11 quadruples of a whole layer some 10^7 are met.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import numpy as np
from jaxtyping import Int

from optprobe.engine.extending import every, extend, extend_last
from optprobe.engine.filter import Quadratic
from optprobe.engine.leaves import Found
from optprobe.engine.pair_costs import needed, pair_costs
from optprobe.engine.steps import below, step
from optprobe.matrix.standardise import slices
from optprobe.threads import in_threads, nothing

Array = np.ndarray

SUMS, MET = 2**16, 2**11
"""Sums of a level, and sets that the last level meets, for every fit that a child takes the time
of: past it columns are set aside, for which the node has children."""

EVERY = 2**14
"""For every fit that a child takes the time of: the supports of a node up to which all are met."""

SAMPLED = 2048
"""Sets whose extensions tell about those of all."""

APART, PARTS, ROOM = 64, 4, 2**13
"""Sets that a piece of work extends, or pieces that a small node's are in, and room for what comes
of them."""


def above(
    at: Quadratic,
    size: int,
    lam: float,
    cutoff: float,
    child: float,
    stop: Callable[[], bool],
    tick: Callable[[], None] = nothing,
) -> Found | None:
    """The supports whose pairs cost too much for the cutoff, and whose own step does too.

    In a small node all of them take their own step: that costs less than to look for them.

    Args:
        at: the centre.
        size: columns of a support.
        lam: ridge.
        cutoff: what a bound must reach.
        child: what a child takes, in fits.
        stop: whether to give up: None is returned then.
        tick: called now and then, in the caller's thread.
    """
    f = len(at.v)
    levels = Loops(at, size, lam, cutoff, stop, tick)
    if size > 2 and math.comb(f, size) <= EVERY * child:
        left = levels.every(f, size)
        return None if left is None else Found(left.astype(np.int64), np.empty(0, np.int64))
    return climb(levels, f, size, at.value - cutoff, child)


class Levels(Protocol):
    """Lists the sets of a node's columns whose pairs sum to much, in the order of those given."""

    def pairs(self, bar: float) -> Int[Array, "m 2"]:
        """The pairs that cost more than `bar`."""
        ...

    def longer(self, sets: Int[Array, "m q"], bar: float, last: bool) -> Int[Array, "m2 q1"] | None:
        """The sets of one more column whose pairs sum to more than `bar`, each once.

        At the last level, less the supports that their own step proves out. None if told to stop.
        """
        ...

    def left(self, sets: Int[Array, "m r"]) -> Int[Array, "m2 r"]:
        """The supports that their own step does not prove out."""
        ...

    def drop(self, columns: list[int]) -> None:
        """Leave columns out of all sets from now on."""
        ...


def climb(levels: Levels, f: int, size: int, need: float, child: float) -> Found | None:
    """`above`, from pairs to sets of `size` out of f columns, whatever extends them.

    Args:
        levels: extends sets.
        f: columns.
        size: columns of a support.
        need: what the pairs of a support may cost.
        child: what a child takes, in fits.
    """
    pairs = math.comb(size, 2)
    need = needed(need)
    sets = levels.pairs(need / pairs)
    hubs: list[int] = []
    for level in range(3, size + 1):
        last = level == size
        bar = need * math.comb(level, 2) / pairs
        apart = 1 + len(sets) // SAMPLED
        sample = levels.longer(sets[::apart], bar, False)
        if sample is None:
            return None
        more = _many(sample, f, child * (MET if last else SUMS / f) / apart)
        if apart == 1 and not more and not last:
            sets = sample
            continue
        if more:
            hubs += more
            sets = sets[~np.isin(sets, more).any(axis=1)]
            levels.drop(more)
        found = levels.longer(sets, bar, last)
        if found is None:
            return None
        sets = found
    if size == 2:
        sets = levels.left(sets)
    return Found(sets.astype(np.int64), np.array(hubs, np.int64))


def _many(sets: Int[Array, "m q"], f: int, most: float) -> list[int]:
    """Columns without which no more than `most` sets are left: one after another, that of most."""
    hubs: list[int] = []
    count = np.bincount(sets.ravel(), minlength=f)
    while len(sets) > most:
        hubs.append(int(count.argmax()))
        has = (sets == hubs[-1]).any(axis=1)
        count -= np.bincount(sets[has].ravel(), minlength=f)
        sets = sets[~has]
    return hubs


class Loops:
    """`Levels` by the compiled loops."""

    def __init__(
        self,
        at: Quadratic,
        size: int,
        lam: float,
        cutoff: float,
        stop: Callable[[], bool],
        tick: Callable[[], None],
    ) -> None:
        self.E, self.stop, self.tick = pair_costs(at, lam, size), stop, tick
        self.step = step(at, np.ascontiguousarray(at.M.T), lam, cutoff)

    def pairs(self, bar: float) -> Int[Array, "m 2"]:
        return np.argwhere(np.triu(bar < self.E, 1)).astype(np.int32)

    def left(self, sets: Int[Array, "m r"]) -> Int[Array, "m2 r"]:
        left = np.empty(len(sets), np.bool_)
        below(self.step, np.ascontiguousarray(sets, np.int64), left)
        return sets[left]

    def drop(self, columns: list[int]) -> None:
        self.E[columns] = self.E[:, columns] = -np.inf

    def every(self, f: int, size: int) -> Int[Array, "m r"] | None:
        """The supports that are left of all, however many their pairs sum to; None if stopped."""

        def work(part: int) -> Array | None:
            found = [np.empty((0, size), np.int32)]
            for first in range(part, f - size + 1, PARTS):
                begun, more = np.arange(first, first + size - 1), True
                while more:
                    if self.stop():
                        return None
                    out = np.empty((ROOM + f, size), np.int32)
                    more, held = every(begun, self.step, out)
                    found.append(out[:held])
            return np.concatenate(found)

        return _joined(in_threads(work, range(PARTS), self.tick), size)

    def longer(self, sets: Int[Array, "m q"], bar: float, last: bool) -> Int[Array, "m2 q1"] | None:
        q, f = sets.shape[1], len(self.E)

        def work(part: slice) -> Array | None:
            mine = np.ascontiguousarray(sets[part])
            found: list[Array] = []
            done = 0
            while done < len(mine):
                if self.stop():
                    return None
                out = np.empty((ROOM + f, q + 1), np.int32)
                if last:
                    done, held = extend_last(self.E, mine, done, bar, self.step, out)
                else:
                    done, held = extend(self.E, mine, done, bar, out)
                found.append(out[:held])
            return np.concatenate([np.empty((0, q + 1), np.int32), *found])

        parts = list(slices(len(sets), APART))
        return _joined(in_threads(work, parts, self.tick), q + 1)


def _joined(found: list[Array | None], size: int) -> Int[Array, "m r"] | None:
    """Parts as one array; None if one of them was stopped."""
    whole = [part for part in found if part is not None]
    if len(whole) < len(found):
        return None
    return np.concatenate([np.empty((0, size), np.int32), *whole])
