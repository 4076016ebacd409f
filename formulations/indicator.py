"""The indicator formulation: a mixed-integer quadratic program with SOS1 sets and no constants.

    min  sum_i w_i phi(xi_i) + (lam/2) sum_j beta_j^2
    s.t. xi_i >= 1 - y_i (z_i . beta + b),  xi >= 0
         t_j + s_j = 1,  {t_j, beta_j} a special ordered set of type 1 (at most one is not zero),
         sum_j s_j <= k,  s in {0,1}^p

with phi(xi) = xi for the hinge and xi^2 for the squared hinge. "s_j = 0 implies beta_j = 0" is
the solver's business: it branches on the sets, so no bound on beta is needed, and none helps its
relaxation, which is the fit on all columns.

Source: Bertsimas, King, Mazumder 2016, "Best subset selection via a modern optimization lens",
(2.4); Beale and Tomlin 1970 for the sets.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from formulations.base import ConcreteModel, Kind, Size
from formulations.parts import (
    add_margins,
    checked,
    linear,
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
    """A convex quadratic objective over linear rows and sets."""
    return Kind.MIQP_SOS


def size(n: int, p: int, k: int, loss: str) -> Size:
    """n rows of p + 2 coefficients, one row and one set per column."""
    return Size(
        binary=p,
        continuous=n + 2 * p + 1,
        rows=n + p + 1,
        nonzeros=margin_nonzeros(n, p) + 3 * p,
        sets=p,
    )


def build(problem: Problem, columns: Int[Array, "p"] | None = None) -> ConcreteModel:
    """The model over the candidate columns; errors as in `Formulation.build`."""
    candidates = checked(problem, columns, "indicator", LOSSES)
    pyo = pyomo()
    model = skeleton(problem, candidates)
    add_margins(problem, model, 1.0, ">=")
    model.unused = pyo.Var(model.column, domain=pyo.UnitInterval)

    def opposite(m: ConcreteModel, j: int) -> object:
        return 1.0, linear([1.0, 1.0], [m.unused[j], m.chosen[j]]), 1.0

    def pair(m: ConcreteModel, j: int) -> object:
        return [m.unused[j], m.beta[j]], [1, 2]

    model.opposite = pyo.Constraint(model.column, rule=opposite)
    model.pair = pyo.SOSConstraint(model.column, rule=pair, sos=1)
    ridge = squares(np.full(len(candidates), 0.5 * problem.lam), model.beta.values())
    model.objective = pyo.Objective(expr=slack_loss(problem, model) + ridge)
    return model
