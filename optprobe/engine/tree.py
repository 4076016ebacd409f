"""Branch and bound over supports: best first with dives, fixing at every node.

A node is (S1 forced in, F free, r more to choose). Its pipeline, cheapest test first:

    inherited bound -> perspective relaxation -> fixing -> [filters] -> enumeration or branching

A node that few supports survive is enumerated with early dual pruning, any other is split on
its strongest free column, or on the few that what the filter leaves has in common. Nodes are taken
in batches, so that the relaxations share their products with Z; a batch is the best open nodes by
bound plus the best child of the last batch (the dive). Everything is deterministic.
"""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from jaxtyping import Float64, Int

from optprobe.bounds import branch_bounds
from optprobe.engine.enumeration import surviving_subsets
from optprobe.engine.leaves import NO_COLUMNS, Filter, fit_leaf
from optprobe.engine.node import Node, Point, unpacked
from optprobe.engine.proof import Proof
from optprobe.heuristics.fits import Columns, Incumbent, best_of, fit_many
from optprobe.matrix import DesignMatrix
from optprobe.matrix.device import accelerator
from optprobe.progress import ProgressLog
from optprobe.relaxation import Nodes, Relaxed, relax
from optprobe.result import Limit, Limits
from optprobe.support import Fits, Rows

Array = np.ndarray

BATCH = 16
"""Nodes whose relaxations are solved together."""

ENUMERATE, HINGE_ENUMERATE = 3000, 25
"""A node that no more supports than this survive is enumerated (any number if r = 1)."""

FILTER_FROM = 64
"""Where the filter can be tried, only fewer than these are enumerated without it."""

SMALL, NEAR = 300, 0.5
"""Half of a node's columns are nearer to being proven out than a share of its gap. If that is
`NEAR`, it is branched on unless at most `SMALL` columns are left."""

FIT_CHUNK, FIT_BYTES = 4096, 2**28
"""Supports fitted between two looks at the incumbent and the clock, fewer where the columns that
they add would take more memory than that."""

FIT_SINGLES = 128
"""The same where they share no free column, and no Gram matrix pays."""

PATIENCE = 64
"""Nodes after which a search whose relaxations have not rounded to the optimum is helped."""

COARSE = 1e-3
"""Relative gap of the fits of rounded relaxations that tell which of them are fitted exactly."""


