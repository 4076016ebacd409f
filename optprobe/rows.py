"""The training rows as fits, relaxations and heuristics see them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from optprobe.losses import Loss

Array = np.ndarray


@dataclass(frozen=True)
class Rows:
    """What a fit needs of the training rows: signs, weights, loss and ridge."""

    y: Float64[Array, "n"]
    w: Float64[Array, "n"]
    loss: Loss
    lam: float
