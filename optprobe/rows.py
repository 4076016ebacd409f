"""The training rows as fits, relaxations and heuristics see them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from optprobe.losses import Loss, SquaredError

Array = np.ndarray


@dataclass(frozen=True)
class Rows:
    """What a fit needs of the training rows: signs, weights, loss and ridge.

    `y` is -1 or +1 by class, and +1 throughout for squared error, whose targets the loss holds.
    """

    y: Float64[Array, "n"]
    w: Float64[Array, "n"]
    loss: Loss
    lam: float

    @property
    def size(self) -> float:
        """(sum w y^2)^(1/2) of the targets; 1 for two classes. Rounding is relative to it."""
        if not isinstance(self.loss, SquaredError):
            return 1.0
        return float(np.sqrt(self.w @ self.loss.target**2))

    @property
    def spread(self) -> float:
        """Weighted standard deviation of the targets, the size of a residual; 1 for two classes."""
        if not isinstance(self.loss, SquaredError):
            return 1.0
        target = self.loss.target
        return float(np.sqrt(self.w @ (target - self.w @ target) ** 2))
