"""From a whole layer to candidate columns: by a heuristic score, or by proof.

`best_columns` keeps the p best by a score and promises nothing. `proven_columns` drops a column
only when a dual point proves that every support with it is worse than the incumbent (`bounds.py`),
so the optimum over what it keeps is the optimum over the layer; `screen` is the step behind it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int

from optprobe.bounds import DualPoints, branch_bounds
from optprobe.heuristics.rankings import f_statistic, mean_difference
from optprobe.matrix import DesignMatrix
from optprobe.problem import Problem
from optprobe.relaxation import ACCURACY, Nodes, Relaxed, relax
from optprobe.rows import Rows

Array = np.ndarray


def root_relaxation(
    matrix: DesignMatrix,
    rows: Rows,
    k: int,
    free: Bool[Array, "d"],
    cutoff: float,
    start: Float64[Array, "d"] | None = None,
    intercept: float = 0.0,
    accuracy: float = ACCURACY,
    stop: Callable[[], bool] = lambda: False,
) -> Relaxed:
    """The perspective relaxation over all free columns: a batch of one (`relaxation.relax`)."""
    d = len(free)
    nodes = Nodes(np.zeros((1, d), bool), free[None], np.array([min(k, int(free.sum()))]))
    first = np.zeros((1, d)) if start is None else start[None]
    middle = np.array([intercept])
    return relax(matrix, rows, nodes, first, middle, cutoff, accuracy=accuracy, stop=stop)


def covariance(problem: Problem) -> Float64[Array, "d"]:
    """|sum_i w_i (y_i - mean of y) z_ij|: for targets what the mean difference is for classes.

    Source: Fan and Lv 2008, "Sure independence screening".
    """
    return np.abs(problem.data.covariance)


def relaxation_scores(problem: Problem) -> Float64[Array, "d"]:
    """What the perspective relaxation thinks of a column.

    The columns it uses come first, by |beta_j|: their gains v_j^2 / (2 lam) are all but equal at
    its solution. The others follow by their gain, the most that each could still contribute.
    """
    rows = problem.rows
    free = ~problem.data.by.constant
    relaxed = root_relaxation(problem.matrix, rows, problem.k, free, np.inf)
    gain, size = relaxed.gain[0], np.abs(relaxed.beta[0])
    return np.where(size > 0.0, gain.max() * (1.0 + size / max(size.max(), 1e-300)), gain)


SCORES: dict[str, Callable[[Problem], Float64[Array, "d"]]] = {
    "mean_difference": mean_difference,
    "f_statistic": f_statistic,
    "covariance": covariance,
    "relaxation": relaxation_scores,
}
"""Scores that `best_columns` can rank by."""


def best_columns(problem: Problem, count: int, score: str | None = None) -> Int[Array, "p"]:
    """The `count` usable columns with the best score, increasing: a heuristic choice.

    Args:
        score: one of `SCORES`; by default "mean_difference", for squared error "covariance".

    Raises:
        ValueError: unknown score, one that needs two classes on targets, or fewer candidates than
            k.
    """
    if score is None:
        score = "mean_difference" if problem.data.labels else "covariance"
    if score not in SCORES:
        raise ValueError(f"unknown score {score!r}; choose one of {', '.join(SCORES)}")
    if count < problem.k:
        raise ValueError(f"{count} candidates for k={problem.k}; keep at least k columns")
    values = SCORES[score](problem)[problem.usable]
    order = np.argsort(-values, kind="stable")[:count]
    return np.sort(problem.usable[order])


@dataclass(frozen=True)
class Screened:
    """What proofs left of the columns.

    Attributes:
        forced: columns in every better support.
        free: columns that a better support may still hold.
        used: which of the dual points fixed something or raised the bound, in the batch's order.
        bound: the best node bound seen; applying the used points in turn proves it.
    """

    forced: Bool[Array, "d"]
    free: Bool[Array, "d"]
    used: list[int]
    bound: float


def screen(points: DualPoints, k: int, free: Bool[Array, "d"], cutoff: float) -> Screened:
    """Safe fixing by one dual point after another, from the root of the tree.

    A dual point of any k, any ridge or any earlier solve is as good as another as long as it was
    evaluated on this data, loss and lam. Stops at the first point whose bound reaches the cutoff.
    """
    forced, free = np.zeros(len(free), bool), free.copy()
    used: list[int] = []
    best = -np.inf
    for i in range(len(points.value)):
        gain = points.gain[i]
        members = np.flatnonzero(free)
        remaining = k - int(forced.sum())
        if remaining <= 0 or not len(members):
            break
        found = branch_bounds(
            float(points.value[i]), float(gain[forced].sum()), gain[members], remaining
        )
        into, out = found.leaving >= cutoff, found.entering >= cutoff
        if found.bound > best or into.any() or out.any():
            used.append(i)
        best = max(best, found.bound)
        if found.bound >= cutoff:
            break
        forced[members[into]] = True
        free[members[into | out]] = False
    return Screened(forced, free, used, best)


def proven_columns(problem: Problem, upper: float) -> Int[Array, "p"]:
    """Every column that a support with an objective below `upper` may hold, increasing.

    Args:
        problem: the probe.
        upper: objective of a known support, the smaller the better (a heuristic's, say).
    """
    rows = problem.rows
    free = ~problem.data.by.constant
    # Rounding must not drop a column: the bound has to clear the incumbent by a margin.
    cutoff = upper * (1.0 + 1e-6) + 1e3 * problem.matrix.roundoff * rows.spread**2
    relaxed = root_relaxation(problem.matrix, rows, problem.k, free, cutoff)
    kept = screen(DualPoints(relaxed.value, relaxed.gain), problem.k, free, cutoff)
    return np.flatnonzero(kept.forced | kept.free)
