"""Supports of a filtered node bounded by sums over their pairs, and a list of what that leaves.

With one step d_p per column, |d_p| L_p <= e / r, the step on a support T of r columns is in reach,
and it costs (notation of `filter`)

    C(T) = sum_{p in T} [ (u_p - sum_{q in T, q != p} A_pq)^2 / (2 lam) + K_pp d_p^2 / 2 + h_p d_p ]
           + sum_{p < q} K_pq d_p d_q,      u_p = v_p - M_pp d_p,   A_pq = M_pq d_q

By (sum_q A_pq)^2 <= (r - 1) sum_q A_pq^2 that is at most a sum over the pairs of T:

    C(T) <= sum_{p < q in T} E_pq,    E_pq = J_pq + (s_p + s_q) / (r - 1)
    s_p = u_p^2 / (2 lam) + K_pp d_p^2 / 2 + h_p d_p
    J_pq = K_pq d_p d_q - (u_p A_pq + u_q A_qp) / lam + (r - 1) (A_pq^2 + A_qp^2) / (2 lam)

d_p is the step that is best for p alone. Most columns are nearly orthogonal, and the sum is close.

A set of m + 1 columns whose sum exceeds x has one of m columns, without the one that adds least,
whose sum exceeds x (m - 1) / (m + 1): every pair lies in m - 1 of its subsets of m columns, so that
these have that share of the sum on average. So the sets are found from pairs upwards, without
meeting the others: a few columns aside, of the 2 x 10^11 quadruples of a whole layer some 10^7 are
met.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import numba
import numpy as np
from jaxtyping import Float64, Int

from optprobe.engine.damping import REACH
from optprobe.engine.filter import Quadratic, costs, elimination
from optprobe.engine.leaves import Found
from optprobe.matrix.standardise import slices
from optprobe.threads import in_threads

Array = np.ndarray

Step = tuple[Array, Array, Array, tuple[Array, ...], float, float, float]
"""M, M', K, what `filter.elimination` makes, v, h, L and the diagonals of M and K / 2; D0, lam and
the cutoff."""

SUMS, MET = 2**16, 2**11
"""Sums of a level, and sets that the last level meets, for every fit that a child takes the time
of: past it columns are set aside, for which the node has children."""

SAMPLED = 2048
"""Sets whose extensions tell about those of all."""

MANY = 32
"""Supports of a set and a further column past which they are bounded along the line first."""

HEAD = 0.8
"""Of the reach, the most that the step on all columns but one takes, where that one's is the best
beside it; the checker tries the same."""

APART, ROOM = 64, 2**13
"""Sets that a piece of work extends, and room for what comes of them."""

LOWERED = 1.0 - 1e-9
"""Times this, what is needed is exceeded whatever rounding does to the sums."""


def pair_costs(at: Quadratic, lam: float, size: int) -> Float64[Array, "f f"]:
    """E for supports of `size` columns; -infinity on the diagonal."""
    own, bend, live = np.diag(at.M), np.diag(at.K), at.reach > 0.0
    d = (own * at.v - lam * at.h) / np.where(live, own * own + lam * bend, 1.0)
    most = REACH / size / np.where(live, at.reach, np.inf)
    d = np.clip(d, -most, most)
    u = at.v - own * d
    single = u * u / (2.0 * lam) + d * (0.5 * bend * d + at.h)
    A = at.M * d
    E = (((size - 1) / (2.0 * lam)) * A - (u / lam)[:, None]) * A
    E += E.T.copy()
    E += at.K * d * d[:, None]
    E += single / (size - 1)
    E += (single / (size - 1))[:, None]
    np.fill_diagonal(E, -np.inf)
    return E


def above(
    at: Quadratic,
    size: int,
    lam: float,
    cutoff: float,
    child: float,
    stop: Callable[[], bool],
) -> Found | None:
    """The supports whose pairs cost too much for the cutoff, and whose own step does too.

    Args:
        at: the centre.
        size: columns of a support.
        lam: ridge.
        cutoff: what a bound must reach.
        child: what a child takes, in fits.
        stop: whether to give up: None is returned then.
    """
    levels = _Loops(at, size, lam, cutoff, stop)
    return climb(levels, len(at.v), size, at.value - cutoff, child)


class Levels(Protocol):
    """Lists the sets of a node's columns whose pairs sum to much, in the order of those given."""

    def pairs(self, bar: float) -> Int[Array, "m 2"]:
        """The pairs that cost more than `bar`."""
        ...

    def longer(self, sets: Int[Array, "m q"], bar: float, last: bool) -> Int[Array, "m2 q1"] | None:
        """The sets of one more column whose pairs sum to more than `bar`, each once.

        At the last level, less the supports that their own step proves out. None if told to stop.
        """
        ...

    def left(self, sets: Int[Array, "m r"]) -> Int[Array, "m2 r"]:
        """The supports that their own step does not prove out."""
        ...

    def drop(self, columns: list[int]) -> None:
        """Leave columns out of all sets from now on."""
        ...


