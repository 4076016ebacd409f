"""Every compact formulation x loss x solver that can take it, against brute force."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pytest
from instances import Optimum, brute_force

from optprobe.mip.answer import Answer
from optprobe.mip.compact import solve_compact
from optprobe.mip.pyomo_solvers import SOLVERS
from optprobe.problem import Problem
from optprobe.result import Limit, Limits, Status

pytest.importorskip("pyomo.environ")

NAMES = (
    "big_m",
    "boolean_relaxation",
    "indicator",
    "logistic_quadratic",
    "logistic_tangents",
    "outer_approximation",
    "perspective",
)

TOO_LARGE = {
    ("logistic_quadratic", "xpress"): "200 rows and columns once anything is quadratic",
}
"""Pairs whose model of 24 rows is past the licence inside the solver's package."""

CLAIM = {("perspective", "cplex"): 2e-6, ("perspective", "xpress"): 5e-6}
"""How far a claim may pass the truth, relative: barrier solvers stop short of a feasible dual
point and still call its value a bound. Everything else: DEFAULT_CLAIM."""

DEFAULT_CLAIM = 5e-7

GAP = 1e-4


def cases() -> list[Any]:
    """Formulation, loss and solver wherever the solver takes the kind."""
    found: list[Any] = []
    for name in NAMES:
        formulation = import_module(f"formulations.{name}")
        for loss in formulation.LOSSES:
            for solver in SOLVERS.values():
                if formulation.kind(loss) in solver.kinds:
                    found.append(pytest.param(name, loss, solver.name))
    return found


def first_solvers() -> list[Any]:
    """Formulation and loss with the first solver that takes the kind."""
    seen: dict[tuple[str, str], Any] = {}
    for case in cases():
        name, loss, _ = case.values
        seen.setdefault((name, loss), case)
    return list(seen.values())


def solve(problem: Problem, name: str, solver: str, **limits: float) -> Answer:
    """`solve_compact` over every usable column, where the solver is installed and licensed."""
    pytest.importorskip(SOLVERS[solver].package)
    if (name, solver) in TOO_LARGE:
        pytest.skip(f"the licence in {solver}'s package: {TOO_LARGE[name, solver]}")
    return solve_compact(
        problem,
        problem.usable,
        formulation=import_module(f"formulations.{name}"),
        backend=solver,
        limits=Limits(**{"gap": GAP} | limits),
    )


def plain(loss: str, seed: int) -> Problem:
    """24 rows, 5 correlated columns: inside the licences of every package."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((24, 5)) @ rng.standard_normal((5, 5))
    y = X[:, 0] - X[:, 1] + rng.standard_normal(24) > 0
    return Problem.of(X, y, k=2, lam=0.05, loss=loss)


def degenerate(kind: str, loss: str) -> Problem:
    """What breaks models: every column chosen, equal ones, a row that outweighs the others."""
    rng = np.random.default_rng(11)
    X = rng.standard_normal((24, 5))
    y = X[:, 0] + X[:, 3] + 0.5 * rng.standard_normal(24) > 0
    k, weights = 2, np.ones(24)
    if kind == "every column":
        k = 5
    if kind == "equal and constant columns":
        X[:, 1], X[:, 4] = X[:, 0], 7.0
    if kind == "one heavy row":
        X[3] *= 1e3
        weights[3] = 1e3
    if kind == "rows without weight":
        weights[5:9] = 0.0
    return Problem.of(X, y, k=k, lam=0.02, loss=loss, weights=weights)


DEGENERATE = (
    "every column",
    "equal and constant columns",
    "one heavy row",
    "rows without weight",
)


def holds(problem: Problem, name: str, solver: str, found: Answer, optimum: Optimum) -> None:
    """What every answer must satisfy; the relaxation need not close the gap."""
    slack = CLAIM.get((name, solver), DEFAULT_CLAIM)
    assert found.claimed.lower <= optimum.value * (1.0 + slack)
    assert found.claimed.upper >= optimum.lower * (1.0 - 1e-12)
    assert found.objective == problem.objective(found.support, found.beta, found.intercept)
    assert len(found.support) <= problem.k
    assert np.isin(found.support, problem.usable).all()
    if name == "boolean_relaxation":
        assert found.limit in (None, Limit.STALLED)
    else:
        assert found.status is Status.OPTIMAL
        assert found.limit is None
        assert found.objective <= optimum.value * (1.0 + 1.1 * GAP)
        assert found.claimed.lower >= optimum.value * (1.0 - 1.1 * GAP)


@pytest.mark.parametrize(("name", "loss", "solver"), cases())
def test_optimum_is_brute_force(name: str, loss: str, solver: str) -> None:
    for seed in (0, 1):
        problem = plain(loss, seed)
        found = solve(problem, name, solver)
        holds(problem, name, solver, found, brute_force(problem))


@pytest.mark.parametrize("kind", DEGENERATE)
@pytest.mark.parametrize(("name", "loss", "solver"), first_solvers())
def test_degenerate_instances(name: str, loss: str, solver: str, kind: str) -> None:
    problem = degenerate(kind, loss)
    found = solve(problem, name, solver)
    holds(problem, name, solver, found, brute_force(problem))


@pytest.mark.parametrize("solver", list(SOLVERS))
def test_a_time_limit_is_a_result(solver: str) -> None:
    """The master has no rows of the data, so no licence is too small for a hard instance."""
    rng = np.random.default_rng(7)
    X = rng.standard_normal((200, 40))
    y = X[:, :10].sum(axis=1) + 2.0 * rng.standard_normal(200) > 0.0
    problem = Problem.of(X, y, k=6, lam=1e-3)
    found = solve(problem, "outer_approximation", solver, time_s=1.0)
    assert found.limit is Limit.TIME
    assert found.status is Status.FEASIBLE
    assert 0.0 < found.claimed.lower < found.claimed.upper


@pytest.mark.parametrize("solver", list(SOLVERS))
def test_the_same_seed_gives_the_same_answer(solver: str) -> None:
    problem = plain("logistic", 4)
    runs = [solve(problem, "outer_approximation", solver) for _ in range(2)]
    assert runs[0].claimed == runs[1].claimed
    assert runs[0].support.tolist() == runs[1].support.tolist()
    assert runs[0].statistics["rounds"] == runs[1].statistics["rounds"]
