"""`engine.pruning` as tensor operations: Newton steps on many supports until one prunes.

The same iterates, in float64; see there. Supports that are done leave the batch.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int

from optprobe.engine.expansion import Expansion
from optprobe.engine.pruning import FAR, STEPS, Pruned
from optprobe.matrix.resident import Resident
from optprobe.matrix.standardise import slices
from optprobe.rows import Rows

Array = np.ndarray

NUMBERS = 2**23
"""Supports times rows handled at once: 2 k + 14 such arrays of float64, 64 MB each, are held."""


def prune(
    block: Resident, supports: Int[Array, "m k"], rows: Rows, start: Expansion, cutoff: float
) -> Pruned:
    """Iterate every support until its dual value exceeds the cutoff; see `pruning.prune`."""
    order = np.argsort(-rows.y, kind="stable")  # the positive class first
    table, weight = block.tensor[:, block.put(order)], block.put(rows.w[order])
    work = _Work(table, weight, int((rows.y > 0).sum()), rows.lam, cutoff)
    at = tuple(block.put(part) for part in start)
    full = block.put(np.column_stack([supports, np.full(len(supports), len(block) - 1)]))
    theta, dual = np.zeros(full.shape), np.full(len(full), -np.inf)
    for part in slices(len(full), max(1, NUMBERS // len(rows.w))):
        theta[part], dual[part] = (found.cpu().numpy() for found in work.pruned(at, full[part]))
    return Pruned(theta, dual)


class _Terms(NamedTuple):
    """w a and w a (1 - a) of every row; sums of w a, w H(a), w a m and w a / (1 - a) by class."""

    pull: torch.Tensor
    bend: torch.Tensor
    mass: torch.Tensor
    entropy: torch.Tensor
    tilt: torch.Tensor
    spread: torch.Tensor


class _Work(NamedTuple):
    """The rows, the `split` ones of the positive class first."""

    table: torch.Tensor
    weight: torch.Tensor
    split: int
    lam: float
    cutoff: float

    def pruned(
        self, at: tuple[torch.Tensor, ...], full: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The best iterate of each support and its dual value."""
        gradient, hessian = at[0][full], at[1][full[:, :, None], full[:, None, :]]
        theta = torch.zeros_like(gradient)
        ridge = torch.full_like(theta[0], self.lam)
        ridge[-1] = 0.0
        least = torch.diag(ridge)
        least[-1, -1] = 1e-12
        best, dual = torch.zeros_like(theta), torch.full_like(theta[:, 0], -torch.inf)
        live = torch.arange(len(full), device=full.device)
        columns = self.table[full]
        for step in range(STEPS):
            factor, failed = torch.linalg.cholesky_ex(hessian + least)
            move = torch.cholesky_solve(gradient[:, :, None], factor)[:, :, 0]
            good = (failed == 0).nonzero()[:, 0]
            live, columns, theta = _kept(good, live, columns, theta - move)
            margin = torch.matmul(theta[:, None], columns)[:, 0]
            terms = self.terms(margin)
            v = self.by_class(columns, terms.pull)
            value = self.value(terms, v)
            better = (value > dual[live]).nonzero()[:, 0]
            dual[live[better]], best[live[better]] = value[better], theta[better]
            going = ((terms.mass.sum(1) > 0.0) & ~(value > self.cutoff)).nonzero()[:, 0]
            if step == STEPS - 1 or not len(going):
                break
            live, columns, theta, v, bend = _kept(going, live, columns, theta, v, terms.bend)
            gradient = ridge * theta - v.sum(1)
            hessian = torch.matmul(columns * bend[:, None], columns.transpose(1, 2))
        return best, dual

    def terms(self, margin: torch.Tensor) -> _Terms:
        """One pass over the margins."""
        size = margin.abs()
        small = torch.exp(-size.clamp(max=FAR))
        rest = 1.0 / (1.0 + small)
        pull = self.weight * torch.where(margin > 0.0, small * rest, rest)
        tilt = pull * margin
        loss = torch.log1p(small) + (-margin).clamp(min=0.0)
        spread = torch.exp(-margin.clamp(-FAR, FAR))
        sums = (pull, self.weight * loss + tilt, tilt, self.weight * spread)
        mass, entropy, tilt, spread = (self.classes(part) for part in sums)
        return _Terms(pull, self.weight * small * rest * rest, mass, entropy, tilt, spread)

    def classes(self, values: torch.Tensor) -> torch.Tensor:
        """Sums of each support's rows, by class."""
        return torch.stack([values[:, : self.split].sum(1), values[:, self.split :].sum(1)], 1)

    def by_class(self, columns: torch.Tensor, pull: torch.Tensor) -> torch.Tensor:
        """Each support's columns times its pull, by class: supports x 2 x columns."""
        rows = slice(None, self.split), slice(self.split, None)
        parts = [torch.matmul(columns[:, :, part], pull[:, part, None])[:, :, 0] for part in rows]
        return torch.stack(parts, 1)

    def value(self, terms: _Terms, v: torch.Tensor) -> torch.Tensor:
        """The dual value of every iterate, the heavy class scaled by 1 - tau."""
        heavy = (terms.mass[:, 1] >= terms.mass[:, 0]).long()[:, None]
        mass, entropy, tilt, spread = (
            part.gather(1, heavy)[:, 0]
            for part in (terms.mass, terms.entropy, terms.tilt, terms.spread)
        )
        tau = 1.0 - terms.mass.gather(1, 1 - heavy)[:, 0] / mass
        scaled = (1.0 - tau) * entropy
        bent = entropy - tau * tilt - tau * tau * spread
        scale = torch.ones_like(terms.mass).scatter_(1, heavy, (1.0 - tau)[:, None])
        pulled = (scale[:, :, None] * v)[:, :, :-1].sum(1).square().sum(1)
        light = terms.entropy.gather(1, 1 - heavy)[:, 0]
        return torch.maximum(scaled, bent) + light - pulled / (2.0 * self.lam)


def _kept(which: torch.Tensor, *parts: torch.Tensor) -> list[torch.Tensor]:
    """Some supports of each array."""
    return [part if len(which) == len(part) else part[which] for part in parts]
