"""What every mixed-integer method answers: an incumbent under the true loss, and a claim."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64, Int

from optprobe.bounds import DualPoint
from optprobe.result import Bounds, Limit, Status

Array = np.ndarray


@dataclass(frozen=True)
class Answer:
    """The incumbent, its bounds, and the dual points behind them where there are any.

    Attributes:
        support: column numbers of X, increasing.
        objective: f(beta, b) from the source columns.
        claimed: upper is the objective, lower the smaller of it and the solver's bound.
        points: dual point of every cut, in the columns of X, the strongest first.
        statistics: counters of the method, for tables.
    """

    support: Int[Array, "s"]
    beta: Float64[Array, "s"]
    intercept: float
    objective: float
    claimed: Bounds
    status: Status
    limit: Limit | None
    nodes: int
    points: tuple[DualPoint, ...] = field(default=(), repr=False)
    statistics: dict[str, float] = field(default_factory=dict)
