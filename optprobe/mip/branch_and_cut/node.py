"""A tree node: what is fixed, what is free, and where its relaxation was last seen.

The relaxation of a node is min P(s) over its box. Its solution obeys s_j proportional to |beta_j|
with beta_j = s_j v_j / lam, and a cut at s shows v_j^2 through its gains, so

    s_j  <-  min(1, c s_j sqrt(g_j)),   c such that sum s = r

("water-filling") moves s towards it with nothing but the cut just made. Source of the fixed point:
Pilanci, Wainwright, El Ghaoui 2015, "Sparse learning via Boolean relaxations".
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int, UInt8

from optprobe.bounds import branch_bounds
from optprobe.mip.backends.base import Cut

Array = np.ndarray

OVERHEAD = 600
"""Bytes of the Python objects that hold one open node, about."""


class Box:
    """A node in work: its columns as masks, its bound, and what cuts say about them."""

    def __init__(
        self, bound: float, forced: Bool[Array, "p"], free: Bool[Array, "p"], k: int
    ) -> None:
        self.bound, self.forced, self.free, self.k = bound, forced, free, k

    @property
    def remaining(self) -> int:
        """How many free columns a support may still take."""
        return self.k - int(self.forced.sum())

    @property
    def single(self) -> bool:
        """One support contains all that are left."""
        return self.remaining <= 0 or int(self.free.sum()) <= self.remaining

    def support(self, weight: Float64[Array, "p"]) -> Int[Array, "s"]:
        """The forced columns and the free ones of the largest weights."""
        free = np.flatnonzero(self.free)
        order = np.argsort(-weight[free], kind="stable")[: max(self.remaining, 0)]
        return np.union1d(np.flatnonzero(self.forced), free[order])

    def learn(self, cut: Cut, cutoff: float) -> bool:
        """Raise the bound and fix columns by one cut, as long as it fixes any.

        Returns whether something is left to search; if not, every support of the box that is not
        `support()` is bounded by the cutoff or more.
        """
        while self.bound < cutoff and not self.single:
            free = np.flatnonzero(self.free)
            held = float(cut.gain[self.forced].sum())
            scores = branch_bounds(cut.value, held, cut.gain[free], self.remaining)
            self.bound = max(self.bound, scores.bound)
            out, into = free[scores.entering >= cutoff], free[scores.leaving >= cutoff]
            if not len(out) and not len(into):
                break
            if len(into) > self.remaining or len(np.intersect1d(out, into)):
                self.bound = max(self.bound, cutoff)
                break
            self.free[out] = self.free[into] = False
            self.forced[into] = True
        return self.bound < cutoff and not self.single

    def fill(self, weight: Float64[Array, "p"]) -> Float64[Array, "p"]:
        """s = 1 on the forced columns, min(1, c weight) on the free ones, sum s = k."""
        s = self.forced.astype(float)
        free = np.flatnonzero(self.free & (weight > 0.0))
        room = self.remaining
        if len(free) <= room:
            s[free] = 1.0
            return s
        order = free[np.argsort(-weight[free], kind="stable")]
        ranked = weight[order]
        rest = np.cumsum(ranked[::-1])[::-1]
        # The q largest are at 1, q the smallest count that keeps the others below.
        left = room - np.arange(room)
        q = int(np.argmax(ranked[:room] * left <= rest[:room]))
        s[order] = np.minimum(1.0, ranked * (left[q] / rest[q]))
        s[order[:q]] = 1.0
        return s


@dataclass(frozen=True)
class Node:
    """An open node.

    Attributes:
        bound: on every support in it.
        height: 0 for the root, one more for each branching.
        forced: columns at 1; free: those not fixed, packed to bits.
        used, weight: the weights of its last water-filling, where they are not 0.
    """

    bound: float
    height: int
    forced: Int[Array, "f"]
    free: UInt8[Array, "bytes"]
    used: Int[Array, "u"]
    weight: Float32[Array, "u"]

    @classmethod
    def root(cls, weight: Float64[Array, "p"]) -> Node:
        """Everything free."""
        return cls._of(Box(0.0, np.zeros(len(weight), bool), np.ones(len(weight), bool), 0), weight)

    @classmethod
    def _of(cls, box: Box, weight: Array, height: int = 0) -> Node:
        used = np.flatnonzero(weight)
        forced, free = np.flatnonzero(box.forced), np.packbits(box.free)
        return cls(box.bound, height, forced, free, used, weight[used].astype(np.float32))

    @property
    def bytes(self) -> int:
        """Memory that it holds."""
        held = self.forced.nbytes + self.free.nbytes + self.used.nbytes + self.weight.nbytes
        return held + OVERHEAD

    def open(self, p: int, k: int) -> tuple[Box, Float64[Array, "p"]]:
        """Its box over p columns, and its weights."""
        forced, weight = np.zeros(p, bool), np.zeros(p)
        forced[self.forced], weight[self.used] = True, self.weight
        return Box(self.bound, forced, np.unpackbits(self.free, count=p).astype(bool), k), weight

    def again(self, box: Box, weight: Float64[Array, "p"]) -> Node:
        """The node with what its box has learnt."""
        return self._of(box, weight, self.height)

    def children(
        self, box: Box, weight: Float64[Array, "p"], column: int, entering: float, leaving: float
    ) -> list[Node]:
        """Both children, the column in and the column out, with their bounds."""
        packed = box.free.copy()
        packed[column] = False
        base = replace(self._of(box, weight, self.height + 1), free=np.packbits(packed))
        inside = np.sort(np.append(base.forced, column))
        return [replace(base, bound=entering, forced=inside), replace(base, bound=leaving)]
