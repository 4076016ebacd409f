"""What the search keeps of a node."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int

from optprobe.relaxation import Nodes

Array = np.ndarray


@dataclass(order=True)
class Node:
    """An open node, ordered by bound and then by age."""

    bound: float
    number: int  # in the proof
    forced: Int[Array, "s"] = field(compare=False)
    free: Bool[Array, "d"] = field(compare=False)  # packed, 8 columns a byte
    used: Int[Array, "u"] = field(compare=False)  # nonzero entries of the parent's relaxation
    beta: Float64[Array, "u"] = field(compare=False)
    intercept: float = field(compare=False)

    def supports(self, k: int) -> int:
        """How many supports of k columns it has."""
        return math.comb(int(np.unpackbits(self.free).sum()), k - len(self.forced))

    @property
    def bytes(self) -> int:
        """Memory it holds, for the memory limit."""
        return 500 + 8 * len(self.forced) + self.free.nbytes + 12 * len(self.used)


class Point(NamedTuple):
    """A node's relaxation over all columns: its dual point's value and gains, and its solution."""

    value: float
    gain: Float64[Array, "d"]
    beta: Float64[Array, "d"]
    intercept: float


def unpacked(
    batch: list[Node], k: int, d: int
) -> tuple[Nodes, Float64[Array, "batch d"], Float64[Array, "batch"]]:
    """A batch as arrays over d columns: the nodes, their first coefficients and intercepts."""
    forced = np.zeros((len(batch), d), bool)
    free = np.zeros((len(batch), d), bool)
    start = np.zeros((len(batch), d))
    for i, node in enumerate(batch):
        forced[i, node.forced] = True
        free[i] = np.unpackbits(node.free, count=d).astype(bool)
        start[i, node.used] = node.beta
    intercept = np.array([node.intercept for node in batch])
    return Nodes(forced, free, k - forced.sum(axis=1)), start, intercept
