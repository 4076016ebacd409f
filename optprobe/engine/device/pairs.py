"""`engine.pairs` as tensor operations: blocks of sets by all columns are compared with the bar.

The same sums in the same order, the same lines, the same steps; see there. Levels are climbed on
the host: sets go forth and back between them, and of the supports those that are left come back.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Int

from optprobe.engine.damping import REACH
from optprobe.engine.extending import MANY
from optprobe.engine.filter import Quadratic
from optprobe.engine.leaves import Found
from optprobe.engine.pairs import climb
from optprobe.engine.steps import HEAD
from optprobe.engine.support_costs import elimination
from optprobe.matrix.standardise import slices
from optprobe.threads import nothing

Array = np.ndarray

BLOCK = 2**22
"""Sums of a set and a further column compared at once: ten such arrays, 32 MB each, are held."""

LISTED = 2**19
"""Supports whose own step is tried at once: 4 r^2 such arrays, 4 MB each, are held."""


def above(
    at: Quadratic,
    size: int,
    lam: float,
    cutoff: float,
    child: float,
    stop: Callable[[], bool],
    device: torch.device,
    tick: Callable[[], None] = nothing,
) -> Found | None:
    """The supports that `engine.pairs.above` finds from pairs upwards, on a device."""
    levels = Tensors(at, size, lam, cutoff, stop, device, tick)
    return climb(levels, len(at.v), size, at.value - cutoff, child)


class Tensors:
    """`engine.pairs.Levels` on a device. Sets are rows here, and E is 0 on its diagonal."""

    def __init__(
        self,
        at: Quadratic,
        size: int,
        lam: float,
        cutoff: float,
        stop: Callable[[], bool],
        device: torch.device,
        tick: Callable[[], None] = nothing,
    ) -> None:
        self.device, self.stop, self.tick = device, stop, tick
        self.value, self.lam, self.cutoff = at.value, lam, cutoff
        self.v, self.M, self.K, self.h, self.reach, self.pivot, self.target = (
            torch.tensor(part, device=device)
            for part in (at.v, at.M, at.K, at.h, at.reach, *elimination(at, lam))
        )
        self.turned = self.M.T.contiguous()
        self.E = self.pair_costs(size)

    def pair_costs(self, size: int) -> torch.Tensor:
        """`engine.pair_costs`."""
        own, bend, half = self.M.diagonal(), self.K.diagonal(), 0.5 / self.lam
        scale = torch.where(self.reach > 0.0, own * own + self.lam * bend, 1.0)
        d = (own * self.v - self.lam * self.h) / scale
        most = REACH / size / self.reach
        d = d.clamp(-most, most)
        u = self.v - own * d
        single = (half * u * u + d * (0.5 * bend * d + self.h)) / (size - 1)
        A = self.M * d
        E = ((size - 1) * half * A - (u / self.lam)[:, None]) * A
        E = E + E.T + self.K * d * d[:, None] + single + single[:, None]
        return E.fill_diagonal_(0.0)

    def pairs(self, bar: float) -> Int[Array, "m 2"]:
        return _on_host((bar < self.E).triu(1).nonzero())

    def drop(self, columns: list[int]) -> None:
        self.E[columns] = self.E[:, columns] = -torch.inf

    def left(self, sets: Int[Array, "m r"]) -> Int[Array, "m2 r"]:
        parts = [sets[:0]]
        for part in slices(len(sets), LISTED):
            parts.append(_on_host(self.undecided(self.put(sets[part]))))
        return np.concatenate(parts)

    def longer(self, sets: Int[Array, "m q"], bar: float, last: bool) -> Int[Array, "m2 q1"] | None:
        found = [np.empty((0, sets.shape[1] + 1), np.int32)]
        for block in slices(len(sets), max(1, BLOCK // len(self.E))):
            self.tick()
            if self.stop():
                return None
            heads = self.put(sets[block])
            met = self.over(heads, bar).nonzero()
            met = torch.cat([met[part][self.first(heads, met[part])] for part in _parts(met)])
            if last:
                met = met[self.unlined(heads, met)]
            for part in _parts(met):
                inside = _joined(heads, met[part]).sort(1).values
                found.append(_on_host(self.undecided(inside) if last else inside))
        return np.concatenate(found)

    def put(self, sets: Int[Array, "m q"]) -> torch.Tensor:
        """Sets as indices."""
        return torch.tensor(sets, dtype=torch.int64, device=self.device)

    def over(self, heads: torch.Tensor, bar: float) -> torch.Tensor:
        """Which columns make the pairs of which heads sum to more than `bar`."""
        line = self.E[heads[:, 0]]
        total = torch.zeros_like(line[:, 0])
        for p in range(1, heads.shape[1]):
            for q in range(p):
                total += self.E[heads[:, p], heads[:, q]]
            line += self.E[heads[:, p]]
        return (line > (bar - total)[:, None]).scatter_(1, heads, False)

    def first(self, heads: torch.Tensor, met: torch.Tensor) -> torch.Tensor:
        """Where the column that a head is met with adds least, of those that add the same first.

        The sums are taken in the order of the columns: the same, whichever comes last.
        """
        inside, place = _joined(heads, met).sort(1)
        adds = torch.zeros(inside.shape, dtype=self.E.dtype, device=self.device)
        for q in range(inside.shape[1]):
            adds += self.E[inside, inside[:, q, None]]
        least = place.gather(1, adds.argmin(1, keepdim=True))[:, 0]
        return least == inside.shape[1] - 1

    def undecided(self, sets: torch.Tensor) -> torch.Tensor:
        """The supports that their own step does not prove out."""
        return sets[~(self.value - self.step(sets, 1.0)[1] >= self.cutoff)]

    def step(self, sets: torch.Tensor, share: float) -> tuple[torch.Tensor, torch.Tensor]:
        """d of every support at a share of the reach, [p, t], and `support_costs.costs` there."""
        T, r = sets.T, sets.shape[1]
        M, K = self.M[T[:, None], T], self.K[T[:, None], T]
        A, d, every = M.clone(), self.target[T], torch.arange(r)
        A[every, every] = self.pivot[T]
        for p in range(r):
            factor = A[p + 1 :, p] / A[p, p]
            A[p + 1 :, p + 1 :] -= factor[:, None] * A[p, p + 1 :]
            d[p + 1 :] -= factor * d[p]
        for p in reversed(range(r)):
            d[p] = (d[p] - (A[p, p + 1 :] * d[p + 1 :]).sum(0)) / A[p, p]
        d *= (share * REACH / (d.abs() * self.reach[T]).sum(0)).clamp(max=1.0)
        rest, bent = self.v[T] - (M * d).sum(1), self.h[T] + 0.5 * (K * d).sum(1)
        return d, rest.square().sum(0) * (0.5 / self.lam) + (d * bent).sum(0)

    def unlined(self, heads: torch.Tensor, met: torch.Tensor) -> torch.Tensor:
        """Where the line of a head that meets many columns does not prove what it is met with."""
        row, column = met.unbind(1)
        many = torch.bincount(row, minlength=len(heads)) > MANY
        along, place = many[row], many.cumsum(0) - 1
        bounds = self.beside(heads[many])
        along[along.clone()] = bounds[place[row[along]], column[along]] >= self.cutoff
        return ~along

    def beside(self, heads: torch.Tensor) -> torch.Tensor:
        """Bounds of every head and one more column; see `engine.steps`."""
        P, (d, cost) = heads.T, self.step(heads, HEAD)
        rest = (self.v[P] - (self.M[P[:, None], P] * d).sum(1)) / self.lam
        own, half = self.M.diagonal(), 0.5 / self.lam
        R, b = self.v.repeat(len(heads), 1), -self.h.repeat(len(heads), 1)
        a = own.square().repeat(len(heads), 1)
        for p in range(len(P)):
            right, move = self.M[P[p]], d[p, :, None]
            R.addcmul_(self.turned[P[p]], move, value=-1.0)
            b.addcmul_(self.K[P[p]], move, value=-1.0).addcmul_(right, rest[p, :, None])
            a.addcmul_(right, right)
        b += own * R / self.lam
        a = half * a + 0.5 * self.K.diagonal()
        spare = REACH - (d.abs() * self.reach[P]).sum(0)
        far = spare[:, None] / self.reach.clamp(min=1e-300)
        best = (0.5 * b / a.clamp(min=1e-300)).clamp(-far, far)
        return (self.value - cost)[:, None] - half * R * R + best * (b - a * best)


def _parts(met: torch.Tensor) -> list[slice]:
    """At least one."""
    return list(slices(len(met), LISTED)) or [slice(0, 0)]


def _joined(heads: torch.Tensor, met: torch.Tensor) -> torch.Tensor:
    """Heads, each with the column that it is met with last."""
    return torch.cat([heads[met[:, 0]], met[:, 1:]], 1)


def _on_host(sets: torch.Tensor) -> Int[Array, "m q"]:
    """Sets as the host holds them."""
    return sets.int().cpu().numpy()
