"""Everything that happens before a MIP solver sees the master.

A first incumbent, the perspective relaxation, the columns that its dual point fixes, then the same
for the children of the most contested columns ("probing"): each child's dual point bounds the
child, may fix its column the other way, and is a cut that any tree can use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from jaxtyping import Bool, Float64, Int

from optprobe.bounds import DualPoint, branch_bounds
from optprobe.mip.backends.base import Cut
from optprobe.mip.cuts import CutPool, SupportFit
from optprobe.relaxation import Nodes, relax

Array = np.ndarray

PASSES = 4
"""Relaxations of the root, each on the columns that the one before it left."""

PROBED = 12
"""Contested columns whose two children are relaxed."""

MARGIN = 1e-9
"""Relative excess over the incumbent that a bound must show before it fixes a column."""


class Root:
    """The root node: incumbent, bound, and which columns are still free.

    Attributes:
        best: the incumbent.
        root_cut: the cut of the last root relaxation.
        lower: a bound on every support that is better than the incumbent.
        forced, free: columns in every better support, and in some.
    """

    def __init__(self, pool: CutPool, k: int) -> None:
        """Start from the fit without columns: the first bound and the first support."""
        p = pool.matrix.shape[1]
        self.pool, self.k = pool, min(k, p)
        self.forced, self.free = np.zeros(p, bool), np.ones(p, bool)
        self.lower = -np.inf
        self.best = pool.at_support(np.empty(0, np.int64))
        self.root_cut = self.best.cut
        self.offer(self._strongest(self.best.cut.gain))

    @property
    def remaining(self) -> int:
        """How many free columns a support may still take."""
        return self.k - int(self.forced.sum())

    @property
    def single(self) -> bool:
        """One support contains all that are left, and it has been fitted."""
        return self.remaining <= 0 or int(self.free.sum()) <= self.remaining

    def offer(self, support: Int[Array, "s"]) -> SupportFit:
        """Fit a support, perhaps a new incumbent."""
        fit = self.pool.at_support(support)
        if fit.objective < self.best.objective:
            self.best = fit
        return fit

    def take(self, support: Int[Array, "s"]) -> None:
        """Offer a support and learn from its cut."""
        self.learn(self.offer(support).cut)

    def learn(self, cut: Cut) -> None:
        """Raise the bound and fix columns by one cut."""
        before = -1
        while not self.single and before != int(self.free.sum()):
            before = int(self.free.sum())
            held = float(cut.gain[self.forced].sum())
            columns = np.flatnonzero(self.free)
            scores = branch_bounds(cut.value, held, cut.gain[columns], self.remaining)
            self.lower = max(self.lower, scores.bound)
            passed = self.best.objective * (1.0 + MARGIN)
            self._fix(columns[scores.entering > passed], columns[scores.leaving > passed])
            if scores.bound > passed:
                return

    def _fix(self, out: Int[Array, "o"], into: Int[Array, "i"]) -> None:
        """Fix columns; once a single support is left, fit it: its own dual point is the bound."""
        if len(np.intersect1d(out, into)) or len(into) > self.remaining:
            self.lower = max(self.lower, self.best.objective)  # no better support exists
            return
        self.free[out] = self.free[into] = False
        self.forced[into] = True
        if self.single:
            fit = self.offer(self._strongest(np.zeros(len(self.free))))
            own = fit.cut.value - float(fit.cut.gain[fit.support].sum())
            self.lower = max(self.lower, min(own, self.best.objective))

    def _strongest(self, score: Float64[Array, "p"]) -> Int[Array, "s"]:
        """The forced columns and the best of the free ones by a score."""
        free = np.flatnonzero(self.free)
        order = np.argsort(-score[free], kind="stable")[: max(self.remaining, 0)]
        return np.union1d(np.flatnonzero(self.forced), free[order])

    def solve(
        self, starts: Iterable[Int[Array, "s"]], gap: float, over: Callable[[], bool]
    ) -> None:
        """Run the phase, or what there is time for.

        Args:
            starts: supports to try first.
            gap: relative gap at which nothing is left to do.
            over: whether to stop now.
        """
        for support in starts:
            self.offer(support)
        for cut in tuple(self.pool.cuts):
            self.learn(cut)
        if self.single:
            self._fix(np.empty(0, int), np.empty(0, int))
        point = np.zeros((1, len(self.free))), np.zeros(1)
        # A relaxation of the hinge costs as much as many a node of the solver's.
        smooth = np.isfinite(self.pool.rows.loss.lipschitz)
        stages = (self._relax_root, self._probe) if smooth else (self._relax_root,)
        for _ in range(PASSES):
            before = int(self.free.sum())
            for stage in stages:
                if over() or self.single or self.closed(gap):
                    return
                point = stage(*point)
            if int(self.free.sum()) > 0.9 * before:
                return

    def closed(self, gap: float) -> bool:
        """Whether bound and incumbent are within a relative gap."""
        return self.best.objective - self.lower <= gap * abs(self.best.objective)

    def _relax_root(self, beta: Array, intercept: Array) -> tuple[Array, Array]:
        """Relax the root as it stands."""
        return self._relax(self.forced[None], self.free[None], beta, intercept)

    def _probe(self, beta: Array, intercept: Array) -> tuple[Array, Array]:
        """Relax both children of the columns nearest to the edge of the r largest gains."""
        free = np.flatnonzero(self.free)
        held = float(self.root_cut.gain[self.forced].sum())
        gain = self.root_cut.gain[free]
        scores = branch_bounds(self.root_cut.value, held, gain, self.remaining)
        contested = free[np.argsort(np.maximum(scores.entering, scores.leaving))[:PROBED]]
        count = len(contested)
        forced = np.repeat(self.forced[None], 2 * count, axis=0)
        free_columns = np.repeat(self.free[None], 2 * count, axis=0)
        forced[np.arange(count), contested] = True
        free_columns[np.arange(2 * count), np.tile(contested, 2)] = False
        starts = np.repeat(beta, 2 * count, axis=0), np.repeat(intercept, 2 * count)
        self._relax(forced, free_columns, *starts)
        return beta, intercept

    def _relax(
        self,
        forced: Bool[Array, "batch p"],
        free: Bool[Array, "batch p"],
        beta: Float64[Array, "batch p"],
        intercept: Float64[Array, "batch"],
    ) -> tuple[Float64[Array, "batch p"], Float64[Array, "batch"]]:
        """Relax nodes, round their coefficients to supports and learn from their dual points."""
        nodes = Nodes(forced, free, self.k - forced.sum(axis=1))
        rows = self.pool.rows
        relaxed = relax(self.pool.matrix, rows, nodes, beta, intercept, self.best.objective)
        smooth = rows.loss.smoothed(1.0) is rows.loss
        for node in range(len(forced)):
            used = np.flatnonzero(relaxed.beta[node])
            mu = 0.0 if smooth else float(relaxed.mu[node])
            b = float(relaxed.intercept[node])
            point = DualPoint(used, relaxed.beta[node, used], b, mu)
            cut = self.pool.keep(point, Cut(float(relaxed.value[node]), relaxed.gain[node]))
            if len(forced) == 1:
                self.root_cut = cut
            self.take(self._strongest(np.where(forced[node], np.inf, np.abs(relaxed.beta[node]))))
            self.learn(cut)
        return relaxed.beta, relaxed.intercept
