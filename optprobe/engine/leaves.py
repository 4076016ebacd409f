"""The leaves of the search: which supports of a node the filter leaves, and their fits."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float64, Int

from optprobe.bounds import DualPoint
from optprobe.engine.centres import Centre, Centres
from optprobe.engine.compiled import Compiled
from optprobe.engine.damping import MOVED
from optprobe.engine.expansion import expansion, fitted_margin, newton_start
from optprobe.engine.filter import MOST_ADDED, sizes_of
from optprobe.engine.pair_costs import dearer
from optprobe.engine.singles import singles, together
from optprobe.engine.support_costs import subsets
from optprobe.heuristics.fits import Columns
from optprobe.losses import Logistic
from optprobe.matrix.resident import Block, Resident
from optprobe.rows import Rows
from optprobe.support import Fits, fit_supports, signed
from optprobe.threads import nothing

if TYPE_CHECKING:
    import torch

Array = np.ndarray

LISTED, MOST_LISTED = 300, 250_000
"""Bounds on how many supports the last centre may leave. Between them it is what could be fitted in
the time that the children would take, if the node were branched on instead."""

CHILD, CHILD_NUMBER = 150, 2e-6
"""What a child takes, in fits: so many, and so many for every product in its Gram matrix."""

NO_COLUMNS = np.empty(0, np.int64)

CENTRES, ENOUGH, USEFUL = 5, 200, 0.8
"""Centres of a node at most: another one is tried while more supports than `ENOUGH` are left, and
kept if it leaves no more than this share of them."""

BEYOND = 4.0
"""Times what may be left: if a sample says that more is, the node is split without a look."""

MOST_BYTES = 2**31
"""Columns of a node in float64 past which it goes without the filter, which holds them several
times over."""

LOOKS = 64
"""Blocks of supports between two looks at the clock."""


class Found(NamedTuple):
    """Supports that have none of the columns in `hubs`."""

    sets: Int[Array, "m r"]
    hubs: Int[Array, "h"]


class Filtered(NamedTuple):
    """The centres of a node, by position, with their e, and what all of them leave, within F.

    `margin` are those of the last centre.

    `left` is None if there are too many, or if time ran out.
    `hubs` are then columns without which few enough would be met or left, if that pays; see
    `pairs.climb` and `_hubs`.
    """

    centres: list[tuple[DualPoint, float]]
    left: Int[Array, "m r"] | None
    hubs: Int[Array, "h"]
    margin: Float64[Array, "n"]


def fit_leaf(
    columns: Callable[[Int[Array, "p"]], Block],
    rows: Rows,
    chosen: Int[Array, "s"],
    supports: Int[Array, "m k"],
    cutoff: float,
    compiled: Compiled,
    near: Float64[Array, "n"] | None,
) -> Fits:
    """Fit supports that share the forced columns, from one Newton step.

    Args:
        columns: fetches columns.
        rows: labels, weights, a smooth loss and ridge.
        chosen: the forced columns.
        supports: with them.
        cutoff: a dual value that is enough.
        compiled: whether to take compiled loops.
        near: y (x . beta + b) of the point that the step is taken from; None for the fit on the
            forced columns.
    """
    used, inside = np.unique(supports, return_inverse=True)
    inside = inside.reshape(supports.shape)
    own = columns(used)
    block = own.signed(rows.y) if isinstance(own, Resident) else signed(own, rows)
    if near is None:
        near = fitted_margin(block, np.searchsorted(used, chosen), rows)
    at = expansion(block, near, rows)
    logistic = isinstance(rows.loss, Logistic)
    if logistic and isinstance(block, Resident):
        from optprobe.engine.device import pruning as on_device

        theta, dual = on_device.prune(block, inside, rows, at, cutoff)
    elif logistic and compiled.columns(supports.size, len(rows.w)):
        from optprobe.engine.pruning import prune

        theta, dual = prune(np.asarray(block), inside, rows, at, cutoff)
    else:
        start = newton_start(at, inside, rows.lam)
        return fit_supports(np.asarray(block), inside, rows, start=start, cutoff=cutoff)
    left = np.flatnonzero(~(dual > cutoff))
    kept, place = np.unique(inside[left], return_inverse=True)
    few, place = np.asarray(block[np.append(kept, len(used))]), place.reshape(inside[left].shape)
    fits = fit_supports(few, place, rows, start=theta[left], cutoff=cutoff)
    primal, solution = np.full(len(dual), np.inf), theta.copy()
    theta[left] = np.column_stack([fits.beta, fits.intercept])
    dual[left], primal[left], solution[left] = fits.dual, fits.primal, fits.solution
    return Fits(theta[:, :-1], theta[:, -1], solution, primal, dual, np.zeros(len(dual)), dual)


def _point(
    centre: Centre, chosen: Int[Array, "s"], members: Int[Array, "f"]
) -> tuple[DualPoint, float]:
    """The dual point that a centre is, and its e."""
    columns, beta = np.concatenate([chosen, members]), np.concatenate([centre.forced, centre.free])
    order = np.argsort(columns)
    used = order[beta[order] != 0.0]
    return DualPoint(columns[used], beta[used], centre.intercept, 0.0), centre.reach


@dataclass
class Filter:
    """Filters the nodes of one search.

    Attributes:
        exact: fetches columns in float64.
        rows: labels, weights, loss and ridge.
        stop: whether to give up.
        device: where nodes are worked; None for the host.
        tick: called now and then in the middle of a node, in the caller's thread.
        compiled: whether the search takes its compiled loops.
        centres: remembers which offsets work.
        sampled: how many supports of the last node its first centre leaves, as a sample tells.
    """

    exact: Columns
    rows: Rows
    stop: Callable[[], bool]
    device: torch.device | None = None
    tick: Callable[[], None] = nothing
    compiled: Compiled = field(default_factory=Compiled, init=False)
    centres: Centres = field(init=False)
    sampled: float = field(default=0.0, init=False)
    _held: Int[Array, "q"] = field(init=False)
    _block: Block = field(init=False)

    def __post_init__(self) -> None:
        self.centres = Centres(self.rows, self.compiled)
        self._held, self._block = np.empty(0, np.int64), np.empty((0, len(self.rows.w)))

    @property
    def serves(self) -> bool:
        """Whether it bounds supports of this loss."""
        return isinstance(self.rows.loss, MOVED)

    def takes(self, members: int, size: int) -> bool:
        """Whether a node with so many free columns and `size` to add is one for the filter."""
        n = len(self.rows.w)
        fits = together(n) > 0 if size == 1 else 8 * members * n <= MOST_BYTES
        return self.serves and 1 <= size <= MOST_ADDED and fits

    def __call__(
        self,
        chosen: Int[Array, "s"],
        members: Int[Array, "f"],
        theta: Float64[Array, "s1"],
        offset: Float64[Array, "f"],
        size: int,
        cutoff: float,
    ) -> Filtered:
        """Bound every S1 + T, T in F of `size` columns, at one centre or several.

        Args:
            chosen, members: S1 and F.
            theta: the relaxation's coefficients on S1 and its intercept.
            offset: its coefficients on F.
            size: how many columns to add.
            cutoff: what a bound must reach.
        """
        if size == 1:
            return self._singles(chosen, members, theta, cutoff)
        block = self._held_columns(np.concatenate([chosen, members]))
        forced, free = np.asarray(block[: len(chosen)]), block[len(chosen) :]
        first, sample = self.centres.centre(forced, free, theta, offset, size, cutoff)
        points = [_point(first, chosen, members)]
        self.sampled = sample.number
        f = len(members)
        child = CHILD + CHILD_NUMBER * f * f * free.shape[1]
        most = min(max(LISTED, int(f * child)), MOST_LISTED)
        if len(sample.pool) == f and sample.number > BEYOND * most:
            hubs = _hubs(sample.supports, sample.weight, f, most, 0.0, until=most)
            return Filtered(points, None, hubs, first.margin)
        found = self._left(first, f, size, cutoff, child)
        if found is None or len(found.hubs):
            hubs = NO_COLUMNS if found is None else found.hubs
            return Filtered(points, None, hubs, first.margin)
        left, last = found.sets, first
        while len(left) > ENOUGH and len(points) < CENTRES and not self.stop():
            useful = USEFUL * len(left)
            centre = self.centres.centre_of(forced, free, left, last, cutoff, useful)
            if centre is None:
                break
            fewer = left[self.centres.below(centre, left, cutoff)]
            if len(fewer) > useful:
                break
            left, last = fewer, centre
            points.append(_point(centre, chosen, members))
        if len(left) <= most:
            return Filtered(points, left, NO_COLUMNS, last.margin)
        hubs = _hubs(left, np.ones(len(left)), f, most, child)
        return Filtered(points, None, hubs, last.margin)

    def _singles(
        self,
        chosen: Int[Array, "s"],
        members: Int[Array, "f"],
        theta: Float64[Array, "s1"],
        cutoff: float,
    ) -> Filtered:
        """The same for one more column, at one centre."""
        asked = chosen, members, theta, self.rows, cutoff
        at = singles(self.columns, *asked, self.stop, self.tick)
        used = at.beta != 0.0
        point = DualPoint(chosen[used], at.beta[used], at.intercept, 0.0)
        left = None if at.left is None else np.searchsorted(members, at.left)[:, None]
        return Filtered([(point, at.reach)], left, NO_COLUMNS, at.margin)

    def _left(self, first: Centre, f: int, size: int, cutoff: float, child: float) -> Found | None:
        """What the first centre leaves; None if time ran out."""
        asked = first.at, size, self.rows.lam, cutoff, child, self.stop
        if self.device is not None:
            from optprobe.engine.device import pairs as on_device

            return on_device.above(*asked, self.device, self.tick)
        if self.compiled.bounds(math.comb(f, size)):
            from optprobe.engine import pairs

            return pairs.above(*asked, self.tick)
        kept: list[Array] = []
        dear = dearer(first.at, size, self.rows.lam, cutoff)
        for number, every in enumerate(subsets(f, size)):
            part = every[:, dear(every)]
            kept.append(part[:, first.below(part, self.rows.lam, cutoff)].T)
            if number % LOOKS == LOOKS - 1:
                self.tick()
                if self.stop():
                    return None
        return Found(np.concatenate([np.empty((0, size), np.int64), *kept]), NO_COLUMNS)

    def columns(self, columns: Int[Array, "p"]) -> Block:
        """Columns in float64 where nodes are worked, from those of a node where these hold them."""
        if np.isin(columns, self._held).all():
            return self._block[np.searchsorted(self._held, columns)]
        found = self.exact(columns)
        if self.device is None or not self.serves:
            return found
        return Resident.of(found, self.device)

    def _held_columns(self, columns: Int[Array, "p"]) -> Block:
        """The same, fetched for all that follows where they are not held."""
        if not np.isin(columns, self._held).all():
            ordered = np.sort(columns)
            self._block, self._held = self.columns(ordered), ordered
            self.centres.sizes = sizes_of(self._block)
        return self.columns(columns)


def _hubs(
    left: Int[Array, "m r"],
    weight: Float64[Array, "m"],
    f: int,
    most: float,
    child: float,
    until: float = 0.0,
) -> Int[Array, "h"]:
    """Columns that most of what is left has: without them no more than `most` would be left.

    The strongest columns have many partners, and few supports have none of them. One after another
    is taken, that of most supports, while these are more than could be fitted in the time that a
    child with that column forced in takes.

    Args:
        left: supports.
        weight: how many each of them stands for.
        f: columns.
        most: that may be left.
        child: what a child takes, in fits.
        until: so few are left that no more columns are taken.
    """
    size = left.shape[1]

    def counted(supports: Array, each: Array) -> Array:
        return np.bincount(supports.ravel(), np.repeat(each, size), minlength=f)

    count, total = counted(left, weight), float(weight.sum())
    hubs: list[int] = []
    while len(left) and total > until and count.max() > child:
        hubs.append(int(count.argmax()))
        has = (left == hubs[-1]).any(axis=1)
        count -= counted(left[has], weight[has])
        total -= float(weight[has].sum())
        left, weight = left[~has], weight[~has]
    few = not len(left) or total <= most
    return np.array(hubs, np.int64) if few else NO_COLUMNS