def climb(levels: Levels, f: int, size: int, need: float, child: float) -> Found | None:
    """`above`, from pairs to sets of `size` out of f columns, whatever extends them.

    Args:
        levels: extends sets.
        f: columns.
        size: columns of a support.
        need: what the pairs of a support may cost.
        child: what a child takes, in fits.
    """
    pairs = math.comb(size, 2)
    need = need * LOWERED if need > 0.0 else -np.inf
    sets = levels.pairs(need / pairs)
    hubs: list[int] = []
    for level in range(3, size + 1):
        last = level == size
        bar = need * math.comb(level, 2) / pairs
        apart = 1 + len(sets) // SAMPLED
        sample = levels.longer(sets[::apart], bar, False)
        if sample is None:
            return None
        more = _many(sample, f, child * (MET if last else SUMS / f) / apart)
        if apart == 1 and not more and not last:
            sets = sample
            continue
        if more:
            hubs += more
            sets = sets[~np.isin(sets, more).any(axis=1)]
            levels.drop(more)
        found = levels.longer(sets, bar, last)
        if found is None:
            return None
        sets = found
    if size == 2:
        sets = levels.left(sets)
    return Found(sets.astype(np.int64), np.array(hubs, np.int64))


def _many(sets: Int[Array, "m q"], f: int, most: float) -> list[int]:
    """Columns without which no more than `most` sets are left: one after another, that of most."""
    hubs: list[int] = []
    count = np.bincount(sets.ravel(), minlength=f)
    while len(sets) > most:
        hubs.append(int(count.argmax()))
        has = (sets == hubs[-1]).any(axis=1)
        count -= np.bincount(sets[has].ravel(), minlength=f)
        sets = sets[~has]
    return hubs


