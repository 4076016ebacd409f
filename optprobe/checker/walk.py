"""The walk over the tree: its leaves cover every support of at most k columns of the scope.

A node stands for the supports S with S1 in S, S - S1 in F, |S - S1| <= r. At its dual point

    bound    = value - g(S1) - top_r(g_F)                  no support of the node is below
    entering = bound + max(least of the top r - g_j, 0)    none of those that hold j is below
    leaving  = bound + max(g_j - next after the top r, 0)  none of those without j is below

Depth first, the smaller subtree first, so that at most log2 N nodes wait with their columns.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from optprobe.certificate import Kind
from optprobe.checker.filtered import Centres, uncovered
from optprobe.checker.form import RefusedError
from optprobe.checker.points import Fits, Points
from optprobe.checker.rounding import gamma
from optprobe.checker.survivors import Listed, surviving

if TYPE_CHECKING:
    from jaxtyping import Float64, Int

Array = np.ndarray


MOST, DEEPEST = 2**33, 6
"""Supports of a filtered leaf, and the columns that they add, past which it is refused unread."""


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


class Node(NamedTuple):
    """Node number; S1 and F as positions in the scope, F increasing; r."""

    number: int
    forced: tuple[int, ...]
    free: Int[Array, "f"]
    remaining: int


class Bounds(NamedTuple):
    """Bounds of a node and of its children per free column, rounded down."""

    bound: float
    entering: Float64[Array, "f"]
    leaving: Float64[Array, "f"]


class Tree(NamedTuple):
    """The tree's arrays, its dual points and fits, and the claim."""

    arrays: dict[str, Array]
    points: Points
    centres: Centres
    fits: Fits
    scope: Int[Array, "p"]
    k: int
    lower: float


def node_bounds(
    value: float, forced: Float64[Array, "s"], free: Float64[Array, "f"], remaining: int
) -> Bounds:
    """The three bounds from value and gains; with r = 0 or r >= |F| see `bounds.branch_bounds`."""
    if value == -math.inf:
        nothing = np.full(len(free), -math.inf)
        return Bounds(-math.inf, nothing, nothing)
    base = value - float(forced.sum())
    size = len(free)
    if remaining >= size:
        top = float(free.sum())
        smallest, runner_up = 0.0, 0.0
    elif remaining == 0:
        top, smallest, runner_up = 0.0, 0.0, math.inf
    else:
        order = np.partition(free, (size - remaining - 1, size - remaining))
        smallest, runner_up = order[size - remaining], order[size - remaining - 1]
        top = float(order[size - remaining :].sum())
    slack = gamma(len(forced) + remaining + 16) * (abs(value) + float(forced.sum()) + 2.0 * top)
    bound = base - top - slack
    entering = bound + np.maximum(smallest - free, 0.0)
    leaving = bound + np.maximum(free - runner_up, 0.0)
    return Bounds(bound, entering, leaving)


def preorder(arrays: dict[str, Array]) -> tuple[Int[Array, "reached"], Int[Array, "nodes"]]:
    """Nodes in the order of the walk, and the size of every subtree."""
    child = arrays["node_child"].tolist()
    sizes = [1] * len(child)
    for number in range(len(child) - 1, -1, -1):
        for below in child[number]:
            if below >= 0:
                sizes[number] += sizes[below]
    order, stack = [], [0]
    while stack:
        number = stack.pop()
        order.append(number)
        stack += sorted((c for c in child[number] if c >= 0), key=sizes.__getitem__, reverse=True)
    return np.array(order), np.array(sizes)


def point_order(arrays: dict[str, Array], order: Int[Array, "reached"]) -> Int[Array, "used"]:
    """Dual points in the order in which the walk meets them first."""
    points = arrays["node_point"][order]
    points = points[points >= 0]
    used, first = np.unique(points, return_index=True)
    return used[np.argsort(first)].astype(np.int64)


