"""The walk over the tree: its leaves cover every support of at most k columns of the scope.

A node stands for the supports S with S1 in S, S - S1 in F, |S - S1| <= r. At its dual point

    bound    = value - g(S1) - top_r(g_F)                  no support of the node is below
    entering = bound + max(least of the top r - g_j, 0)    none of those that hold j is below
    leaving  = bound + max(g_j - next after the top r, 0)  none of those without j is below

Depth first, the smaller subtree first, so that at most log2 N nodes wait with their columns.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from optprobe.certificate import Kind
from optprobe.checker.columns import Columns
from optprobe.checker.duals import Rows
from optprobe.checker.filtered import Centres
from optprobe.checker.form import Claim, RefusedError
from optprobe.checker.leaves import (
    Counts,
    Node,
    Tree,
    check_enumerated,
    name_of,
)
from optprobe.checker.points import Fits, Points
from optprobe.checker.rounding import gamma

if TYPE_CHECKING:
    from jaxtyping import Float64, Int

Array = np.ndarray


class Bounds(NamedTuple):
    """Bounds of a node and of its children per free column, rounded down."""

    bound: float
    entering: Float64[Array, "f"]
    leaving: Float64[Array, "f"]


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


def tree_of(
    columns: Columns, rows: Rows, arrays: dict[str, Array], local: Int[Array, "d"], claim: Claim
) -> Tree:
    """The tree of a certificate on the data.

    Args:
        columns, rows: the data.
        arrays: of the certificate.
        local: position in the scope of each column.
        claim: what the certificate says it proves.
    """
    order, sizes = preorder(arrays)
    return Tree(
        arrays,
        sizes,
        Points(columns, rows, arrays, local, point_order(arrays, order)),
        Centres(columns, rows, arrays, local),
        Fits(columns, rows, arrays, local),
        arrays["scope"].astype(np.int64),
        claim.k,
        claim.lower,
    )


def walk_tree(tree: Tree, counts: Counts) -> Iterator[Node]:
    """Check every leaf but the filtered ones, which are yielded.

    Args:
        tree: all of it.
        counts: of what is met, added to.

    Raises:
        RefusedError: at the first leaf that is not covered.
    """
    child, sizes = tree.arrays["node_child"], tree.sizes
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
                f"{name_of(node, tree, 'bounded')} has the bound {bounds.bound:.12g}, below "
                f"the claimed lower {tree.lower:.12g}"
            )
        node = _fixed(node, bounds, tree.lower)
        if kind == Kind.ENUMERATED:
            counts.enumerated += 1
            check_enumerated(node, value, gain, tree, counts)
            continue
        if kind == Kind.FILTERED:
            counts.filtered += 1
            yield node
            continue
        below = [node] if kind == Kind.FIX else _branches(node, tree)
        reached = []
        for side, state in enumerate(below):
            if state is None:
                continue
            number = int(child[node.number, side])
            if number < 0:
                raise RefusedError(
                    f"{name_of(node, tree, kind_name(int(kind)))} has no child "
                    f"{side}, so nothing covers the supports on that side"
                )
            reached.append(state._replace(number=number))
        stack += sorted(reached, key=lambda state: sizes[state.number], reverse=True)


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
