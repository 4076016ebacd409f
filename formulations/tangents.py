"""Tangents of the logistic loss and of the ridge, the linear parts of two formulations.

With l_i for the loss of row i and q_j for beta_j^2 / s_j, both from below:

    l_i >= l(c) - a(c) (m_i - c)           touching at the margin c,  a(c) = -l'(c)
    q_j >= 2 c beta_j - c^2 s_j            touching at beta_j = c s_j

Both hold everywhere, so the model bounds the problem from below whatever the touching points. Put
at the fit of some s (margins m*, c_j = v_j / lam of its dual point for every j, used or not) they
add up to the outer-approximation cut at s: the stationarity of the fit cancels every beta_j and b,

    sum_i w_i l_i + (lam/2) sum_j q_j >= sum_i w_i H(a_i) - sum_j v_j^2 s_j / (2 lam),

tight at s. The rows hold more than their sum, which is what the larger model pays for.

Source: Kelley 1960, "The cutting-plane method for solving convex programs"; Günlük and Linderoth
2010 for the perspective's tangents; Sato, Takano, Miyashiro, Yoshise 2016, "Feature subset
selection for logistic regression via mixed integer optimization", for the loss.
"""

from __future__ import annotations

import numpy as np

from formulations.base import ConcreteModel
from formulations.duals import Expansion, at_choice
from formulations.parts import chosen, linear, objective_value, pyomo
from optprobe.problem import Problem


def add_losses(problem: Problem, model: ConcreteModel) -> None:
    """`loss` >= 0 per row, no tangents yet."""
    pyo = pyomo()
    model.loss = pyo.Var(model.row, domain=pyo.NonNegativeReals)
    model.loss_tangent = pyo.ConstraintList()


def add_ridge(model: ConcreteModel) -> None:
    """`square` >= 0 per column, no tangents yet."""
    pyo = pyomo()
    model.square = pyo.Var(model.column, domain=pyo.NonNegativeReals)
    model.ridge_tangent = pyo.ConstraintList()


def add_tangents(problem: Problem, model: ConcreteModel, at: Expansion) -> None:
    """Touch at one expansion: a row per training row, and per column if the ridge has tangents."""
    value, dual = problem.loss.value(at.margin), problem.loss.dual(at.margin)
    right = (value + dual * at.margin).tolist()
    rows = zip(model.row, dual.tolist(), right, strict=True)
    for i, slope, constant in rows:
        row = linear([1.0, slope], [model.loss[i], model.margin[i]])
        model.loss_tangent.add((constant, row, None))
    if model.component("square") is None:
        return
    for j, c in zip(model.column, (at.point.v / problem.lam).tolist(), strict=True):
        variables = [model.square[j], model.beta[j], model.chosen[j]]
        model.ridge_tangent.add((0.0, linear([1.0, -2.0 * c, c * c], variables), None))


def refine_tangents(problem: Problem, model: ConcreteModel) -> float:
    """Add the tangents at the fit of `chosen`; return by how much the model was too low there."""
    Z = problem.data.columns(np.array(list(model.column), np.int64), problem.data.train)
    before = objective_value(model)
    expansion, objective = at_choice(problem, Z, chosen(model))
    add_tangents(problem, model, expansion)
    return objective - before
