"""Compact formulations against brute force, through a solver's pip licence."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import entry_points

import numpy as np
import pytest
from instances import brute_force, random_problem

from optprobe.problem import Problem


def small(seed: int, loss: str) -> Problem:
    """At most 40 rows, inside every size-limited licence."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((40, 5)) @ rng.standard_normal((5, 5))
    y = X[:, 0] - X[:, 1] + rng.standard_normal(40) > 0
    return Problem.of(X, y, k=2, lam=0.05, loss=loss)


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
@pytest.mark.parametrize("seed", range(3))
def test_perspective_model_has_the_brute_force_optimum(seed: int, loss: str) -> None:
    pyo = pytest.importorskip("pyomo.environ")
    pytest.importorskip("gurobipy")
    (entry,) = [e for e in entry_points(group="optprobe.formulations") if e.name == "perspective"]
    formulation = entry.load()
    problem = small(seed, loss)
    model = formulation.build(problem)
    pyo.SolverFactory("gurobi_direct").solve(model)
    support, beta, intercept = formulation.solution(model)
    optimum = brute_force(problem)
    assert problem.objective(support, beta, intercept) == pytest.approx(optimum.value, rel=1e-4)
    assert len(support) <= problem.k


def test_a_loss_outside_the_model_is_refused() -> None:
    from formulations import perspective

    problem = replace(random_problem(0), loss_name="logistic")
    with pytest.raises(ValueError, match="covers hinge and squared_hinge"):
        perspective.build(problem)
