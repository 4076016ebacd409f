"""The perspective formulation: a mixed-integer second-order cone program.

    min  sum_i w_i phi(xi_i) + (lam/2) sum_j q_j
    s.t. xi_i >= 1 - y_i (z_i . beta + b),  xi >= 0
         beta_j^2 <= q_j s_j,  q >= 0,  sum_j s_j <= k,  s in {0,1}^p

with phi(xi) = xi for the hinge and xi^2 for the squared hinge. Its continuous relaxation is the
perspective relaxation that the native engine bounds its root with. Size: n + 3p + 1 variables
(p of them binary), n + p + 1 constraints.

Source: Aktürk, Atamtürk, Gürel 2009, "A strong conic quadratic reformulation for machine-job
assignment with controllable processing times"; Günlük and Linderoth 2010, "Perspective
reformulations of mixed integer nonlinear programs with indicator variables".
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from jaxtyping import Float64, Int

from optprobe.problem import Problem

ConcreteModel = Any
"""A pyomo.environ.ConcreteModel; Pyomo is imported when a model is built and carries no types."""

LOSSES = ("hinge", "squared_hinge")
"""Losses that the model covers exactly."""


def build(problem: Problem, columns: Int[np.ndarray, "p"] | None = None) -> ConcreteModel:
    """The model over the candidate columns (all usable ones by default), as a Pyomo model.

    Raises:
        ValueError: a loss outside LOSSES.
        ModuleNotFoundError: Pyomo is missing; the message names the pip command.
    """
    if problem.loss_name not in LOSSES:
        raise ValueError(
            f"the perspective model covers {' and '.join(LOSSES)}, not {problem.loss_name!r}"
        )
    try:
        pyo: Any = importlib.import_module("pyomo.environ")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            'the formulations need Pyomo; install it with: pip install "optprobe[pyomo]"'
        ) from error
    chosen = problem.usable if columns is None else columns
    Z = problem.data.columns(chosen, problem.data.train).T
    n, p = Z.shape
    y, w = problem.y, problem.weights

    model = pyo.ConcreteModel()
    model.columns = tuple(int(j) for j in chosen)
    model.row, model.column = pyo.RangeSet(0, n - 1), pyo.RangeSet(0, p - 1)
    model.beta = pyo.Var(model.column)
    model.intercept = pyo.Var()
    model.slack = pyo.Var(model.row, domain=pyo.NonNegativeReals)
    model.square = pyo.Var(model.column, domain=pyo.NonNegativeReals)
    model.chosen = pyo.Var(model.column, domain=pyo.Binary)

    def margin(m: ConcreteModel, i: int) -> object:
        score = pyo.quicksum(float(Z[i, j]) * m.beta[j] for j in m.column) + m.intercept
        return m.slack[i] >= 1.0 - float(y[i]) * score

    def cone(m: ConcreteModel, j: int) -> object:
        return m.beta[j] ** 2 <= m.square[j] * m.chosen[j]

    model.margin = pyo.Constraint(model.row, rule=margin)
    model.cone = pyo.Constraint(model.column, rule=cone)
    model.cardinality = pyo.Constraint(
        expr=pyo.quicksum(model.chosen[j] for j in model.column) <= problem.k
    )
    power = 1 if problem.loss_name == "hinge" else 2
    loss = pyo.quicksum(float(w[i]) * model.slack[i] ** power for i in model.row)
    ridge = pyo.quicksum(model.square[j] for j in model.column)
    model.objective = pyo.Objective(expr=loss + 0.5 * problem.lam * ridge)
    return model


def solution(
    model: ConcreteModel,
) -> tuple[Int[np.ndarray, "s"], Float64[np.ndarray, "s"], float]:
    """(support, beta, intercept) of a solved model, on columns of X."""
    inside = [j for j in model.column if model.chosen[j].value > 0.5]
    support = np.array([model.columns[j] for j in inside], int)
    return support, np.array([model.beta[j].value for j in inside]), float(model.intercept.value)
