"""The parts that the models share, and a fast way of making them in Pyomo.

    m_i = y_i (z_i . beta + b),    sum_j s_j <= k,    s in {0,1}^p

Rows are `LinearExpression`s over lists: about 2 microseconds and 170 bytes a coefficient, several
times less than what Pyomo's operators take.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64, Int

from formulations.base import ConcreteModel, Solution
from optprobe.problem import Problem

Array = np.ndarray


def pyomo() -> Any:
    """pyomo.environ, imported on first use."""
    try:
        return importlib.import_module("pyomo.environ")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            'the formulations need Pyomo; install it with: pip install "optprobe[pyomo]"'
        ) from error


def checked(
    problem: Problem, columns: Int[Array, "p"] | None, name: str, losses: Sequence[str]
) -> Int[Array, "p"]:
    """The candidate columns, increasing, or what is wrong with the request."""
    if problem.loss_name not in losses:
        raise ValueError(
            f"the formulation {name!r} covers {' and '.join(losses)}, not {problem.loss_name!r}"
        )
    if columns is None:
        return problem.usable
    chosen = np.unique(np.asarray(columns, np.int64))
    unusable = np.setdiff1d(chosen, problem.usable)
    if not len(chosen):
        raise ValueError("columns is empty; pass at least one candidate")
    if len(unusable):
        raise ValueError(
            f"column {int(unusable[0])} cannot be a candidate: it is constant or not one of the "
            f"{problem.d} columns"
        )
    return chosen


def linear(coefficients: Iterable[float], variables: Iterable[Any]) -> Any:
    """sum of coefficient * variable as one flat Pyomo expression."""
    flat = importlib.import_module("pyomo.core.expr.numeric_expr").LinearExpression
    return flat(linear_coefs=list(coefficients), linear_vars=list(variables))


def skeleton(problem: Problem, columns: Int[Array, "p"], *, binary: bool = True) -> ConcreteModel:
    """A model with `column`, `row`, `chosen` (relaxed to [0, 1] if not binary) and cardinality."""
    pyo = pyomo()
    model = pyo.ConcreteModel()
    model.column = pyo.Set(initialize=columns.tolist())
    model.row = pyo.RangeSet(0, len(problem.data.train) - 1)
    model.chosen = pyo.Var(model.column, domain=pyo.Binary if binary else pyo.UnitInterval)
    every = list(model.chosen.values())
    total = linear([1.0] * len(every), every)
    model.cardinality = pyo.Constraint(expr=total <= float(problem.k))
    return model


def add_margins(problem: Problem, model: ConcreteModel, right: float, sense: str) -> None:
    """`beta`, `intercept`, and a row m_i + own_i >= right, or m_i - own_i = right, per row i.

    Args:
        right: the right-hand side.
        sense: ">=" for the slack of the hinge (own = `slack` >= 0), "=" for the margin itself
            (own = `margin`, free).
    """
    pyo = pyomo()
    model.beta, model.intercept = pyo.Var(model.column), pyo.Var()
    columns = np.array(list(model.column), np.int64)
    y = problem.y
    signed = problem.data.columns(columns, problem.data.train).T * y[:, None]
    shared = [*model.beta.values(), model.intercept]
    if sense == ">=":
        model.slack = pyo.Var(model.row, domain=pyo.NonNegativeReals)
        own, sign, upper = model.slack, 1.0, None
    else:
        model.margin = pyo.Var(model.row)
        own, sign, upper = model.margin, -1.0, right

    def row(m: ConcreteModel, i: int) -> object:
        coefficients = [*signed[i].tolist(), float(y[i]), sign]
        return right, linear(coefficients, [*shared, own[i]]), upper

    model.margin_row = pyo.Constraint(model.row, rule=row)


def margin_nonzeros(n: int, p: int) -> int:
    """Coefficients of the rows that `add_margins` makes."""
    return n * (p + 2)


def slack_loss(problem: Problem, model: ConcreteModel) -> Any:
    """sum w slack for the hinge, sum w slack^2 for the squared hinge."""
    if problem.loss_name == "hinge":
        return linear(problem.weights.tolist(), model.slack.values())
    return squares(problem.weights, model.slack.values())


def squares(weights: Float64[Array, "q"], variables: Iterable[Any]) -> Any:
    """sum of weight * variable^2."""
    terms = zip(weights.tolist(), variables, strict=True)
    return pyomo().quicksum(weight * variable**2 for weight, variable in terms)


def solution(model: ConcreteModel) -> Solution:
    """(support, beta, intercept) by the values of `chosen`, `beta` and `intercept`."""
    support = np.array([j for j in model.column if model.chosen[j].value > 0.5], np.int64)
    beta = np.array([model.beta[j].value for j in support.tolist()], np.float64)
    return support, beta, float(model.intercept.value)


def chosen(model: ConcreteModel) -> Float64[Array, "p"]:
    """The values of `chosen`, in the order of the model's columns, clipped to [0, 1]."""
    return np.clip([variable.value for variable in model.chosen.values()], 0.0, 1.0)


def objective_value(model: ConcreteModel) -> float:
    """The objective at the values the variables have, minus infinity if one has none."""
    value = pyomo().value(model.objective, exception=False)
    return -np.inf if value is None else float(value)
