"""One dual point bounds everything.

For any a in the loss's box with sum_i w_i a_i y_i = 0 (y: the signs of the rows), let
v = Z^T (w a y). For every support S

    P(S) >= sum_i w_i H(a_i) - sum_{j in S} g_j,        g_j = v_j^2 / (2 lam)    [BPV21, (7)]

so `value` = sum w H(a) and the `gain` g_j, the most that column j can contribute, give

  - a bound over all supports of size k: value minus the k largest gains;
  - a bound at a tree node (S1 forced in, F free, r more): value - g(S1) - top_r(g_F);
  - an outer-approximation cut, valid for every s in [0,1]^d: t >= value - g . s;
  - safe fixing: with T the r largest free gains, a column outside T that enters costs its
    difference to the smallest of T, one of T that leaves its difference to the next in line
    (Atamturk and Gomez 2020; Deza and Atamturk 2022).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int

from optprobe.losses import Loss
from optprobe.matrix import DesignMatrix

Array = np.ndarray


@dataclass(frozen=True)
class DualPoint:
    """One dual point by its coefficients: a = a(margins at (beta, b), mu), repaired.

    Sparse, and enough to recompute its bounds: this is what a certificate stores.

    Attributes:
        columns: where beta is not zero, increasing.
        mu: smoothing of the hinge (the smooth losses ignore it).
    """

    columns: Int[Array, "p"]
    beta: Float64[Array, "p"]
    intercept: float
    mu: float

    def renumbered(self, columns: Int[Array, "d"]) -> DualPoint:
        """The same point with column j called columns[j]."""
        return DualPoint(columns[self.columns], self.beta, self.intercept, self.mu)


def stored_as(loss: Loss) -> type[np.floating]:
    """In which precision the coefficients of a dual point are kept, and so evaluated.

    Half the bytes will do where l' is Lipschitz; the hinge's a(m) divides their rounding by 8 mu.
    """
    return np.float32 if np.isfinite(loss.lipschitz) else np.float64


@dataclass(frozen=True)
class DualPoints:
    """A batch of dual points as numbers that bound: see the formulas above.

    Attributes:
        value: sum w H(a).
        gain: v_j^2 / (2 lam), one per column.
    """

    value: Float64[Array, "batch"]
    gain: Float64[Array, "batch d"]


def repair_intercept(
    dual: Float64[Array, "batch n"], y: Float64[Array, "n"], w: Float64[Array, "n"], loss: Loss
) -> Float64[Array, "batch n"]:
    """Make sum w a y = 0 without leaving the loss's box: scale a class, or subtract the mean."""
    if np.isfinite(loss.lower):
        return _class_scaled(dual, y, w)
    return _centred(dual, w)


def _centred(dual: Float64[Array, "batch n"], w: Float64[Array, "n"]) -> Float64[Array, "batch n"]:
    """a - sum w a / sum w: feasible where there is no box and every sign is +1.

    For a = y - t this is the a of the scores t + c with c = sum w a / sum w, and

        sum w (y - t - c)^2 / 2 = sum w (y - t)^2 / 2 - c^2 sum w / 2

    is least at that c. So whatever b was, the bound is the one of (beta, the best b for beta), and
    the intercept of a stored dual point plays no part.
    """
    return dual - (dual @ w / w.sum())[:, None]


def _class_scaled(
    dual: Float64[Array, "batch n"], y: Float64[Array, "n"], w: Float64[Array, "n"]
) -> Float64[Array, "batch n"]:
    """Scale the heavier class down so that sum w a y = 0; stays inside any box [0, upper].

    With A+ and A- the class sums of w a, class c is multiplied by min(A+, A-) / A_c <= 1.
    """
    positive = y > 0
    above = dual @ np.where(positive, w, 0.0)
    below = dual @ np.where(positive, 0.0, w)
    least = np.minimum(above, below)
    tiny = np.finfo(float).tiny
    up, down = least / np.maximum(above, tiny), least / np.maximum(below, tiny)
    return dual * np.where(positive, up[:, None], down[:, None])


def dual_points(
    matrix: DesignMatrix,
    dual: Float64[Array, "batch n"],
    y: Float64[Array, "n"],
    w: Float64[Array, "n"],
    loss: Loss,
    lam: float,
) -> DualPoints:
    """Repair a batch of dual variables (inside the box) and evaluate their bounds."""
    dual = repair_intercept(dual, y, w, loss)
    correlation = matrix.correlations(dual * (w * y))
    return DualPoints(loss.conjugate(dual) @ w, correlation * correlation / (2.0 * lam))


def sum_of_largest(values: Float64[Array, "p"], count: int) -> float:
    """The sum of the `count` largest entries (all of them if there are fewer)."""
    if count <= 0:
        return 0.0
    if count >= len(values):
        return float(values.sum())
    return float(np.partition(values, len(values) - count)[len(values) - count :].sum())


def node_bound(
    value: float,
    gain: Float64[Array, "d"],
    forced: Bool[Array, "d"],
    free: Bool[Array, "d"],
    remaining: int,
) -> float:
    """value - g(S1) - top_r(g_F): a lower bound over every support of the node."""
    return value - float(gain[forced].sum()) - sum_of_largest(gain[free], remaining)


@dataclass(frozen=True)
class BranchBounds:
    """What forcing a free column in, or out, does to a node's bound.

    Attributes:
        bound: of the node itself.
        entering: bound of the child that forces the column in, one per free column.
        leaving: bound of the child that forces it out.
    """

    bound: float
    entering: Float64[Array, "free"]
    leaving: Float64[Array, "free"]


def branch_bounds(
    value: float, forced_gain: float, gain: Float64[Array, "free"], remaining: int
) -> BranchBounds:
    """Bounds of both children for every free column at once, from one dual point.

    A child whose bound passes the incumbent is empty: `entering > U` fixes the column out,
    `leaving > U` fixes it in. The same numbers are branching scores.

    Args:
        value: sum w H(a).
        forced_gain: sum of the gains of the columns forced in.
        gain: gains of the free columns.
        remaining: how many more columns a support of the node may take, at least 1.
    """
    base = value - forced_gain
    if remaining >= len(gain):
        bound = base - float(gain.sum())
        return BranchBounds(bound, np.full(len(gain), bound), bound + gain)
    order = np.partition(gain, (len(gain) - remaining - 1, len(gain) - remaining))
    smallest = order[len(gain) - remaining]
    runner_up = order[len(gain) - remaining - 1]
    bound = base - float(order[len(gain) - remaining :].sum())
    entering = bound + np.maximum(smallest - gain, 0.0)
    leaving = bound + np.maximum(gain - runner_up, 0.0)
    return BranchBounds(bound, entering, leaving)
