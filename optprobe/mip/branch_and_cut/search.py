"""Branch and cut on the master: one tree, cuts at fractional and at integer points inside it.

At a node: solve the linear relaxation over the cuts held; cut at a water-filled point (`node.py`),
again while that raises the bound; fix columns by the combined cut (`lp.py`); then list the
supports that are left if they are few (`leaf.py`), or branch. Best-first, each node's better child
before the others. The bound at any moment is the least over the open nodes, the one in work
included, and nothing is closed more than the tolerance below the incumbent.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from types import ModuleType

import numpy as np
from jaxtyping import Float64, Int

from optprobe.mip.backends.base import Cut, Master, MipResult, Oracle, Progress
from optprobe.mip.branch_and_cut.node import Node
from optprobe.mip.branch_and_cut.state import State
from optprobe.mip.branch_and_cut.work import process
from optprobe.result import Limit, Limits

Array = np.ndarray

SHARPEN = 8
"""The root's first weights are the gains of the best cut to this power: where the cut is the
relaxation's, the columns in use have the same gain and all others less."""


def branch_and_cut(
    highspy: ModuleType,
    master: Master,
    oracle: Oracle,
    *,
    mip_start: Int[Array, "s"],
    limits: Limits,
    seed: int,
    threads: int,
    stop: Callable[[float], bool],
    on_progress: Callable[[Progress], None],
) -> MipResult:
    """Close the gap of a master; the arguments are those of `Backend.solve`, and the package.

    `limits.memory_bytes` counts the open nodes. An exception of the oracle or of a callback passes
    through.
    """
    state = State(
        highspy, master, oracle, mip_start=mip_start, limits=limits, seed=seed, threads=threads,
        stop=stop, on_progress=on_progress,
    )  # fmt: skip
    tree = _Tree(state)
    tree.push(Node.root(_first_weight(master)))
    tree.run()
    lower = min(state.lower, state.upper)
    limit = None if state.stopped else state.limit
    if limit is None and not state.stopped and state.upper - lower > master.tolerance:
        limit = Limit.STALLED
    statistics = {
        "lp_solves": float(state.lp.solves),
        "fractional_cuts": float(state.fractional),
        "integer_cuts": float(state.integer),
        "listed_supports": float(state.listed),
    }
    return MipResult(lower, tuple(state.held.values()), limit, state.nodes, statistics)


def _first_weight(master: Master) -> Float64[Array, "p"]:
    """Weights for the root's first water-filling, from the cut that bounds best."""
    if not len(master.value):
        return np.ones(master.p)
    cuts = [Cut(float(value), gain) for value, gain in zip(master.value, master.gain, strict=True)]
    best = max(cuts, key=lambda cut: cut.bound(master.k))
    return (best.gain / max(float(best.gain.max()), 1e-300)) ** SHARPEN


class _Tree:
    """The open nodes, and the loop over them."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.heap: list[tuple[float, int, int, Node]] = []  # the deeper first, then the older
        self.number = count()
        self.bytes = 0

    def push(self, node: Node) -> None:
        """Keep a node for later."""
        heapq.heappush(self.heap, (node.bound, -node.height, next(self.number), node))
        self.bytes += node.bytes
        self.state.waiting = self.heap[0][0]

    def pop(self) -> Node:
        """The open node with the least bound; it is the one in work from now on."""
        node = heapq.heappop(self.heap)[-1]
        self.bytes -= node.bytes
        self.state.working = node.bound
        self.state.waiting = self.heap[0][0] if self.heap else np.inf
        return node

    def run(self) -> None:
        """Until no open node lies below the cutoff, or the search is over."""
        state = self.state
        while self.heap and state.waiting < state.cutoff and not self.limited():
            node: Node | None = self.pop()
            while node is not None:
                node = self.dive(node)

    def dive(self, node: Node) -> Node | None:
        """Work on a node; its better child is next, unless it is closed or a limit forbids."""
        state = self.state
        state.nodes += 1
        children = [child for child in process(state, node) if child.bound < state.cutoff]
        children.sort(key=lambda child: child.bound)
        for child in children[1:]:
            self.push(child)
        state.working = children[0].bound if children else np.inf
        if children and not self.limited():
            return children[0]
        for child in children[:1]:
            self.push(child)
        state.working = np.inf
        return None

    def limited(self) -> bool:
        """Whether a limit or the caller allows no further node."""
        state = self.state
        if state.over():
            return True
        if state.nodes >= state.limits.nodes:
            state.limit = Limit.NODES
        elif self.bytes >= state.limits.memory_bytes:
            state.limit = Limit.MEMORY
        return state.limit is not None
