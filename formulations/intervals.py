"""Proven intervals for the coefficients: what big-M rows may use and lose nothing.

For any dual point with value c and v (`duals.py`), and any (beta, b) with at most k nonzeros, one
of them beta_j = x,

    f(beta, b) >= c - v.beta + (lam/2) ||beta||^2
               >= c - T_(k-1)(g without j) - v_j x + (lam/2) x^2
                = c - T_(k-1)(g without j) - g_j + (lam/2) (x - v_j/lam)^2,

because each other nonzero is worth at least -g_l = -v_l^2/(2 lam) and there are at most k - 1. So
f <= U, U the objective of any known support, implies

    |beta_j - v_j/lam| <= sqrt(2 R_j / lam),   R_j = U - c + T_(k-1)(g without j) + g_j.

R_j < 0 proves that no solution as good as U uses column j at all. Every dual point gives an
interval and the intersection of all holds; with a = 0 it is the textbook |beta_j| <= sqrt(2U/lam),
with the dual point of the perspective relaxation R_j is at most the root gap plus what column j
lacks to the k largest gains. The intervals hold for every k-sparse (beta, b) with f <= U, so for
every optimum; they say nothing of worse supports. Follows Atamturk and Gomez 2020, "Safe
screening rules for l0-regression", with an interval in place of the decision.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int

from formulations.base import ConcreteModel
from formulations.duals import Expansion, SignedPoint, at_choice, at_coefficients
from formulations.parts import linear, pyomo
from optprobe.bounds import DualPoint, sum_of_largest
from optprobe.heuristics.greedy import greedy
from optprobe.heuristics.swaps import swap
from optprobe.matrix import DenseMatrix
from optprobe.prefilter import root_relaxation
from optprobe.problem import Problem

Array = np.ndarray

SAFETY = 1e-7
"""Relative excess of U, for the rounding of the fits and the tolerances of the solvers."""

FIRST = 3
"""Expansions of a `Survey`, with which the models that are refined begin."""


@dataclass(frozen=True)
class Survey:
    """What is known of a problem before a model of it is built.

    Attributes:
        upper: objective of an incumbent.
        expansions: at the perspective relaxation, at the incumbent and at the fit without columns.
    """

    upper: float
    expansions: tuple[Expansion, Expansion, Expansion]


def survey(problem: Problem, columns: Int[Array, "p"]) -> Survey:
    """An incumbent by greedy selection and swaps, and three dual points."""
    Z = problem.data.columns(columns, problem.data.train)
    matrix, rows, p = DenseMatrix(Z), problem.rows, len(columns)
    every = np.arange(p)
    found = swap(matrix, rows, greedy(matrix, rows, problem.k, every), every)
    incumbent = np.isin(every, found.support).astype(np.float64)
    relaxed = root_relaxation(matrix, rows, problem.k, np.ones(p, bool), np.inf)
    used = np.flatnonzero(relaxed.beta[0])
    root = DualPoint(
        columns[used], relaxed.beta[0, used], float(relaxed.intercept[0]), float(relaxed.mu[0])
    )
    expansions = (
        at_coefficients(problem, Z, root),
        at_choice(problem, Z, incumbent)[0],
        at_choice(problem, Z, np.zeros(p))[0],
    )
    return Survey(found.objective, expansions)


def intervals(
    problem: Problem, points: Iterable[SignedPoint], upper: float
) -> tuple[Float64[Array, "p"], Float64[Array, "p"]]:
    """Lower and upper end per candidate; both 0 where no solution as good as `upper` uses it.

    Args:
        points: at least one dual point; a = 0 is added.
        upper: objective of a known support.
    """
    k, lam = problem.k, problem.lam
    largest = upper * (1.0 + SAFETY)
    textbook = np.sqrt(2.0 * largest / lam)  # a = 0, whose value and v are 0
    low, high, excluded = -textbook, textbook, False
    for point in points:
        gain = point.gain(lam)
        # T_(k-1) without j: j's own gain gives way to the k-th largest.
        others = np.minimum(sum_of_largest(gain, k - 1), sum_of_largest(gain, k) - gain)
        room = largest - point.value + others + gain
        radius = np.sqrt(2.0 * np.maximum(room, 0.0) / lam)
        low = np.maximum(low, point.v / lam - radius)
        high = np.minimum(high, point.v / lam + radius)
        excluded = excluded | (room < 0.0)
    excluded = excluded | (low > high)
    return np.where(excluded, 0.0, low), np.where(excluded, 0.0, high)


def add_intervals(problem: Problem, model: ConcreteModel, known: Survey) -> None:
    """l_j s_j <= beta_j <= u_j s_j; columns that are excluded get s_j <= 0."""
    pyo = pyomo()
    points = [expansion.point for expansion in known.expansions]
    low, high = intervals(problem, points, known.upper)
    ends = dict(zip(model.column, zip(low.tolist(), high.tolist(), strict=True), strict=True))
    for j, (lower, upper) in ends.items():
        if lower == upper:
            model.chosen[j].setub(0)

    def above(m: ConcreteModel, j: int) -> object:
        return 0.0, linear([1.0, -ends[j][0]], [m.beta[j], m.chosen[j]]), None

    def below(m: ConcreteModel, j: int) -> object:
        return None, linear([1.0, -ends[j][1]], [m.beta[j], m.chosen[j]]), 0.0

    model.above = pyo.Constraint(model.column, rule=above)
    model.below = pyo.Constraint(model.column, rule=below)


def interval_nonzeros(p: int) -> int:
    """Coefficients of the rows that `add_intervals` makes."""
    return 4 * p
