"""A node with few supports left: rate all of them by the cuts, cut the best rated, repeat.

    m(S) = max_i { c_i - g_i . S }      over the cuts i, for every S of the list

This is the integer master itself, kept up to date by one gather per cut, where a tree on the
linear relaxation needs many nodes for the same. One cut serves several supports: it is made at the
mean of a cluster of them, and the clusters are as large as such cuts still close most of.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int

from optprobe.mip.branch_and_cut.state import State

Array = np.ndarray

NUMBERS = 2**19
"""Ratings computed at once while many cuts are applied."""

NEIGHBOURS = 8
"""A cluster is chosen from the best rated, so many times its size."""

GROW, SHRINK = 1.5, 0.5
MOST, ENOUGH = 0.8, 0.5
"""A cluster's size follows the share of it that its cut closes: above MOST it grows, below ENOUGH
it shrinks."""


class SupportList:
    """Supports of one node that the cuts so far leave below a cutoff.

    Attributes:
        forced: columns of every support.
        subsets: the other columns of each, r of them.
        rating: m(S), a lower bound on the objective of each.
    """

    def __init__(self, forced: Int[Array, "f"], subsets: Int[Array, "m r"], bound: float) -> None:
        self.forced, self.subsets = forced, subsets
        self.rating = np.full(len(subsets), bound)

    def __len__(self) -> int:
        return len(self.subsets)

    def rate(self, value: Float64[Array, "cuts"], gain: Float64[Array, "cuts p"]) -> None:
        """Raise the ratings by some cuts."""
        rating = np.repeat((value - gain[:, self.forced].sum(axis=1))[:, None], len(self), axis=1)
        for column in self.subsets.T:
            rating -= gain[:, column]
        np.maximum(self.rating, rating.max(axis=0), out=self.rating)

    def rate_all(
        self, value: Float64[Array, "cuts"], gain: Float64[Array, "cuts p"], cutoff: float
    ) -> None:
        """Raise the ratings by many cuts, the most telling first: the list shrinks on the way."""
        used = np.unique(self.subsets)
        r = min(self.subsets.shape[1], len(used))
        largest = np.partition(gain[:, used], len(used) - r, axis=1)[:, len(used) - r :]
        bound = value - gain[:, self.forced].sum(axis=1) - largest.sum(axis=1)
        order = np.argsort(-bound, kind="stable")
        first = 0
        while first < len(order) and len(self):
            part = order[first : first + max(1, NUMBERS // len(self))]
            self.rate(value[part], gain[part])
            self.drop(cutoff)
            first += len(part)

    def drop(self, cutoff: float) -> None:
        """Forget the supports rated at the cutoff or above."""
        keep = self.rating < cutoff
        if not keep.all():
            self.subsets, self.rating = self.subsets[keep], self.rating[keep]

    def cluster(self, size: int) -> Int[Array, "c"]:
        """Positions of the best rated support and of those nearest to it among the best rated."""
        count = min(len(self), NEIGHBOURS * size)
        near = np.argpartition(self.rating, count - 1)[:count]
        best = self.subsets[near[np.argmin(self.rating[near])]]
        shared = np.isin(self.subsets[near], best).sum(axis=1)
        return near[np.lexsort((self.rating[near], -shared))[:size]]

    def mean(self, positions: Int[Array, "c"], p: int) -> Float64[Array, "p"]:
        """The mean of some supports, as a point of [0,1]^p."""
        s = np.zeros(p)
        s[self.forced] = 1.0
        share = 1.0 / len(positions)
        np.add.at(s, self.subsets[positions].ravel(), share)
        return np.minimum(s, 1.0)


def solve_list(state: State, supports: SupportList) -> bool:
    """Close every support of a list; False if the search is over before the last one."""
    state.listed += len(supports)
    while len(supports):
        state.working = float(supports.rating.min())
        if state.over():
            return False
        cluster = supports.cluster(max(1, int(state.cluster)))
        cut = state.cut_fraction(supports.mean(cluster, state.master.p))
        supports.rate(np.array([cut.value]), cut.gain[None])
        closed = float((supports.rating[cluster] >= state.cutoff).mean())
        if closed >= MOST:
            state.cluster *= GROW
        elif closed < ENOUGH:
            state.cluster = max(1.0, SHRINK * state.cluster)
        if len(cluster) == 1 and not closed:
            _settle(state, supports, int(cluster[0]))
        supports.drop(state.cutoff)
    return True


def _settle(state: State, supports: SupportList, position: int) -> None:
    """Fit a support that no cheaper cut closes: it may be the new incumbent."""
    columns = np.append(supports.forced, supports.subsets[position])
    cut = state.settle(columns)
    supports.rate(np.array([cut.value]), cut.gain[None])
    supports.rating[position] = np.inf
