"""The logistic loss by tangents, the ridge by tangents of its perspective: a MILP.

    min  sum_i w_i l_i + (lam/2) sum_j q_j
    s.t. m_i = y_i (z_i . beta + b),   l_i >= tangents of ln(1 + e^-m) at m_i,   l >= 0
         q_j >= 2 c beta_j - c^2 s_j  at several c,   q >= 0
         l_j s_j <= beta_j <= u_j s_j,  sum_j s_j <= k,  s in {0,1}^p

[l_j, u_j] is proven (`intervals.py`), the tangents lie below (`tangents.py`): the model bounds the
problem from below at any moment, and any MILP solver takes it. It begins with the tangents at the
perspective relaxation, so its own relaxation is at least as strong; `refine` makes it exact at a
support, so solving and refining in turn ends at the optimum.

Sources: see `tangents.py`.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from formulations.base import ConcreteModel, Kind, Size
from formulations.intervals import FIRST, add_intervals, interval_nonzeros, survey
from formulations.parts import (
    add_margins,
    checked,
    linear,
    margin_nonzeros,
    pyomo,
    skeleton,
    solution,
)
from formulations.tangents import add_losses, add_ridge, add_tangents, refine_tangents
from optprobe.problem import Problem

__all__ = ["LOSSES", "build", "build_tangents", "kind", "refine", "size", "solution"]

Array = np.ndarray

LOSSES = ("logistic",)
"""Losses that the model covers; exact wherever it has been refined."""

refine = refine_tangents


def kind(loss: str) -> Kind:
    """Linear rows and binaries."""
    return Kind.MILP


def size(n: int, p: int, k: int, loss: str) -> Size:
    """As built; each refinement adds n rows of 2 coefficients and p of 3."""
    return Size(
        binary=p,
        continuous=2 * n + 2 * p + 1,
        rows=n + FIRST * (n + p) + 2 * p + 1,
        nonzeros=margin_nonzeros(n, p) + FIRST * (2 * n + 3 * p) + interval_nonzeros(p) + p,
    )


def build(problem: Problem, columns: Int[Array, "p"] | None = None) -> ConcreteModel:
    """The model over the candidate columns; errors as in `Formulation.build`."""
    candidates = checked(problem, columns, "logistic_tangents", LOSSES)
    return build_tangents(problem, candidates, binary=True)


def build_tangents(problem: Problem, columns: Int[Array, "p"], *, binary: bool) -> ConcreteModel:
    """The model, or with s in [0,1]^p and no intervals its continuous relaxation."""
    known = survey(problem, columns)
    model = skeleton(problem, columns, binary=binary)
    add_margins(problem, model, 0.0, "=")
    add_losses(problem, model)
    add_ridge(model)
    if binary:
        add_intervals(problem, model, known)
    for expansion in known.expansions:
        add_tangents(problem, model, expansion)
    weights = [*problem.weights.tolist(), *[0.5 * problem.lam] * len(columns)]
    total = linear(weights, [*model.loss.values(), *model.square.values()])
    model.objective = pyomo().Objective(expr=total)
    return model
