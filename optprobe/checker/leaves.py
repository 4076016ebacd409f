"""The leaves of the tree that cover their supports one by one.

Enumerated: by the node's dual point, without meeting them; filtered: by its centres, meeting all of
them; what is left, by a fit of its own in the list of the node.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from optprobe.checker.centre import Centre
from optprobe.checker.covering import uncovered
from optprobe.checker.filtered import Centres
from optprobe.checker.form import RefusedError
from optprobe.checker.points import Fits, Points
from optprobe.checker.rounding import gamma
from optprobe.checker.survivors import Listed, surviving

if TYPE_CHECKING:
    from jaxtyping import Float64, Int

Array = np.ndarray

DEEPEST = 6
"""Columns that the supports of a filtered leaf add, past which it is refused unread."""


@dataclass
class Counts:
    """What the walk met: nodes, leaves of each kind, and the supports that each way covers.

    Supports have exactly r free columns, or all of them: `fitted` are those with a fit of their
    own, `excluded` those under the dual point of an enumerated leaf, `screened` those under the
    centre of a filtered leaf, `below_bounds` those of bounded leaves.
    """

    nodes: int = 0
    bounded: int = 0
    enumerated: int = 0
    filtered: int = 0
    fitted: int = 0
    excluded: int = 0
    screened: int = 0
    below_bounds: int = 0


class Covered(NamedTuple):
    """Supports of a filtered leaf: those with a fit of their own, and those under a centre."""

    fitted: int
    screened: int


class Node(NamedTuple):
    """Node number; S1 and F as positions in the scope, F increasing; r."""

    number: int
    forced: tuple[int, ...]
    free: Int[Array, "f"]
    remaining: int


class Tree(NamedTuple):
    """The tree's arrays and the sizes of its subtrees, its dual points, centres and fits, and the
    claim."""

    arrays: dict[str, Array]
    sizes: Int[Array, "nodes"]
    points: Points
    centres: Centres
    fits: Fits
    scope: Int[Array, "p"]
    k: int
    lower: float


def check_enumerated(
    node: Node, value: float, gain: Float64[Array, "p"], tree: Tree, counts: Counts
) -> None:
    """Every S1 + T, |T| = min(r, |F|), is excluded by the dual point or among the good fits."""
    r = min(node.remaining, len(node.free))
    order = node.free[np.argsort(-gain[node.free], kind="stable")]
    total = float(gain[list(node.forced)].sum())
    slack = gamma(len(node.forced) + 16) * (abs(value) + total + abs(tree.lower))
    budget = value - total - tree.lower - slack

    def bound(places: Int[Array, "r"]) -> float:
        return value - total - float(gain[order[places]].sum())

    left = surviving(gain[order], r, budget)
    fitted = _listed(node._replace(free=order), "enumerated", left, bound, tree)
    counts.fitted += fitted
    counts.excluded += math.comb(len(node.free), r) - fitted


def check_filtered(node: Node, tree: Tree) -> Covered:
    """Every S + T, S the forced columns of the centres, is bounded by one or among the good fits.

    Columns of S1 outside S return to F: more supports than the node has.

    Raises:
        RefusedError: one is not.
    """
    first, last = (int(i) for i in tree.arrays["node_centre"][node.number])
    forced = tree.centres.forced(first)
    if any(not np.array_equal(forced, tree.centres.forced(i)) for i in range(first, last)):
        raise RefusedError(
            f"{name_of(node, tree, 'filtered')}: its centres force different columns"
        )
    back = np.setdiff1d(np.array(node.forced, np.int64), forced)
    if len(back) + len(forced) > len(node.forced):
        raise RefusedError(
            f"{name_of(node, tree, 'filtered')}: its centre forces columns that the node does not"
        )
    free = np.union1d(node.free, back)
    node = Node(node.number, tuple(forced.tolist()), free, node.remaining + len(back))
    r = min(node.remaining, len(free))
    supports = math.comb(len(free), r)
    if r > DEEPEST:
        raise RefusedError(f"{name_of(node, tree, 'filtered')}: {r} columns to add, too many")
    centres = [partial(_centre, tree, i, free, r) for i in range(first, last)]

    def bound(places: Int[Array, "r"]) -> float:
        every = np.arange(r)[:, None]
        return max(float(centre(places).bounds(every)[0]) for centre in centres)

    left = uncovered(centres, len(free), r, tree.lower)
    fitted = _listed(node, "filtered", iter((left,)), bound, tree)
    return Covered(fitted, supports - fitted)


def _centre(
    tree: Tree, number: int, free: Int[Array, "f"], r: int, used: Int[Array, "u"]
) -> Centre:
    """A centre over some of the free columns."""
    return tree.centres.at(number, free[used], r)


def _listed(
    node: Node,
    kind: str,
    left: Iterator[Int[Array, "batch r"]],
    bound: Callable[[Int[Array, "r"]], float],
    tree: Tree,
) -> int:
    """How many supports are left; each must be listed with a fit that reaches the claim.

    Args:
        node: S1, and F in the order that `left` counts in.
        kind: for messages.
        left: positions in F of the T that nothing else covers.
        bound: what covers them too little, likewise.
        tree: with the fits.
    """
    first, last = (int(i) for i in tree.arrays["node_fits"][node.number])
    listed = tree.fits.supports[first:last]
    good = tree.fits.bounds(first, last) >= tree.lower
    forced = np.array(node.forced, np.int64)
    members = Listed(listed[good], len(tree.scope) + 1)
    fitted = 0
    for places in left:
        head = np.broadcast_to(forced, (len(places), len(forced)))
        supports = np.sort(np.concatenate([head, node.free[places]], axis=1), axis=1)
        if supports.shape[1] == tree.k:
            found = members.contains(supports)
        else:  # F has run out: one support, covered by any fit that holds it
            inside = np.isin(listed[good], supports[:1]).sum(axis=1)  # none: it is bounded
            found = np.array([(inside == supports.shape[1]).any()] * len(places), bool)
        if not found.all():
            worst = int(np.argmin(found))
            _refuse_support(node, kind, supports[worst], bound(places[worst]), tree)
        fitted += len(supports)
    return fitted


def _refuse_support(
    node: Node, kind: str, support: Int[Array, "s"], bound: float, tree: Tree
) -> None:
    """Say which support of a leaf is not covered, and why."""
    first, last = (int(i) for i in tree.arrays["node_fits"][node.number])
    listed = tree.fits.supports[first:last]
    same = (np.isin(listed, support).sum(axis=1) == len(support)).nonzero()[0]
    columns = tuple(tree.scope[support].tolist())
    if len(same):
        bound = float(tree.fits.bounds(first, last)[same].max())
        fault = f"its fit bounds the support {columns} by {bound:.12g} only, below"
    else:
        fault = f"the support {columns} is not fitted and its bound is {bound:.12g}, below"
    raise RefusedError(f"{name_of(node, tree, kind)}: {fault} the claimed lower {tree.lower:.12g}")


def name_of(node: Node, tree: Tree, kind: str) -> str:
    """The node as a message names it."""
    forced = tuple(tree.scope[list(node.forced)].tolist())
    shown = f"{forced[:8]}" if len(forced) <= 8 else f"{forced[:8]} and {len(forced) - 8} more"
    return (
        f"node {node.number} ({kind}: columns {shown} forced in, {len(node.free)} free, "
        f"at most {node.remaining} of them)"
    )
