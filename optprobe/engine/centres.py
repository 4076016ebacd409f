"""Centres of filtered nodes: the fit on the forced columns beside a fixed offset on the free ones.

    (beta_S, b) = argmin sum_i w_i l(y_i (o_i + z_iS . beta + b)) + (lam/2) ||beta||^2
    o = t Z_F beta_F,   0 <= t <= 1

beta_F is the node's perspective relaxation, which spreads over many more columns than a support
has; a part t of it stands for what an average support adds. How many supports a centre leaves
depends on t by orders of magnitude: it is chosen on a sample of supports, uphill from the best t of
the last node with as many columns to add. So is e, at every node whose number is a power
of two: a far support needs a longer step, which dual variables near their box pay for. Another
centre has a multiple of the mean of the fits to what is left for its offset, found the same way: at
lam = 0.1 half the mean may be best, at 0.01 twice. Most steps up would be down, so that what the
next t leaves is estimated from the last centre before its own is made.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int

from optprobe.engine.compiled import Compiled
from optprobe.engine.damping import limits
from optprobe.engine.expansion import expansion, newton_start
from optprobe.engine.filter import Quadratic, Sizes, around, quadratic
from optprobe.engine.support_costs import costs
from optprobe.losses import Logistic
from optprobe.matrix.resident import Block, Resident
from optprobe.rows import Rows
from optprobe.support import signed

Array = np.ndarray

SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""The t that may be tried; of these and of `FURTHER` the first is a third of the way up."""

FURTHER = (0.5, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5)
"""The multiples of the mean fit to what is left that may be tried for another centre."""

REACHES = (0.75, 1.0, 1.25, 1.5)
"""Multiples of the e of `damping.limits` that may be tried; the second is tried first."""

STRONG, OTHERS = 24, 40
"""Columns that supports are sampled from: those with the largest coefficients, and some others."""

SAMPLED = 1000
"""Supports of a sample, those aside that have a column twice."""

FEW = 500
"""Supports left, as the sample tells, that are few enough not to try another t."""

FITTED = 100
"""Supports that are averaged."""

STEPS = 20
"""Newton steps of a fit; what is left open costs the bound little and is accounted for."""


class Sample(NamedTuple):
    """Supports drawn from some of the free columns.

    The strongest columns are drawn more often than others, because what is left has many of them. A
    support stands for `weight` of the node's.
    """

    pool: Int[Array, "p"]
    supports: Int[Array, "m r"]
    weight: Float64[Array, "m"]

    @property
    def number(self) -> float:
        """How many of the node's supports these stand for."""
        return float(self.weight.sum())

    def where(self, kept: Bool[Array, "m"]) -> Sample:
        """Some of them."""
        return Sample(self.pool, self.supports[kept], self.weight[kept])

    @classmethod
    def drawn(cls, offset: Float64[Array, "f"], size: int) -> Sample:
        """A sample of the supports of `size` of the free columns, the same each time."""
        pool, supports, weight = _ranks(len(offset), size)
        order = np.argsort(-np.abs(offset), kind="stable")
        return cls(np.sort(order[pool]), np.sort(order[supports], axis=1), weight)


@lru_cache(64)
def _ranks(f: int, size: int) -> tuple[Int[Array, "p"], Int[Array, "m r"], Float64[Array, "m"]]:
    """A `Sample` for columns in order of their strength.

    Half of the columns drawn are strong ones. One of the others stands for as many as there are for
    each of those in the pool.
    """
    rng, strong = np.random.default_rng(0), min(STRONG, f)
    others = strong + np.sort(rng.choice(f - strong, min(OTHERS, f - strong), replace=False))
    pool, rest = np.append(np.arange(strong), others), max(len(others), 1)
    among = np.where(pool < strong, strong, rest) * (2.0 if len(others) else 1.0)
    weight = among * np.where(pool < strong, 1.0, (f - strong) / rest)
    drawn = rng.choice(len(pool), (SAMPLED, size), p=1.0 / among)
    drawn = drawn[(np.diff(np.sort(drawn, axis=1), axis=1) > 0).all(axis=1)]
    return pool, pool[drawn], weight[drawn].prod(axis=1) / (SAMPLED * math.factorial(size))


class Centre(NamedTuple):
    """Coefficients as a certificate stores them, and the quadratic over some free columns.

    Attributes:
        forced, free, intercept: (beta_S, beta_F, b).
        margin: y (x . beta + b).
        reach: e.
        used: the free columns of the quadratic `at`, increasing.
    """

    forced: Float64[Array, "s"]
    free: Float64[Array, "f"]
    intercept: float
    margin: Float64[Array, "n"]
    reach: float
    used: Int[Array, "u"]
    at: Quadratic

    @property
    def fit(self) -> Float64[Array, "s1"]:
        """(beta_S, b)."""
        return np.append(self.forced, self.intercept)

    def places(self, columns: Int[Array, "*shape"]) -> Int[Array, "*shape"]:
        """Where used columns are among these."""
        place = np.zeros(len(self.free), np.int64)
        place[self.used] = np.arange(len(self.used))
        return place[columns]

    def below(
        self, subsets: Int[Array, "size batch"], lam: float, cutoff: float
    ) -> Bool[Array, "batch"]:
        """Which subsets of the used columns do not keep a bound that reaches the cutoff."""
        return ~(self.at.value - costs(self.at, self.places(subsets), lam) >= cutoff)


