"""The outer approximation: a master over the supports alone, cut where it has been solved.

    min t   s.t.   t >= c_i - sum_j g_ij s_j  for dual points i,   sum_j s_j <= k,   s in {0,1}^p

with c = sum w H(a) and g_j = v_j^2 / (2 lam) of a dual point a (`optprobe.bounds`). Every cut holds
for every s, so the master bounds the problem from below at any moment; `refine` adds the cut that
is tight at the master's solution, after which that support costs what it costs in truth. There are
finitely many supports: solving and refining in turn ends at the optimum, with any MILP solver.

Source: Bertsimas, Pauphilet, Van Parys 2021, "Sparse classification: a scalable discrete
optimization perspective", (7) and Algorithm 1; Duran and Grossmann 1986.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from formulations.base import ConcreteModel, Kind, Size, Solution
from formulations.duals import SignedPoint, at_choice, at_coefficients
from formulations.intervals import FIRST, survey
from formulations.parts import checked, chosen, linear, objective_value, pyomo, skeleton
from optprobe.bounds import DualPoint
from optprobe.losses import LOSSES as KNOWN
from optprobe.problem import Problem
from optprobe.support import fit_support

Array = np.ndarray

LOSSES = tuple(KNOWN)
"""Every loss: the master knows only its dual points."""


def kind(loss: str) -> Kind:
    """Linear rows and binaries."""
    return Kind.MILP


def size(n: int, p: int, k: int, loss: str) -> Size:
    """With its first cuts; each further one is a row of p + 1 coefficients. n does not matter."""
    return Size(binary=p, continuous=1, rows=FIRST + 1, nonzeros=FIRST * (p + 1) + p)


def build(
    problem: Problem,
    columns: Int[Array, "p"] | None = None,
    points: Sequence[DualPoint] | None = None,
) -> ConcreteModel:
    """The master over the candidate columns; errors as in `Formulation.build`.

    Args:
        points: dual points in columns of X, e.g. those of a solve that was stopped. By default
            those of the perspective relaxation, of a first incumbent and of the fit without
            columns; an empty sequence leaves the last one only, the scheme of the literature.
    """
    candidates = checked(problem, columns, "outer_approximation", LOSSES)
    pyo = pyomo()
    model = skeleton(problem, candidates)
    model.value = pyo.Var(domain=pyo.NonNegativeReals)
    model.cut = pyo.ConstraintList()
    Z = problem.data.columns(candidates, problem.data.train)
    if points is None:
        expansions = survey(problem, candidates).expansions
    elif points:
        expansions = tuple(at_coefficients(problem, Z, point) for point in points)
    else:
        expansions = (at_choice(problem, Z, np.zeros(len(candidates)))[0],)
    for expansion in expansions:
        _add(problem, model, expansion.point)
    model.objective = pyo.Objective(expr=model.value)
    model.problem = problem  # no component: coefficients come from a fit, see `solution`
    return model


def refine(problem: Problem, model: ConcreteModel) -> float:
    """Add the cut that is tight at `chosen`; return by how much the master was too low there."""
    Z = problem.data.columns(np.array(list(model.column), np.int64), problem.data.train)
    before = objective_value(model)
    expansion, objective = at_choice(problem, Z, chosen(model))
    _add(problem, model, expansion.point)
    return objective - before


def solution(model: ConcreteModel) -> Solution:
    """The support, with the coefficients of its exact fit."""
    problem: Problem = model.problem
    support = np.array([j for j in model.column if model.chosen[j].value > 0.5], np.int64)
    fit = fit_support(problem.data.columns(support, problem.data.train), problem.rows)
    return support, fit.solution[0, :-1], float(fit.solution[0, -1])


def _add(problem: Problem, model: ConcreteModel, point: SignedPoint) -> None:
    """The row t + g . s >= c."""
    coefficients = [*point.gain(problem.lam).tolist(), 1.0]
    row = linear(coefficients, [*model.chosen.values(), model.value])
    model.cut.add((point.value, row, None))