def walk_tree(tree: Tree, sizes: Int[Array, "nodes"]) -> Counts:
    """Check every leaf.

    Raises:
        RefusedError: at the first leaf that is not covered.
    """
    counts = Counts()
    child = tree.arrays["node_child"]
    stack = [Node(0, (), np.arange(len(tree.scope)), tree.k)]
    while stack:
        node = stack.pop()
        counts.nodes += 1
        kind = tree.arrays["node_kind"][node.number]
        point = int(tree.arrays["node_point"][node.number])
        value, gain = tree.points[point] if point >= 0 else (-math.inf, np.zeros(len(tree.scope)))
        bounds = node_bounds(value, gain[list(node.forced)], gain[node.free], node.remaining)
        if bounds.bound >= tree.lower:
            counts.bounded += 1
            size = len(node.free)
            counts.below_bounds += math.comb(size, min(node.remaining, size))
            continue
        if kind == Kind.BOUNDED:
            raise RefusedError(
                f"{_name(node, tree, 'bounded')} has the bound {bounds.bound:.12g}, below "
                f"the claimed lower {tree.lower:.12g}"
            )
        node = _fixed(node, bounds, tree.lower)
        if kind == Kind.ENUMERATED:
            counts.enumerated += 1
            _check_enumerated(node, value, gain, tree, counts)
            continue
        if kind == Kind.FILTERED:
            counts.filtered += 1
            _check_filtered(node, tree, counts)
            continue
        below = [node] if kind == Kind.FIX else _branches(node, tree)
        reached = []
        for side, state in enumerate(below):
            if state is None:
                continue
            number = int(child[node.number, side])
            if number < 0:
                raise RefusedError(
                    f"{_name(node, tree, kind_name(int(kind)))} has no child "
                    f"{side}, so nothing covers the supports on that side"
                )
            reached.append(state._replace(number=number))
        stack += sorted(reached, key=lambda state: sizes[state.number], reverse=True)
    return counts


def kind_name(kind: int) -> str:
    """Lower-case name of a kind of node."""
    return Kind(kind).name.lower()


def _fixed(node: Node, bounds: Bounds, lower: float) -> Node:
    """Free columns that every support below `lower` must hold join S1, those none may hold go."""
    if node.remaining == 0:
        return node._replace(free=node.free[:0])
    join = bounds.leaving >= lower
    stay = ~(join | (bounds.entering >= lower))
    joined = tuple(node.free[join].tolist())
    return node._replace(
        forced=node.forced + joined,
        free=node.free[stay],
        remaining=node.remaining - len(joined),
    )


def _branches(node: Node, tree: Tree) -> list[Node | None]:
    """Child states [forced in, forced out] of a BRANCH node, None for a side without supports."""
    column = int(tree.arrays["node_column"][node.number])
    position = int(np.searchsorted(tree.scope, column))
    if position < len(tree.scope) and tree.scope[position] == column:
        if position in node.forced:
            return [node, None]
        place = int(np.searchsorted(node.free, position))
        if place < len(node.free) and node.free[place] == position:
            free = np.delete(node.free, place)
            inside = Node(node.number, (*node.forced, position), free, node.remaining - 1)
            return [inside if node.remaining > 0 else None, node._replace(free=free)]
    return [None, node]


def _check_enumerated(
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


def _check_filtered(node: Node, tree: Tree, counts: Counts) -> None:
    """Every S + T, S the forced columns of the centres, is bounded by one or among the good fits.

    Columns of S1 outside S return to F: more supports than the node has.
    """
    first, last = (int(i) for i in tree.arrays["node_centre"][node.number])
    forced = tree.centres.forced(first)
    if any(not np.array_equal(forced, tree.centres.forced(i)) for i in range(first, last)):
        raise RefusedError(f"{_name(node, tree, 'filtered')}: its centres force different columns")
    back = np.setdiff1d(np.array(node.forced, np.int64), forced)
    if len(back) + len(forced) > len(node.forced):
        raise RefusedError(
            f"{_name(node, tree, 'filtered')}: its centre forces columns that the node does not"
        )
    free = np.union1d(node.free, back)
    node = Node(node.number, tuple(forced.tolist()), free, node.remaining + len(back))
    r = min(node.remaining, len(free))
    supports = math.comb(len(free), r)
    if supports > MOST or r > DEEPEST:
        raise RefusedError(
            f"{_name(node, tree, 'filtered')}: {supports} supports, too many to bound one by one"
        )
    centres = [tree.centres.at(i, free, r) for i in range(first, last)]

    def bound(places: Int[Array, "r"]) -> float:
        return max(float(centre.bounds(places[:, None])[0]) for centre in centres)

    left = uncovered(centres, r, tree.lower)
    fitted = _listed(node, "filtered", left, bound, tree)
    counts.fitted += fitted
    counts.screened += supports - fitted


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
            inside = np.isin(listed[good], supports[0]).sum(axis=1)
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
    raise RefusedError(f"{_name(node, tree, kind)}: {fault} the claimed lower {tree.lower:.12g}")


def _name(node: Node, tree: Tree, kind: str) -> str:
    """The node as a message names it."""
    forced = tuple(tree.scope[list(node.forced)].tolist())
    shown = f"{forced[:8]}" if len(forced) <= 8 else f"{forced[:8]} and {len(forced) - 8} more"
    return (
        f"node {node.number} ({kind}: columns {shown} forced in, {len(node.free)} free, "
        f"at most {node.remaining} of them)"
    )