@dataclass
class Centres:
    """Makes centres; `place` is that of the last share taken, for every list of them and number of
    columns to add, and `nodes` counts the nodes that have so many to add. `sizes` are those of the
    columns of the nodes that follow, where they are known."""

    rows: Rows
    compiled: Compiled = field(default_factory=Compiled)
    sizes: Sizes | None = None
    place: dict[tuple[tuple[float, ...], int], int] = field(default_factory=dict)
    nodes: dict[int, int] = field(default_factory=dict)

    def centre(
        self,
        forced: Float64[Array, "s n"],
        free: Block,
        start: Float64[Array, "s1"],
        offset: Float64[Array, "f"],
        size: int,
        cutoff: float,
    ) -> tuple[Centre, Sample]:
        """The centre for adding `size` of the free columns, and what it leaves of a sample.

        Args:
            forced, free: columns of Z; the free ones may be on a device.
            start: coefficients and intercept of the relaxation on the forced columns.
            offset: its coefficients on the free columns.
            size: how many free columns a support takes.
            cutoff: what bounds should reach.
        """
        sample, reach = Sample.drawn(offset, size), self._reach(size)
        made = partial(self.made, forced, free, offset, reach)
        near = partial(self.about, forced, free, offset)
        share, best, left = self._climbed(SHARES, made, near, start, sample, cutoff)
        if len(sample.pool) == len(free):
            return best, left
        number = self.nodes[size] = self.nodes.get(size, 0) + 1

        def farther(times: float, start: Array, used: Array) -> Centre:
            return self.made(forced, free, offset, times, share, start, used)

        if number & (number - 1) == 0:  # 1, 2, 4, 8, ...
            reach, best, left = self._climbed(REACHES, farther, None, best.fit, sample, cutoff)
        return farther(reach, best.fit, np.arange(len(free))), left

    def below(self, centre: Centre, supports: Int[Array, "m r"], cutoff: float) -> Bool[Array, "m"]:
        """`Centre.below` for supports in rows, compiled where that is worth it."""
        lam, at = self.rows.lam, centre.at
        if not self.compiled.bounds(len(supports)):
            return centre.below(supports.T, lam, cutoff)
        from optprobe.engine.steps import below, step

        left = np.empty(len(supports), np.bool_)
        places = np.ascontiguousarray(centre.places(supports))
        below(step(at, np.ascontiguousarray(at.M.T), lam, cutoff), places, left)
        return left

    def _reach(self, size: int) -> float:
        """The multiple of e that was best last."""
        return REACHES[self._place(REACHES, size)]

    def _place(self, shares: tuple[float, ...], size: int) -> int:
        """Where the last climb for so many columns to add ended; at first, a third of the way."""
        return self.place.get((shares, size), len(shares) // 3)

    def centre_of(
        self,
        forced: Float64[Array, "s n"],
        free: Block,
        left: Int[Array, "m r"],
        near: Centre,
        cutoff: float,
        most: float,
    ) -> Centre | None:
        """The centre in the middle of the supports S + T, T in `left`, or before or beyond it.

        The middle is that of some of them, each after one Newton step from the last centre. None if
        the centre leaves more than `most` of all, as these tell.
        """
        few = left[:: -(-len(left) // FITTED)]
        columns, inside = np.unique(few, return_inverse=True)
        own, s = free[columns], len(forced)
        if isinstance(own, Resident):
            block = own.after(forced).signed(self.rows.y)
        else:
            block = signed(np.concatenate([forced, own]), self.rows)
        supports = np.tile(np.arange(s), (len(few), 1))
        supports = np.concatenate([supports, s + inside.reshape(few.shape)], axis=1)
        at = expansion(block, near.margin, self.rows)
        theta = newton_start(at, supports, self.rows.lam)
        mean = np.zeros(len(block) - 1)
        np.add.at(mean, supports, theta[:, :-1] / len(few))
        offset = np.zeros(len(free))
        offset[columns] = mean[s:]
        start = np.append(mean[:s], theta[:, -1].mean())
        used = np.unique(left)
        pool = used if len(used) <= STRONG + OTHERS else columns
        sample = Sample(pool, few, np.full(len(few), len(left) / len(few)))
        made = partial(self.made, forced, free, offset, self._reach(left.shape[1]))
        about = partial(self.about, forced, free, offset)
        share, best, still = self._climbed(FURTHER, made, about, start, sample, cutoff)
        if still.number > most:
            return None
        return best if len(pool) == len(used) else made(share, best.fit, used)

    def _climbed(
        self,
        shares: tuple[float, ...],
        made: Callable[[float, Float64[Array, "s1"], Int[Array, "u"]], Centre],
        near: Callable[[Centre, float], Centre] | None,
        start: Float64[Array, "s1"],
        sample: Sample,
        cutoff: float,
    ) -> tuple[float, Centre, Sample]:
        """The share, or multiple of e, that leaves least of the sample, its centre over the pool,
        what it leaves.

        `made` makes the centre of one of them from a first fit, over some of the free columns;
        `near` tells from one centre about what another would be, if that can be told.
        """
        size = sample.supports.shape[1]

        def kept(at: Centre) -> Sample:
            return sample.where(self.below(at, sample.supports, cutoff))

        begun = place = self._place(shares, size)
        best = made(shares[place], start, sample.pool)
        left = kept(best)
        for step in (1, -1):
            while left.number > FEW and 0 <= place + step < len(shares):
                if near is not None:
                    about = kept(near(best, shares[place + step]))
                    if about.number >= left.number:
                        break
                at = made(shares[place + step], best.fit, sample.pool)
                fewer = kept(at)
                if fewer.number >= left.number:
                    break
                best, left, place = at, fewer, place + step
            if place != begun:
                break
        self.place[shares, size] = place
        return shares[place], best, left

    def about(
        self,
        forced: Float64[Array, "s n"],
        free: Block,
        offset: Float64[Array, "f"],
        best: Centre,
        share: float,
    ) -> Centre:
        """About what `made` makes of another share, to tell whether that is worth to be made.

        D0 and v are those of a fit after one step; M and K go with sum w omega, h and L stay.
        """
        rows, at = self.rows, best.at
        fixed = (share * offset) @ free
        compiled = self._loops(forced, best.used)
        theta = refit(forced, fixed, best.fit, rows, 2, compiled)
        margin = rows.y * (fixed + theta[:-1] @ forced + theta[-1])
        near = around(forced, margin, rows, best.reach, compiled)
        own = free if len(best.used) == len(free) else free[best.used]
        scale = near.mass / at.mass if near.mass > 0.0 < at.mass else 1.0
        v, M, K = own @ near.given.push, scale * at.M, scale * at.K
        return best._replace(at=at._replace(value=near.value, v=v, M=M, K=K))

    def made(
        self,
        forced: Float64[Array, "s n"],
        free: Block,
        offset: Float64[Array, "f"],
        times: float,
        share: float,
        start: Float64[Array, "s1"],
        used: Int[Array, "u"],
    ) -> Centre:
        """The centre of one t and multiple of e, with the quadratic of some of the free columns."""
        rows = self.rows
        offset = (share * offset).astype(np.float32).astype(np.float64)
        fixed = offset @ free
        compiled = self._loops(forced, used)
        theta = refit(forced, fixed, start, rows, compiled=compiled)
        beta = theta[:-1].astype(np.float32).astype(np.float64)
        margin = rows.y * (fixed + beta @ forced + theta[-1])
        own = free if len(used) == len(free) else free[used]
        reach = times * limits(rows).reach
        at = quadratic(forced, own, margin, rows, reach, self.sizes, compiled)
        return Centre(beta, offset, float(theta[-1]), margin, reach, used, at)

    def _loops(self, forced: Float64[Array, "s n"], used: Int[Array, "u"]) -> bool:
        """Whether a centre over so many columns is made by compiled loops."""
        return self.compiled.columns(len(forced) + len(used), forced.shape[1])


def refit(
    forced: Float64[Array, "s n"],
    fixed: Float64[Array, "n"],
    start: Float64[Array, "s1"],
    rows: Rows,
    steps: int = STEPS,
    compiled: bool = False,
) -> Float64[Array, "s1"]:
    """Newton with halved steps from `start`, at most so many points seen; the intercept last."""
    if compiled and isinstance(rows.loss, Logistic):
        from optprobe.engine import logistic_rows

        return logistic_rows.refit(forced, fixed, start, rows, steps)
    block = np.concatenate([forced, np.ones((1, len(fixed)))]) * rows.y
    fixed = fixed * rows.y
    ridge = np.append(np.full(len(forced), rows.lam), 0.0)
    theta, base, best, step = start, start, np.inf, np.zeros_like(start)
    for turn in range(steps):
        terms = rows.loss.terms(fixed + theta @ block)
        value = float(terms.value @ rows.w + 0.5 * (ridge * theta) @ theta)
        if value > best:
            step = 0.5 * step
        else:
            base, best = theta, value
            if turn == steps - 1:
                break
            gradient = ridge * theta - block @ (terms.dual * rows.w)
            hessian = (block * (terms.curvature * rows.w)) @ block.T
            step = -np.linalg.solve(hessian + np.diag(ridge + 1e-12), gradient)
            if -gradient @ step <= 1e-14 * abs(value):
                break
        theta = base + step
    return base