@dataclass
class Search:
    """One search over the columns of `matrix`; `columns` are their numbers in X.

    Attributes:
        accuracy: of the relaxations.
        exact: fetches columns in float64 for the fits, also where `matrix` holds float32.
        margin: what float rounding may cost a node's bound; the final lower bound is reduced by
            it, and by `fit_margin` where it comes from a fit.
        incumbent: the best support so far, in positions of `matrix`.
        improved: heuristics for a better one, asked once after `PATIENCE` nodes; None if they have
            been already.
        fit_floor: smallest dual value among the fits that the proof lists.
        dive: the open node that is taken next whatever its bound.
        working: nodes that are being resolved.
        ahead: supports of the open nodes and of those, that no part of the proof covers yet.
        interrupted: whether the user wants the result now.
    """

    matrix: DesignMatrix
    exact: Columns
    rows: Rows
    k: int
    accuracy: float
    columns: Int[Array, "d"]
    proof: Proof
    incumbent: Incumbent
    improved: Callable[[Incumbent], Incumbent] | None
    limits: Limits
    margin: float
    fit_margin: float
    deadline: float
    interrupted: Callable[[], bool]
    log: ProgressLog
    nodes: int = 0
    fitted: int = 0
    heap: list[Node] = field(default_factory=list)
    dive: Node | None = None
    working: list[Node] = field(default_factory=list)
    ahead: int = 0
    held_bytes: int = 0
    fit_floor: float = np.inf
    tried: set[bytes] = field(default_factory=set)
    filter: Filter = field(init=False)

    def __post_init__(self) -> None:
        where = accelerator(self.matrix)
        self.filter = Filter(self.exact, self.rows, self.out_of_time, where, self.tick)

    @property
    def cutoff(self) -> float:
        """Bounds that reach this prove that nothing below (1 - gap) U is left."""
        upper = self.incumbent.objective
        return upper - self.limits.gap * abs(upper) + self.margin

    @property
    def fit_cutoff(self) -> float:
        """The same for the dual value of a fit."""
        return self.cutoff - self.margin + self.fit_margin

    @property
    def lower(self) -> float:
        """A valid lower bound at any moment."""
        bounds = [self.cutoff]
        bounds += [node.bound for node in (*self.heap[:1], *self.working)]
        bounds += [self.dive.bound] if self.dive is not None else []
        return min(min(bounds) - self.margin, self.fit_floor - self.fit_margin)

    def offer(self, found: Incumbent) -> None:
        """Take a better support."""
        if found.objective < self.incumbent.objective:
            self.incumbent = found

    def push(self, node: Node) -> None:
        """Open a node."""
        heapq.heappush(self.heap, node)
        self.held_bytes += node.bytes

    def run(self) -> Limit | None:
        """Search until the gap is closed or a limit stops it."""
        self.ahead = sum(node.supports(self.k) for node in self.heap)
        while self.heap or self.dive is not None:
            self.report()
            if self.dive is None and self.heap[0].bound >= self.cutoff:
                return None
            limit = self.limit_reached()
            if limit is not None:
                return limit
            if self.improved is not None and self.nodes >= PATIENCE:
                self.offer(self.improved(self.incumbent))
                self.improved = None
            self.step(self.next_batch())
        return None

    def report(self, last: bool = False) -> None:
        """Tell the log where the search stands."""
        open_nodes = len(self.heap) + (self.dive is not None)
        ahead, left = float(self.ahead), self.filter.sampled
        counts = (self.nodes, open_nodes, self.fitted, ahead, left)
        self.log.report(counts, self.incumbent.objective, self.lower, last=last)

    def tick(self) -> None:
        """In the middle of a node: tell where the search stands, if that is due."""
        if self.log.due:
            self.report()

    def out_of_time(self) -> bool:
        """Whether to stop even in the middle of a batch."""
        return self.interrupted() or time.monotonic() >= self.deadline

    def limit_reached(self) -> Limit | None:
        """The first limit that is exceeded."""
        if self.interrupted():
            return Limit.INTERRUPTED
        if time.monotonic() >= self.deadline:
            return Limit.TIME
        if self.nodes >= self.limits.nodes:
            return Limit.NODES
        return Limit.MEMORY if self.out_of_memory() else None

    def out_of_memory(self) -> bool:
        """Whether open nodes and the proof hold what they may."""
        return self.held_bytes + self.proof.bytes >= self.limits.memory_bytes

    def next_batch(self) -> list[Node]:
        """The dive's node and the best open ones; nodes that the cutoff has passed stay open."""
        batch = [self.dive] if self.dive is not None else []
        self.dive = None
        room = min(BATCH, max(1, self.limits.nodes - self.nodes))
        while self.heap and len(batch) < room and self.heap[0].bound < self.cutoff:
            batch.append(heapq.heappop(self.heap))
            self.held_bytes -= batch[-1].bytes
        return batch

    def step(self, batch: list[Node]) -> None:
        """Relax a batch and resolve each of its nodes; the best child becomes the dive."""
        nodes, start, intercept = unpacked(batch, self.k, len(self.columns))
        relaxed = relax(
            self.matrix,
            self.rows,
            nodes,
            start,
            intercept,
            self.cutoff,
            accuracy=self.accuracy,
            stop=self.out_of_time,
        )
        self.rounding_heuristic(nodes, relaxed)
        children: list[Node] = []
        self.working = batch
        for i, node in enumerate(batch):
            self.nodes += 1
            ahead = self.ahead - node.supports(self.k)
            opened = self.resolve(node, i, nodes, relaxed)
            self.ahead = ahead + sum(child.supports(self.k) for child in opened)
            children += opened
            self.report()
        self.working = []
        children.sort()
        if children and children[0].bound < self.cutoff:
            self.dive = children.pop(0)
        for child in children:
            self.push(child)

    def rounding_heuristic(self, nodes: Nodes, relaxed: Relaxed) -> None:
        """Fit the forced and the r largest free coefficients of every relaxation, but of those
        that are pruned: no support of theirs betters the incumbent by more than the gap."""
        size = np.where(nodes.free, np.abs(relaxed.beta), 0.0)
        size = np.where(nodes.forced, np.inf, size)
        supports = np.sort(np.argsort(-size, axis=1, kind="stable")[:, : self.k], axis=1)
        new: list[int] = []
        for i, support in enumerate(supports):
            key = support.tobytes()
            if relaxed.bound[i] < self.cutoff and key not in self.tried:
                self.tried.add(key)
                new.append(i)
        if new:
            batch = supports[new]
            start = np.take_along_axis(relaxed.beta[new], batch, axis=1)
            start = np.column_stack([start, relaxed.intercept[new]])
            fit = partial(fit_many, self.exact, self.rows, cutoff=self.incumbent.objective)
            tried = fit(batch, start=start, accuracy=COARSE)
            better = tried.primal < self.incumbent.objective
            if better.any():
                exact = fit(batch[better], start=tried.solution[better])
                self.offer(best_of(batch[better], exact))
            self.fitted += len(batch)

    def resolve(self, node: Node, i: int, nodes: Nodes, relaxed: Relaxed) -> list[Node]:
        """Prune, fix, enumerate or branch; returns the nodes it leaves open."""
        used = np.flatnonzero(relaxed.beta[i])
        beta, intercept = relaxed.beta[i, used], float(relaxed.intercept[i])
        point = self.proof.add_point(self.columns[used], beta, intercept, float(relaxed.mu[i]))
        bound, number = float(relaxed.bound[i]), node.number
        if bound < node.bound:
            # The parent's point bounds this node better: the proof applies both.
            number = self.proof.fix(number, self.proof.point[number])
        self.proof.point[number] = point
        bound = max(bound, node.bound)
        if bound >= self.cutoff:
            return []
        value, gain = float(relaxed.value[i]), relaxed.gain[i]
        forced, free = nodes.forced[i].copy(), nodes.free[i].copy()
        members = np.flatnonzero(free)
        remaining = int(nodes.remaining[i])
        bounds = branch_bounds(value, float(gain[forced].sum()), gain[members], remaining)
        # How near columns are to being proven out.
        raised = float(np.median(bounds.entering)) - bounds.bound if len(members) else 0.0
        near = raised / max(self.cutoff - bounds.bound, 1e-300)
        # A column whose leaving is proven worse joins S1; one whose entering is, leaves F.
        into = bounds.leaving >= self.cutoff
        out = bounds.entering >= self.cutoff
        forced[members[into]] = True
        free[members[into | out]] = False
        members, chosen = np.flatnonzero(free), np.flatnonzero(forced)
        size = min(self.k - len(chosen), len(members))
        at = Point(value, gain, relaxed.beta[i], intercept)
        after = Node(
            bound, number, chosen, np.packbits(free), used, beta.astype(np.float32), intercept
        )
        few, hubs = size <= 1 or len(members) <= SMALL, NO_COLUMNS
        if (few or near < NEAR) and not self.out_of_time():
            hubs = self.leaf(after, members, at)
            if hubs is None:
                return []
        if self.out_of_time():
            return [after]
        if len(hubs):
            return self.chain(after, members, at, hubs)
        return self.branch(after, free, relaxed.beta[i], value, gain)

    def leaf(self, node: Node, members: Array, at: Point) -> Array | None:
        """Resolve a node by its supports, if few enough survive.

        Returns:
            None if it did. Else the node is open, and few enough would survive without these
            columns, if there are any.
        """
        chosen, size = node.forced, min(self.k - len(node.forced), len(members))
        need = at.value - float(at.gain[chosen].sum()) - self.cutoff
        filtered = self.filter.takes(len(members), size)
        few = ENUMERATE if np.isfinite(self.rows.loss.lipschitz) else HINGE_ENUMERATE
        limit = FILTER_FROM if filtered else few if size > 1 else np.inf
        subsets = surviving_subsets(at.gain[members], size, need, limit)
        found = None
        if subsets is None and filtered:
            theta, offset = np.append(at.beta[chosen], at.intercept), at.beta[members]
            found = self.filter(chosen, members, theta, offset, size, self.fit_cutoff)
            subsets = found.left
        hubs = NO_COLUMNS if found is None else members[found.hubs]
        near = None if found is None else found.margin
        if subsets is None or not self.enumerate(node.number, chosen, members[subsets], at, near):
            return hubs
        if found is not None:
            centres = [(point.renumbered(self.columns), e) for point, e in found.centres]
            self.proof.filter(node.number, centres, self.columns[chosen])
        return None

    def chain(self, node: Node, members: Array, at: Point, order: Array) -> list[Node]:
        """Split on one free column after another, in this order, and filter each side in; then
        what has none of them. No child has a relaxation of its own before.
        """
        size, number, point = self.k - len(node.forced), node.number, self.proof.point[node.number]
        opened: list[Node] = []
        rest = members
        for column in order:
            forced_gain = float(at.gain[node.forced].sum())
            tail = branch_bounds(at.value, forced_gain, at.gain[rest], size)
            if tail.bound >= self.cutoff:
                return opened
            if self.out_of_time() or self.out_of_memory():
                return [*opened, self.restricted(node, number, node.forced, rest, tail.bound)]
            place = int(np.searchsorted(rest, column))
            inside, number = self.proof.branch(number, int(self.columns[column]), point)
            chosen = np.sort(np.append(node.forced, column))
            entering = float(tail.entering[place])
            rest, enters = np.delete(rest, place), np.delete(tail.entering, place)
            free = rest[enters < self.cutoff]
            child = self.restricted(node, inside, chosen, free, entering)
            if child.bound >= self.cutoff or self.leaf(child, free, at) is None:
                self.ahead -= math.comb(len(rest), size - 1)
            else:
                opened.append(child)
            self.report()
        after = self.restricted(node, number, node.forced, rest, node.bound)
        if self.leaf(after, rest, at) is not None:
            opened.append(after)
        return opened

    def restricted(
        self, node: Node, number: int, chosen: Array, members: Array, bound: float
    ) -> Node:
        """A node below another one that has no relaxation of its own yet."""
        free = np.zeros(len(self.columns), bool)
        free[members] = True
        bound = max(node.bound, bound)
        return replace(node, bound=bound, number=number, forced=chosen, free=np.packbits(free))

    def branch(self, node: Node, free: Array, beta: Array, value: float, gain: Array) -> list[Node]:
        """Split on the free column with the largest relaxed coefficient."""
        members = np.flatnonzero(free)
        strength = np.abs(beta[members])
        best = int(np.argmax(strength if strength.any() else gain[members]))
        column = int(members[best])
        forced_gain = float(gain[node.forced].sum())
        bounds = branch_bounds(value, forced_gain, gain[members], self.k - len(node.forced))
        point = self.proof.point[node.number]
        inside, outside = self.proof.branch(node.number, int(self.columns[column]), point)
        free[column] = False
        packed = np.packbits(free)
        entering = max(node.bound, float(bounds.entering[best]))
        leaving = max(node.bound, float(bounds.leaving[best]))
        chosen = np.sort(np.append(node.forced, column))
        return [
            replace(node, bound=entering, number=inside, forced=chosen, free=packed),
            replace(node, bound=leaving, number=outside, free=packed),
        ]

    def enumerate(
        self,
        number: int,
        chosen: Array,
        subsets: Array,
        at: Point,
        near: Float64[Array, "n"] | None,
    ) -> bool:
        """Fit the surviving supports of a node; see `fits`. False if time ran out before the last.

        Args:
            number: of the node in the proof.
            chosen: the forced columns.
            subsets: what each support adds to them.
            at: the node's relaxation.
            near: margins of the node's last centre, if it has one.
        """
        supports = np.concatenate([np.tile(chosen, (len(subsets), 1)), subsets], axis=1)
        supports = supports.astype(int)
        done: list[Fits] = []
        held = 8 * len(self.rows.w) * max(1, subsets.shape[1])
        most = FIT_CHUNK if subsets.shape[1] > 1 else FIT_SINGLES
        step = max(1, min(most, FIT_BYTES // held))
        for first in range(0, len(supports), step):
            if first and self.out_of_time():
                return False
            part = supports[first : first + step]
            done.append(self.fits(chosen, part, at, near))
            self.fitted += len(part)
            self.offer(best_of(part, done[-1]))
            self.tick()
        floor = min((float(fits.dual.min()) for fits in done), default=np.inf)
        self.fit_floor = min(self.fit_floor, floor)
        self.proof.enumerate(number, self.columns[supports], done)
        return True

    def fits(
        self, chosen: Array, supports: Array, at: Point, near: Float64[Array, "n"] | None
    ) -> Fits:
        """Fits of some supports of a node: one Newton step from a common point, or for the hinge
        from the relaxation."""
        rows, cutoff = self.rows, self.fit_cutoff
        if np.isfinite(rows.loss.lipschitz):
            columns, compiled = self.filter.columns, self.filter.compiled
            return fit_leaf(columns, rows, chosen, supports, cutoff, compiled, near)
        start = np.column_stack([at.beta[supports], np.full(len(supports), at.intercept)])
        return fit_many(self.exact, rows, supports, start=start, cutoff=cutoff)
