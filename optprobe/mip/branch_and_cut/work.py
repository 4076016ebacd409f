"""The work on one node: bound and fix by cuts, then list what is left of it, or branch."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from optprobe.bounds import branch_bounds
from optprobe.engine.enumeration import surviving_subsets
from optprobe.mip.backends.base import Cut
from optprobe.mip.branch_and_cut.leaf import SupportList, solve_list
from optprobe.mip.branch_and_cut.node import Box, Node
from optprobe.mip.branch_and_cut.state import State

Array = np.ndarray

ROOT_ROUNDS, ROUNDS = 40, 12
"""Cuts at fractional points of the root, and of any other node, at most."""

PROGRESS = 0.1
"""Share of the way to the cutoff that a round must cover for another one to follow, once a point
of the node's relaxation lies below the cutoff: cuts alone can then not close the node."""

MIX = 0.05
"""Share of the linear relaxation's point in the next point to cut. Only there do columns enter
that the weights have forgotten; more of it makes worse cuts (Kelley's method, at 1)."""

TINY = 1e-3
"""Entries of a fractional point below this are dropped: they cost time in the fit."""

SUPPORTS = 10_000
"""Supports of a node that are listed rather than branched on."""


def process(state: State, node: Node) -> list[Node]:
    """Close a node, split it, or give it back tighter if the search is over.

    Fractional cuts follow each other while they pay: each is made where the node's relaxation is
    now expected to lie, and with the linear relaxation after it bounds and fixes.
    """
    box, weight = node.open(state.master.p, state.master.k)
    made: Cut | None = None
    least = np.inf  # the smallest P(s) seen in the box
    for _ in range(ROUNDS if node.height else ROOT_ROUNDS):
        before = box.bound
        point = state.lp.solve(box.forced, box.free, state.seconds)
        best = point.cut or made
        left = not box.single if best is None else box.learn(best, state.cutoff)
        state.working = box.bound
        if not left:
            return _close(state, box, weight)
        if state.over():
            return [node.again(box, weight)]
        if best is not None:
            supports = _supports(state, box, best)
            if supports is not None:
                return [] if solve_list(state, supports) else [node.again(box, weight)]
            stalled = box.bound - before < PROGRESS * (state.cutoff - box.bound)
            if made is not None and stalled and least < state.cutoff:
                break
        s = (1.0 - MIX) * box.fill(weight) + MIX * np.where(box.forced, 1.0, point.s * box.free)
        s[s < TINY] = 0.0
        made = state.cut_fraction(s)
        state.lp.add(made)
        least = min(least, made.at(s))
        weight = s * np.sqrt(made.gain)
        if not box.learn(made, state.cutoff):
            return _close(state, box, weight)
        rounded = box.support(weight)
        if state.promising(rounded):
            state.lp.add(state.fit(rounded))
    return _branch(node, box, weight, made)


def _close(state: State, box: Box, weight: Float64[Array, "p"]) -> list[Node]:
    """The end of a box that the cutoff has passed, or that holds a single support."""
    if box.bound < state.cutoff:
        state.settle(box.support(weight))
    return []


def _supports(state: State, box: Box, cut: Cut) -> SupportList | None:
    """The supports of a box that the cuts leave, or None if one cut leaves too many."""
    free, forced = np.flatnonzero(box.free), np.flatnonzero(box.forced)
    need = cut.value - float(cut.gain[forced].sum()) - state.cutoff
    subsets = surviving_subsets(cut.gain[free], box.remaining, need, SUPPORTS)
    if subsets is None:
        return None
    supports = SupportList(forced, free[subsets], box.bound)
    if len(supports):
        supports.rate_all(state.lp.value, state.lp.gain, state.cutoff)
    return supports


def _branch(node: Node, box: Box, weight: Float64[Array, "p"], cut: Cut | None) -> list[Node]:
    """Split on the free column with the largest entry in the relaxation's point.

    It is the one whose absence costs most; its presence leaves fewer supports to list.
    """
    free = np.flatnonzero(box.free)
    strongest = int(np.argmax(weight[free]))
    entering = leaving = box.bound
    if cut is not None:
        held = float(cut.gain[box.forced].sum())
        scores = branch_bounds(cut.value, held, cut.gain[free], box.remaining)
        entering = max(entering, float(scores.entering[strongest]))
        leaving = max(leaving, float(scores.leaving[strongest]))
    return node.children(box, weight, int(free[strongest]), entering, leaving)
