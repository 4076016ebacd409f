"""The big-M formulation: a mixed-integer quadratic program with proven coefficients' intervals.

    min  sum_i w_i phi(xi_i) + (lam/2) sum_j beta_j^2
    s.t. xi_i >= 1 - y_i (z_i . beta + b),  xi >= 0
         l_j s_j <= beta_j <= u_j s_j,  sum_j s_j <= k,  s in {0,1}^p

with phi(xi) = xi for the hinge and xi^2 for the squared hinge. [l_j, u_j] holds beta_j in every
solution that uses column j and is at least as good as a known support: `intervals.py` has the
proof. Columns that no such solution uses are fixed out. The model's optimum is the problem's; a
support worse than the known one may cost more in the model than it does in truth.

Source of the formulation: Bertsimas, King, Mazumder 2016, "Best subset selection via a modern
optimization lens", section 2.3 (there with estimated bounds).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from formulations.base import ConcreteModel, Kind, Size
from formulations.intervals import add_intervals, interval_nonzeros, survey
from formulations.parts import (
    add_margins,
    checked,
    margin_nonzeros,
    pyomo,
    skeleton,
    slack_loss,
    solution,
    squares,
)
from optprobe.problem import Problem

__all__ = ["LOSSES", "build", "kind", "size", "solution"]

Array = np.ndarray

LOSSES = ("hinge", "squared_hinge")
"""Losses that the model covers exactly."""


def kind(loss: str) -> Kind:
    """A convex quadratic objective over linear rows."""
    return Kind.MIQP


def size(n: int, p: int, k: int, loss: str) -> Size:
    """n rows of p + 2 coefficients and two rows per column."""
    return Size(
        binary=p,
        continuous=n + p + 1,
        rows=n + 2 * p + 1,
        nonzeros=margin_nonzeros(n, p) + interval_nonzeros(p) + p,
    )


def build(problem: Problem, columns: Int[Array, "p"] | None = None) -> ConcreteModel:
    """The model over the candidate columns; errors as in `Formulation.build`."""
    candidates = checked(problem, columns, "big_m", LOSSES)
    pyo = pyomo()
    model = skeleton(problem, candidates)
    add_margins(problem, model, 1.0, ">=")
    add_intervals(problem, model, survey(problem, candidates))
    ridge = squares(np.full(len(candidates), 0.5 * problem.lam), model.beta.values())
    model.objective = pyo.Objective(expr=slack_loss(problem, model) + ridge)
    return model
