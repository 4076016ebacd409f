"""Dual points with their signs, and the fit at any s in [0,1]^p.

For a in the loss's box with sum w a y = 0 and v = Z^T (w a y)                   [BPV21, (4)]

    sum_i w_i l(m_i) >= sum_i w_i H(a_i) - v . beta      for every (beta, b)

At s the strongest such a belongs to  min sum w l(m) + (lam/2) sum_j beta_j^2 / s_j, whose solution
has beta_j = s_j v_j / lam.

Source: Bertsimas, Pauphilet, Van Parys 2021, "Sparse classification: a scalable discrete
optimization perspective" (BPV21).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from optprobe.bounds import DualPoint, repair_intercept
from optprobe.problem import Problem
from optprobe.support import fit_support

Array = np.ndarray


@dataclass(frozen=True)
class SignedPoint:
    """A dual point over the candidate columns.

    Attributes:
        value: sum w H(a).
        v: Z^T (w a y), one per candidate.
    """

    value: float
    v: Float64[Array, "p"]

    def gain(self, lam: float) -> Float64[Array, "p"]:
        """v_j^2 / (2 lam), the most that column j can contribute (`optprobe.bounds`)."""
        return self.v * self.v / (2.0 * lam)


@dataclass(frozen=True)
class Expansion:
    """Where tangents touch: a margin per training row, and the dual point there."""

    margin: Float64[Array, "n"]
    point: SignedPoint


def evaluate(problem: Problem, Z: Float64[Array, "p n"], dual: Float64[Array, "n"]) -> SignedPoint:
    """Repair a dual variable inside the box and evaluate it."""
    repaired = repair_intercept(dual[None], problem.y, problem.weights, problem.loss)[0]
    value = float(problem.loss.conjugate(repaired) @ problem.weights)
    return SignedPoint(value, Z @ (problem.weights * repaired * problem.y))


def at_coefficients(problem: Problem, Z: Float64[Array, "p n"], point: DualPoint) -> Expansion:
    """Expand at coefficients on columns of X, e.g. at the solution of a relaxation."""
    scores = point.beta @ problem.data.columns(point.columns, problem.data.train)
    margin = (scores + point.intercept) * problem.y
    loss = problem.loss.smoothed(max(point.mu, 1e-12))
    return Expansion(margin, evaluate(problem, Z, loss.dual(margin)))


def at_choice(
    problem: Problem, Z: Float64[Array, "p n"], s: Float64[Array, "p"]
) -> tuple[Expansion, float]:
    """Expand at the fit of s (column j scaled by sqrt(s_j)), and the fit's objective.

    The objective is sum w l(m) + (lam/2) sum_j beta_j^2 / s_j, the dual point's value - gain . s is
    the same up to rounding.
    """
    used = np.flatnonzero(s > 0.0)
    scaled = Z[used] * np.sqrt(s[used])[:, None]
    fit = fit_support(scaled, problem.rows)
    solution = fit.solution[0]
    margin = (solution[:-1] @ scaled + solution[-1]) * problem.y
    assert fit.point is not None
    return Expansion(margin, evaluate(problem, Z, fit.point[0])), float(fit.primal[0])
