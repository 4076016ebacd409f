"""The perspective formulation: a mixed-integer second-order cone program.

    min  sum_i w_i phi(xi_i) + (lam/2) sum_j q_j
    s.t. xi_i >= 1 - y_i (z_i . beta + b),  xi >= 0
         beta_j^2 <= q_j s_j,  q >= 0,  sum_j s_j <= k,  s in {0,1}^p

with phi(xi) = xi for the hinge and xi^2 for the squared hinge. Its continuous relaxation is the
perspective relaxation that the native engine bounds its root with.

Source: Aktürk, Atamtürk, Gürel 2009, "A strong conic quadratic reformulation for machine-job
assignment with controllable processing times"; Günlük and Linderoth 2010, "Perspective
reformulations of mixed integer nonlinear programs with indicator variables".
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
)
from optprobe.problem import Problem

__all__ = ["LOSSES", "build", "build_perspective", "kind", "size", "solution"]

Array = np.ndarray

LOSSES = ("hinge", "squared_hinge")
"""Losses that the model covers exactly."""


def kind(loss: str) -> Kind:
    """Cones and binaries."""
    return Kind.MISOCP


def size(n: int, p: int, k: int, loss: str) -> Size:
    """n rows of p + 2 coefficients, p cones."""
    return Size(
        binary=p,
        continuous=n + 2 * p + 1,
        rows=n + 1,
        nonzeros=margin_nonzeros(n, p) + p,
        cones=p,
    )


def build(problem: Problem, columns: Int[Array, "p"] | None = None) -> ConcreteModel:
    """The model over the candidate columns; errors as in `Formulation.build`."""
    candidates = checked(problem, columns, "perspective", LOSSES)
    return build_perspective(problem, candidates, binary=True)


def build_perspective(problem: Problem, columns: Int[Array, "p"], *, binary: bool) -> ConcreteModel:
    """The model, or with s in [0,1]^p its continuous relaxation."""
    pyo = pyomo()
    model = skeleton(problem, columns, binary=binary)
    add_margins(problem, model, 1.0, ">=")
    model.square = pyo.Var(model.column, domain=pyo.NonNegativeReals)

    def cone(m: ConcreteModel, j: int) -> object:
        return m.beta[j] ** 2 <= m.square[j] * m.chosen[j]

    model.cone = pyo.Constraint(model.column, rule=cone)
    ridge = linear([0.5 * problem.lam] * len(columns), model.square.values())
    model.objective = pyo.Objective(expr=slack_loss(problem, model) + ridge)
    return model
