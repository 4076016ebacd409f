"""What every adapter does before and after its tool."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int

from optprobe.heuristics.rankings import mean_difference
from optprobe.problem import Problem

Array = np.ndarray


def largest(
    problem: Problem, columns: Int[Array, "p"], beta: Float64[Array, "p"], k: int
) -> Int[Array, "k"]:
    """The k columns of largest |beta_j|; those a tool left at zero follow by mean difference."""
    return columns[np.lexsort((-mean_difference(problem)[columns], -np.abs(beta)))[:k]]
