"""The logistic loss by tangents, the ridge as it is: a mixed-integer quadratic program.

    min  sum_i w_i l_i + (lam/2) sum_j beta_j^2
    s.t. m_i = y_i (z_i . beta + b),   l_i >= tangents of ln(1 + e^-m) at m_i,   l >= 0
         l_j s_j <= beta_j <= u_j s_j,  sum_j s_j <= k,  s in {0,1}^p

[l_j, u_j] is proven (`intervals.py`), the tangents lie below (`tangents.py`): the model bounds the
problem from below at any moment, and `refine` makes it exact at a support. The ridge is exact
everywhere; the relaxation is as weak as big-M rows are.

Sources: see `tangents.py` and `big_m.py`.
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
    squares,
)
from formulations.tangents import add_losses, add_tangents, refine_tangents
from optprobe.problem import Problem

__all__ = ["LOSSES", "build", "kind", "refine", "size", "solution"]

Array = np.ndarray

LOSSES = ("logistic",)
"""Losses that the model covers; exact wherever it has been refined."""

refine = refine_tangents


def kind(loss: str) -> Kind:
    """A convex quadratic objective over linear rows."""
    return Kind.MIQP


def size(n: int, p: int, k: int, loss: str) -> Size:
    """As built; each refinement adds n rows of 2 coefficients."""
    return Size(
        binary=p,
        continuous=2 * n + p + 1,
        rows=n + FIRST * n + 2 * p + 1,
        nonzeros=margin_nonzeros(n, p) + FIRST * 2 * n + interval_nonzeros(p) + p,
    )


def build(problem: Problem, columns: Int[Array, "p"] | None = None) -> ConcreteModel:
    """The model over the candidate columns; errors as in `Formulation.build`."""
    candidates = checked(problem, columns, "logistic_quadratic", LOSSES)
    known = survey(problem, candidates)
    model = skeleton(problem, candidates)
    add_margins(problem, model, 0.0, "=")
    add_losses(problem, model)
    add_intervals(problem, model, known)
    for expansion in known.expansions:
        add_tangents(problem, model, expansion)
    loss = linear(problem.weights.tolist(), model.loss.values())
    ridge = squares(np.full(len(candidates), 0.5 * problem.lam), model.beta.values())
    model.objective = pyomo().Objective(expr=loss + ridge)
    return model
