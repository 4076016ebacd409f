"""What passes between optprobe and a tool in another environment; needs NumPy alone.

The tool reads one .npz of plain arrays and writes JSON lines to its standard output: {"phase":
"solve"} once it has compiled and warmed up, then one line whenever it knows something new:

    seconds   since the phase began
    lower     its bound on our objective, null if it has none
    support   rows of Z, of its best answer so far
    end       "" while it goes on, then "optimal", "time" or why it stopped
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray

NUMBERS = ("lam", "k", "time_limit", "gap", "seed")


@dataclass(frozen=True)
class Task:
    """One problem: minimise sum_i w_i log(1 + exp(-y_i (z_i . beta + b))) + (lam/2) |beta|^2.

    Attributes:
        Z: standardised columns, one row of the array each (p x n).
        y: -1 or 1.
        weights: of the rows, their sum is 1.
        lam, k: ridge and cardinality.
        time_limit, gap: seconds, and the relative gap at which to stop.
        seed: of the tool's own choices.
    """

    Z: Array
    y: Array
    weights: Array
    lam: float
    k: int
    time_limit: float
    gap: float
    seed: int

    @property
    def uniform(self) -> bool:
        """Whether all rows weigh the same."""
        return bool(np.ptp(self.weights) <= 1e-12 * self.weights.max())

    def write(self, path: Path) -> None:
        """Plain arrays."""
        numbers = {name: getattr(self, name) for name in NUMBERS}
        np.savez(path, Z=self.Z, y=self.y, weights=self.weights, **numbers)

    @classmethod
    def read(cls, path: Path) -> Task:
        """What `write` wrote."""
        with np.load(path, allow_pickle=False) as held:
            numbers = {name: held[name].item() for name in NUMBERS}
            return cls(held["Z"], held["y"], held["weights"], **numbers)


class Reporter:
    """Writes the lines; its clock is the tool's."""

    def __init__(self, task: Task) -> None:
        self.limit = task.time_limit
        self.lower = -math.inf
        self.support: list[int] = []
        say(phase="solve")
        self.begun = time.perf_counter()

    @property
    def left(self) -> float:
        """Seconds of the time limit that remain."""
        return self.limit - (time.perf_counter() - self.begun)

    def tell(self, lower: float, support: Iterable[Any], end: str = "") -> None:
        """One line; bounds only grow."""
        self.lower = max(self.lower, lower)
        self.support = [int(j) for j in support]
        say(
            seconds=time.perf_counter() - self.begun,
            lower=self.lower if math.isfinite(self.lower) else None,
            support=self.support,
            end=end,
        )

    def end(self, why: str) -> None:
        """The last line: what is known by then, and why it stops."""
        self.tell(self.lower, self.support, why)


def say(**line: Any) -> None:
    """One JSON line on the standard output."""
    print(json.dumps(line), flush=True)
