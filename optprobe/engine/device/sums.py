"""`filter.sums` for columns on a device: the two Gram products are matrix products there."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float64

from optprobe.engine.filter import DEAD, FLAT, Sizes, Sums, Weightings, residual
from optprobe.matrix.resident import Resident

Array = np.ndarray


def sums(forced: Float64[Array, "s n"], free: Resident, at: Weightings, clip: float) -> Sums:
    """The sums over the rows; see `filter.sums`."""
    G = directions(forced, free, at.move, clip)
    M = free.weighted(at.move, G)
    flat = M.diagonal() <= FLAT * clip * clip * at.move.sum()
    M[:, flat] = 0.0
    G.tensor[flat] = 0.0
    length = largest(G.tensor).cpu().numpy()
    return Sums(
        free @ at.push,
        M.cpu().numpy(),
        G.weighted(at.bend, G).cpu().numpy(),
        G @ at.tilt,
        length,
        residual(forced, G, length, at.move),
    )


def sizes(block: Resident) -> Sizes:
    """`filter.sizes_of` columns on a device."""
    X = block.tensor
    return Sizes(float(torch.linalg.vector_norm(X, dim=1).amax()), float(largest(X).amax()))


def directions(
    forced: Float64[Array, "s n"], free: Resident, weight: Float64[Array, "n"], clip: float
) -> Resident:
    """`filter.directions`; the small system is solved on the host, where it may be singular."""
    one = np.ones((1, forced.shape[1]))
    plain = np.concatenate([one, forced]) * weight
    clipped = np.concatenate([one, np.clip(forced, -clip, clip)])
    G = free.tensor.clamp(-clip, clip)
    C = np.linalg.lstsq(plain @ clipped.T, (free.put(plain) @ G.T).cpu().numpy())[0]
    G.addmm_(free.put(C).T, free.put(clipped), alpha=-1.0)
    G[largest(G) < DEAD * clip] = 0.0
    return Resident(G)


def largest(columns: torch.Tensor) -> torch.Tensor:
    """max_i |X_ij| of every column j."""
    return torch.maximum(columns.amax(1), -columns.amin(1))
