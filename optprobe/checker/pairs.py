"""Supports of a filtered node bounded by sums over their pairs, from pairs upwards.

With one step d_p per column, |d_p| L_p <= e / r, the cost of any T of r columns (see `centre`) is

    sum_{p in T} [ (u_p - sum_{q != p} A_pq)^2 / (2 lam) + K_pp d_p^2 / 2 + h_p d_p ]
    + sum_{p < q} K_pq d_p d_q,       u_p = v_p - M_pp d_p,    A_pq = M_pq d_q

and (sum_q A_pq)^2 <= (r - 1) sum_q A_pq^2, so that it is at most the sum over p < q in T of

    E_pq = K_pq d_p d_q - (u_p A_pq + u_q A_qp) / lam + (r - 1) (A_pq^2 + A_qp^2) / (2 lam)
           + (s_p + s_q) / (r - 1),      s_p = u_p^2 / (2 lam) + K_pp d_p^2 / 2 + h_p d_p

A set of m + 1 columns whose sum exceeds x holds one of m whose sum exceeds x (m - 1) / (m + 1), for
every pair lies in m - 1 of its subsets of m: the one without the column that adds least. What may
exceed is found level by level that way, and the supports that no such chain reaches are covered.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from optprobe.checker.centre import SHORTER, Centre
from optprobe.checker.form import RefusedError
from optprobe.checker.lines import Beside, Lines
from optprobe.checker.rounding import gamma

if TYPE_CHECKING:
    from jaxtyping import Bool, Float64, Int

Array = np.ndarray

BLOCK = 2**17
"""Sums of a set and one more column that are compared at once."""

MANY = 32
"""Supports of a set and one more column past which they are first bounded along the line."""

MOST, MOST_MET = 2**25, 2**29
"""Sets of a level that are kept, and supports that are met, past which a node is refused."""


class Pairs:
    """E of one centre, for supports of r >= 2 of its columns.

    Attributes:
        slack: more than rounding makes of any sum over pairs (section 11 of `rounding`).
    """

    def __init__(self, centre: Centre, r: int) -> None:
        self.centre, self.r = centre, r
        M, K, v, h, lam = centre.M, centre.K, centre.v, centre.h, centre.lam
        own, bend, live = np.diag(M), np.diag(K), centre.length > 0.0
        d = (own * v - lam * h) / np.where(live, own * own + lam * bend, 1.0)
        most = centre.reach / r / np.where(live, centre.length, np.inf) * SHORTER
        d = np.where(np.isfinite(d), np.clip(d, -most, most), 0.0)
        u, A = v - own * d, M * d
        fall, bent = u * u / (2.0 * lam), 0.5 * bend * d * d
        single = (fall + bent + h * d) / (r - 1)
        E = ((0.5 * (r - 1) / lam) * A - (u / lam)[:, None]) * A
        E += E.T.copy()
        E += K * d * d[:, None]
        E += single
        E += single[:, None]
        np.fill_diagonal(E, -np.inf)
        self.E = E
        far, move = np.abs(A).max(initial=0.0), np.abs(d).max(initial=0.0)
        size = (r - 1) / lam * far * far + 2.0 / lam * far * np.abs(u).max(initial=0.0)
        size += np.abs(K).max(initial=0.0) * move * move
        size += 2.0 * (fall + bent + np.abs(h * d)).max(initial=0.0)
        self.slack = gamma(256) * math.comb(r, 2) * float(size)

    @cached_property
    def _lines(self) -> Lines:
        return Lines(self.centre)

    def exceed(self, sets: Int[Array, "r batch"], lower: float) -> Bool[Array, "batch"]:
        """Which supports their pairs do not bound by `lower`."""
        return ~(self._sums(sets) <= self.centre.floor - lower - self.slack)

    def left(self, lower: float) -> Iterator[Int[Array, "r batch"]]:
        """Every support but those that a sum or a line bounds by `lower`, in blocks.

        Raises:
            RefusedError: there are too many sets to meet.
        """
        need, r = self.centre.floor - lower, self.r
        if not need >= 0.0 or not np.isfinite(self.slack):
            raise RefusedError("a filtered node's first centre does not reach the claimed lower")
        sets = np.array(np.nonzero(np.triu(~(need / math.comb(r, 2) - self.slack >= self.E), 1)))
        for level in range(3, r):
            bar = need * math.comb(level, 2) / math.comb(r, 2) - self.slack
            parts, held = [np.empty((level, 0), np.int64)], 0
            for part in self._longer(sets, bar):
                parts.append(part)
                held += part.shape[1]
                if held > MOST:
                    raise RefusedError(f"more than {MOST} sets of a filtered node to be bounded")
            sets = np.concatenate(parts, axis=1)
        held = 0
        for part in (sets,) if r == 2 else self._longer(sets, need - self.slack, lower):
            held += part.shape[1]
            if held > MOST_MET:
                raise RefusedError(f"more than {MOST_MET} supports of a filtered node to be met")
            yield part

    def _longer(
        self, sets: Int[Array, "q batch"], bar: float, lower: float | None = None
    ) -> Iterator[Int[Array, "q1 batch"]]:
        """The sets of one more column that exceed `bar`, each once; along long lines less those
        that are bounded by `lower`."""
        f = len(self.E)
        step = max(1, BLOCK // max(1, f))
        if lower is not None:  # those that share all but their first column side by side
            degree = np.bincount(sets.ravel(), minlength=f)
            sets = np.take_along_axis(sets, np.argsort(degree[sets], axis=0, kind="stable"), axis=0)
            sets = sets[:, np.lexsort(sets)]
        for start in range(0, sets.shape[1], step):
            part = sets[:, start : start + step]
            line = self.E[part[0]]
            for column in part[1:]:
                line += self.E[column]
            over = ~(line <= (bar - self._sums(part))[:, None])
            over[np.arange(part.shape[1]), part] = False
            head = np.repeat(np.arange(part.shape[1]), np.count_nonzero(over, axis=1))
            at = np.flatnonzero(over)
            last, adds = at - head * f, line.ravel()[at]
            least = self._least_of(part, head, last)
            mine = ~(adds > least + self.slack)  # the others are met from another set
            head, last, tied = head[mine], last[mine], ~(adds < least - self.slack)[mine]
            if lower is not None:
                left = self._along(part, head, last, lower)
                head, last, tied = head[left], last[left], tied[left]
            longer, maybe = np.concatenate([part[:, head], last[None]]), np.flatnonzero(tied)
            longer = np.delete(longer, maybe[~self._is_least(longer[:, maybe])], axis=1)
            yield np.sort(longer, axis=0)

    def _least_of(
        self, sets: Int[Array, "q batch"], head: Int[Array, "m"], last: Int[Array, "m"]
    ) -> Float64[Array, "m"]:
        """The least that a column of sets[:, head] adds to the others of it and a last one."""
        E, least = self.E, np.full(len(head), np.inf)
        for p, column in enumerate(sets):
            own = np.zeros(len(column))
            for other in np.delete(sets, p, axis=0):
                own += E[column, other]
            pair = E.ravel().take((column * len(E))[head] + last)
            np.minimum(least, own[head] + pair, out=least)
        return least

    def _along(
        self,
        sets: Int[Array, "q batch"],
        head: Int[Array, "m"],
        last: Int[Array, "m"],
        lower: float,
    ) -> Bool[Array, "m"]:
        """Which supports are not bounded along the lines of the heads that have many."""
        left = np.ones(len(head), bool)
        first = np.searchsorted(head, np.arange(sets.shape[1] + 1))
        many = np.flatnonzero(np.diff(first) > MANY)
        if not len(many):
            return left
        beside = Beside(self._lines, sets[:, many], 0)
        for part in beside.slices():
            bounded = beside.bounds(part) >= lower
            for row, number in zip(bounded, many[part], strict=True):
                mine = slice(first[number], first[number + 1])
                left[mine] = ~row[last[mine]]
        return left

    def _sums(self, sets: Int[Array, "q batch"]) -> Float64[Array, "batch"]:
        """The sum over the pairs of each set."""
        total = np.zeros(sets.shape[1])
        for p in range(len(sets)):
            for q in range(p):
                total += self.E[sets[q], sets[p]]
        return total

    def _is_least(self, longer: Int[Array, "q1 batch"]) -> Bool[Array, "batch"]:
        """Whether the last column adds least, of those that add the same the smallest.

        The sums are taken in the order of the columns: the same, whichever comes last.
        """
        order = np.argsort(longer, axis=0)
        inside = np.take_along_axis(longer, order, axis=0)
        adds = np.zeros(longer.shape)
        for p in range(len(longer)):
            for q in range(len(longer)):
                if p != q:
                    adds[p] += self.E[inside[p], inside[q]]
        least = np.argmin(adds, axis=0)
        return np.take_along_axis(order, least[None], axis=0)[0] == len(longer) - 1
