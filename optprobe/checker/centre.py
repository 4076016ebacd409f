"""One centre of a filtered node: what it bounds a support by.

    floor - ||v_T - M_TT d||^2 / (2 lam) - d' K_TT d / 2 - h_T' d      for T in F, |T| = r

`filtered` makes the numbers of a centre. Any d proves something, so that d need not be computed
with care: only what follows it is charged (section 10 of `rounding`). Two are tried, as
`certificate` says: that of the whole T here, and in `lines` the best of the last column beside that
of the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float64, Int

Array = np.ndarray

HEAD = 0.8
"""Of the reach, the most that the step on all columns but one takes."""

SHORTER = 1.0 - 2.0**-40
"""Takes more off a step than its rounding can add."""


class Head(NamedTuple):
    """A step d on some columns: v - M d, what it costs, and sum |d_j| L_j."""

    d: Float64[Array, "r batch"]
    rest: Float64[Array, "r batch"]
    cost: Float64[Array, "batch"]
    length: Float64[Array, "batch"]


@dataclass(frozen=True)
class Centre:
    """The quadratic of one centre over the free columns, as computed.

    Attributes:
        floor: at most D0, less everything that rounding and residuals may cost.
        v, M, K, h: see above.
        length: L_j = max_i |G_ij|.
        reach, lam: e and the ridge.
    """

    floor: float
    v: Float64[Array, "f"]
    M: Float64[Array, "f f"]
    K: Float64[Array, "f f"]
    h: Float64[Array, "f"]
    length: Float64[Array, "f"]
    reach: float
    lam: float

    @cached_property
    def _pivot(self) -> Float64[Array, "f"]:
        """M_jj + lam K_jj / M_jj."""
        own = np.diag(self.M)
        return np.where(self.length > 0.0, own + self.lam * np.diag(self.K) / own, 1.0)

    @cached_property
    def _goal(self) -> Float64[Array, "f"]:
        """v_j - lam h_j / M_jj."""
        moved = self.v - self.lam * self.h / np.diag(self.M)
        return np.where(self.length > 0.0, moved, 0.0)

    def bounds(self, sets: Int[Array, "r batch"]) -> Float64[Array, "batch"]:
        """The bound for T = sets[:, t]; NaN proves nothing."""
        return self.floor - self.head(sets, 1.0).cost

    def beside(self, sets: Int[Array, "r batch"], place: int) -> Float64[Array, "batch"]:
        """The same by the step on all columns but one and the best step of that one beside it."""
        last, P = sets[place], np.delete(sets, place, axis=0)
        head, lam = self.head(P, HEAD), self.lam
        own, across = self.M[last, last], self.M[P, last]
        rest = self.v[last] - (self.M[last, P] * head.d).sum(axis=0)
        b = (own * rest + (across * head.rest).sum(axis=0)) / lam
        b -= self.h[last] + (self.K[P, last] * head.d).sum(axis=0)
        a = (own * own + (across * across).sum(axis=0)) / lam + self.K[last, last]  # twice it
        most = (self.reach - head.length) / self.length[last] * SHORTER
        d = np.minimum(np.maximum(b / a, -most), most)
        return self.floor - head.cost - rest * rest / (2.0 * lam) + d * (b - 0.5 * a * d)

    def head(self, sets: Int[Array, "q batch"], share: float) -> Head:
        """The step on T alone, which takes at most a share of the reach.

        d solves (M_TT + lam diag(K_jj / M_jj)) d = v_T - lam h_T / M_jj, by elimination without
        pivoting, and is shortened until sum |d_j| L_j <= e.
        """
        r = len(sets)
        entries = sets[:, None] * len(self.v) + sets
        M, K = self.M.ravel().take(entries), self.K.ravel().take(entries)
        A, d = M.copy(), self._goal[sets]
        for p in range(r):
            A[p, p] = self._pivot[sets[p]]
        for p in range(r):
            for q in range(p + 1, r):
                factor = A[q, p] / A[p, p]
                A[q, p + 1 :] -= factor * A[p, p + 1 :]
                d[q] -= factor * d[p]
        for p in range(r - 1, -1, -1):
            for q in range(p + 1, r):
                d[p] -= A[p, q] * d[q]
            d[p] /= A[p, p]
        length = (np.abs(d) * self.length[sets]).sum(axis=0)
        shrink = np.minimum(1.0, share * self.reach / length) * SHORTER
        d *= shrink
        rest = self.v[sets] - (M * d).sum(axis=1)
        bent = 0.5 * (K * d).sum(axis=1) + self.h[sets]
        cost = (rest * rest).sum(axis=0) / (2.0 * self.lam) + (d * bent).sum(axis=0)
        return Head(d, rest, cost, length * shrink)