class _Loops:
    """`Levels` by the compiled loops."""

    def __init__(
        self, at: Quadratic, size: int, lam: float, cutoff: float, stop: Callable[[], bool]
    ) -> None:
        self.E, self.stop = pair_costs(at, lam, size), stop
        self.at, self.lam, self.cutoff = at, lam, cutoff
        turned, diagonals = np.ascontiguousarray(at.M.T), (np.diag(at.M).copy(), np.diag(at.K) / 2)
        lines = (*elimination(at, lam), at.v, at.h, at.reach, *diagonals)
        self.step: Step = (at.M, turned, at.K, lines, at.value, lam, cutoff)

    def pairs(self, bar: float) -> Int[Array, "m 2"]:
        return np.argwhere(np.triu(bar < self.E, 1)).astype(np.int32)

    def left(self, sets: Int[Array, "m r"]) -> Int[Array, "m2 r"]:
        return sets[~(self.at.value - costs(self.at, sets.T, self.lam) >= self.cutoff)]

    def drop(self, columns: list[int]) -> None:
        self.E[columns] = self.E[:, columns] = -np.inf

    def longer(self, sets: Int[Array, "m q"], bar: float, last: bool) -> Int[Array, "m2 q1"] | None:
        q, f = sets.shape[1], len(self.E)

        def work(part: slice) -> Array | None:
            mine = np.ascontiguousarray(sets[part])
            found: list[Array] = []
            done = 0
            while done < len(mine):
                if self.stop():
                    return None
                out = np.empty((ROOM + f, q + 1), np.int32)
                if last:
                    done, held = _extend_last(self.E, mine, done, bar, self.step, out)
                else:
                    done, held = _extend(self.E, mine, done, bar, out)
                found.append(out[:held])
            return np.concatenate([np.empty((0, q + 1), np.int32), *found])

        found = in_threads(work, list(slices(len(sets), APART)))
        whole = [part for part in found if part is not None]
        if len(whole) < len(found):
            return None
        return np.concatenate([np.empty((0, q + 1), np.int32), *whole])


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _extend(E, sets, start, bar, out):  # type: ignore
    """Fill `out` with the sets of one more column; the set to go on with, and how many it has."""
    held, f, q = 0, E.shape[0], sets.shape[1]
    line, T = np.empty(f), np.empty(q + 1, np.int64)
    for b in range(start, len(sets)):
        if held + f > len(out):
            return b, held
        rest = bar - _sums(E, sets[b], line)
        for t in range(f):
            if line[t] > rest and _least(E, sets[b], t, T):
                out[held] = T
                held += 1
    return len(sets), held


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _extend_last(E, sets, start, bar, at, out):  # type: ignore
    """`_extend`, less the supports that their own step proves out."""
    value, cutoff = at[4], at[6]
    held, f, q = 0, E.shape[0], sets.shape[1]
    line, bound, work = np.empty(f), np.empty(f), np.empty((3, f))
    A, d = np.empty((q + 1, q + 1)), np.empty(q + 1)
    T, inside = np.empty((2, q + 1), np.int64)
    for b in range(start, len(sets)):
        if held + f > len(out):
            return b, held
        rest = bar - _sums(E, sets[b], line)
        hits = 0
        for t in range(f):
            hits += line[t] > rest
        if hits == 0:
            continue
        T[:q] = sets[b]
        many = hits > MANY
        if many:
            _beside(at, T[:q], A, d, work, bound)
        for t in range(f):
            if line[t] > rest and not (many and bound[t] >= cutoff):
                T[q] = t
                if not value - _cost(at, T, A, d, 1.0) >= cutoff and _least(E, T[:q], t, inside):
                    out[held] = inside
                    held += 1
    return len(sets), held


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "nsz"})
def _sums(E, columns, line):  # type: ignore
    """line_l = sum_p E_pl over the columns of a set; returns the sum over its pairs."""
    total = 0.0
    line[:] = E[columns[0]]
    for p in range(1, len(columns)):
        row = E[columns[p]]
        for q in range(p):
            total += row[columns[q]]
        for t in range(len(line)):
            line[t] += row[t]
    return total


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _least(E, columns, last, T):  # type: ignore
    """Whether the last column adds less to the sum than any of the set, or as much and is first.

    The sums are taken in the order of the columns: the same, whichever comes last.
    """
    place = len(columns)
    while place > 0 and columns[place - 1] > last:
        T[place] = columns[place - 1]
        place -= 1
    T[place] = last
    T[:place] = columns[:place]
    least, at = np.inf, -1
    for p in range(len(T)):
        row, own = E[T[p]], 0.0
        for q in range(len(T)):
            if q != p:
                own += row[T[q]]
        if own < least:
            least, at = own, p
    return at == place


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _cost(at, T, A, d, share):  # type: ignore
    """`filter.costs` of one support at a step that takes a share of the reach; d is left behind."""
    M, turned, K, lines, _, lam, _ = at
    pivot, target, v, h, reach, _, curve = lines
    r = len(T)
    last = T[r - 1]
    for p in range(r - 1):
        row = M[T[p]]
        for q in range(r):
            A[p, q] = row[T[q]]
        A[r - 1, p] = turned[T[p], last]
        A[p, p] = pivot[T[p]]
        d[p] = target[T[p]]
    A[r - 1, r - 1], d[r - 1] = pivot[last], target[last]
    for p in range(r):
        for j in range(p + 1, r):
            factor = A[j, p] / A[p, p]
            for k in range(p + 1, r):
                A[j, k] -= factor * A[p, k]
            d[j] -= factor * d[p]
    length = 0.0
    for p in range(r - 1, -1, -1):
        for k in range(p + 1, r):
            d[p] -= A[p, k] * d[k]
        d[p] /= A[p, p]
        length += abs(d[p]) * reach[T[p]]
    shrunk = min(1.0, share * REACH / length)
    for p in range(r):
        d[p] *= shrunk
    cost = 0.0
    for p in range(r):
        rest, bent = v[T[p]], h[T[p]] + curve[T[p]] * d[p]
        for q in range(r):
            rest -= (M[T[p], T[q]] if p < r - 1 else turned[T[q], last]) * d[q]
        for q in range(p):
            bent += K[T[q], T[p]] * d[q]
        cost += rest * rest * (0.5 / lam) + d[p] * bent
    return cost


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "nsz"})
def _beside(at, P, A, d, work, bound):  # type: ignore
    """Bounds of the supports P + l for every column l, at the step of P and the best of l.

    d_l = b / (2 a),   a = (M_ll^2 + |M_Pl|^2) / (2 lam) + K_ll / 2
                       b = (M_ll R + M_Pl . rest_P) / lam - h_l - K_lP . d_P
    cost = cost(P) + R^2 / (2 lam) - b d_l + a d_l^2,   R = v_l - M_lP . d_P
    """
    M, turned, K, lines, value, lam, _ = at
    _, _, v, h, reach, own, curve = lines
    q, f = len(P), len(v)
    low = value - _cost(at, P, A[:q, :q], d[:q], HEAD)
    left = REACH
    R, b, a = work
    for t in range(f):
        R[t], b[t], a[t] = v[t], -h[t], own[t] * own[t]
    for p in range(q):
        rest = v[P[p]]
        for k in range(q):
            rest -= M[P[p], P[k]] * d[k]
        rest /= lam
        step, right, under, bent = d[p], M[P[p]], turned[P[p]], K[P[p]]
        left -= abs(step) * reach[P[p]]
        for t in range(f):
            R[t] -= under[t] * step
            b[t] += right[t] * rest - bent[t] * step
            a[t] += right[t] * right[t]
    half = 0.5 / lam
    for t in range(f):
        e = b[t] + 2.0 * half * own[t] * R[t]
        c = half * a[t] + curve[t]
        far = left / max(reach[t], 1e-300)
        best = 0.5 * e / c
        best = best if best < far else far
        best = best if best > -far else -far
        bound[t] = low - half * R[t] * R[t] + best * (e - c * best)
