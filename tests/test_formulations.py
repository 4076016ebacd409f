"""Compact formulations: the contract, what is proven of them, and how solving them fails."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib import import_module
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from instances import brute_force, random_problem

from formulations.base import Formulation, Kind, Refinable, Size
from formulations.duals import SignedPoint
from formulations.intervals import intervals, survey
from optprobe.mip import compact, pyomo_solvers
from optprobe.mip.answer import Answer
from optprobe.mip.backends import get_backend
from optprobe.mip.backends.base import BackendError, NotInstalledError, TooLargeError
from optprobe.mip.compact import formulations, get_formulation, solve_compact
from optprobe.mip.outer_approximation import outer_approximation
from optprobe.prefilter import root_relaxation
from optprobe.problem import Problem
from optprobe.result import Limit, Limits, Status
from optprobe.support import fit_support

pyo = pytest.importorskip("pyomo.environ")

NAMES = (
    "big_m",
    "boolean_relaxation",
    "indicator",
    "logistic_quadratic",
    "logistic_tangents",
    "outer_approximation",
    "perspective",
)
PAIRS = [(name, loss) for name in NAMES for loss in import_module(f"formulations.{name}").LOSSES]
MILPS = [
    (name, loss)
    for name, loss in PAIRS
    if import_module(f"formulations.{name}").kind(loss) is Kind.MILP
]


def module(name: str) -> Any:
    """A formulation of the package by its file name."""
    return import_module(f"formulations.{name}")


def fitted(problem: Problem, support: np.ndarray) -> tuple[np.ndarray, float, float]:
    """beta, intercept and objective of a support's exact fit."""
    fit = fit_support(problem.data.columns(support, problem.data.train), problem.rows)
    beta, intercept = fit.solution[0, :-1], float(fit.solution[0, -1])
    return beta, intercept, problem.objective(support, beta, intercept)


def few_rows(problem: Problem) -> Problem:
    """A loss of the random problem's own, on 24 of its rows."""
    rows = np.random.default_rng(problem.k).permutation(len(problem.y))[:24]
    y = problem.y[rows].copy()
    y[:2] = -1.0, 1.0
    X = np.asarray(problem.data.X)[rows]
    return Problem.of(X, y, k=2, lam=max(problem.lam, 0.01), loss=problem.loss_name)


def hard_problem() -> Problem:
    """Weakly regularised noise: far from closed after a few seconds."""
    rng = np.random.default_rng(7)
    X = rng.standard_normal((200, 40))
    y = X[:, :10].sum(axis=1) + 2.0 * rng.standard_normal(200) > 0.0
    return Problem.of(X, y, k=6, lam=1e-3)


# ------------------------------------------------------------------ the contract


@pytest.mark.parametrize("name", NAMES)
def test_every_formulation_meets_the_contract(name: str) -> None:
    found = module(name)
    assert isinstance(found, Formulation)
    for loss in found.LOSSES:
        assert found.kind(loss) in Kind
    refined = ("boolean_relaxation", "logistic_quadratic", "logistic_tangents")
    assert isinstance(found, Refinable) == (name in (*refined, "outer_approximation"))


def measured(model: Any) -> Size:
    """What a Pyomo model consists of, counted."""
    variables = list(model.component_data_objects(pyo.Var))
    rows = list(model.component_data_objects(pyo.Constraint))
    linear = [row for row in rows if row.body.polynomial_degree() == 1]
    return Size(
        binary=sum(variable.is_binary() for variable in variables),
        continuous=sum(not variable.is_binary() for variable in variables),
        rows=len(linear),
        nonzeros=sum(len(row.body.linear_vars) for row in linear),
        cones=len(rows) - len(linear),
        sets=len(list(model.component_data_objects(pyo.SOSConstraint))),
    )


@pytest.mark.parametrize(("name", "loss"), PAIRS)
def test_size_is_that_of_the_built_model(name: str, loss: str) -> None:
    for seed in (0, 5):
        problem = random_problem(seed, loss)
        columns = problem.usable[:-1]
        model = module(name).build(problem, columns)
        expected = module(name).size(len(problem.y), len(columns), problem.k, loss)
        assert measured(model) == expected


@pytest.mark.parametrize(("name", "loss"), PAIRS)
def test_labels_are_columns_of_x_and_training_rows(name: str, loss: str) -> None:
    problem = random_problem(1, loss)
    columns = problem.usable[[3, 1]]
    model = module(name).build(problem, columns)
    assert list(model.chosen) == sorted(columns.tolist())
    if name != "outer_approximation":
        assert list(model.beta) == sorted(columns.tolist())
        assert model.intercept.value is None
        own = model.slack if model.component("slack") is not None else model.margin
        assert list(own) == list(range(len(problem.y)))


@pytest.mark.parametrize(("name", "loss"), PAIRS)
def test_a_solution_is_read_in_columns_of_x(name: str, loss: str) -> None:
    problem = replace(random_problem(2, loss), k=2)
    support = problem.usable[[1, 3]]
    beta, intercept, _ = fitted(problem, support)
    model = module(name).build(problem)
    put(problem, model, support, beta, intercept)
    found = module(name).solution(model)
    assert found[0].tolist() == support.tolist()
    assert found[1] == pytest.approx(beta, rel=1e-9)
    assert found[2] == pytest.approx(intercept, rel=1e-9)


def put(
    problem: Problem, model: Any, support: np.ndarray, beta: np.ndarray, intercept: float
) -> None:
    """Give every variable of any of the models the value that a probe implies."""
    inside = dict(zip(support.tolist(), beta.tolist(), strict=True))
    score = beta @ problem.data.columns(support, problem.data.train) + intercept
    margin = problem.y * score
    by_row = {
        "slack": np.maximum(1.0 - margin, 0.0),
        "margin": margin,
        "loss": problem.loss.value(margin),
    }
    for j in model.column:
        model.chosen[j].value = float(j in inside)
        for name, value in (
            ("beta", inside.get(j, 0.0)),
            ("square", inside.get(j, 0.0) ** 2),
            ("unused", float(j not in inside)),
        ):
            if model.component(name) is not None:
                model.component(name)[j].value = value
    for name, values in by_row.items():
        if model.component(name) is not None:
            for i, value in enumerate(values):
                model.component(name)[i].value = float(value)
    if model.component("intercept") is not None:
        model.intercept.value = intercept
    if model.component("value") is not None:
        model.value.value = problem.objective(support, beta, intercept)


def violation(model: Any) -> float:
    """The largest violation of a constraint, a bound or a set at the variables' values."""
    worst = 0.0
    for row in model.component_data_objects(pyo.Constraint):
        body = pyo.value(row.body)
        worst = max(worst, pyo.value(row.lower) - body if row.has_lb() else 0.0)
        worst = max(worst, body - pyo.value(row.upper) if row.has_ub() else 0.0)
    for variable in model.component_data_objects(pyo.Var):
        lower, upper = variable.bounds
        worst = max(worst, lower - variable.value if lower is not None else 0.0)
        worst = max(worst, variable.value - upper if upper is not None else 0.0)
    for group in model.component_data_objects(pyo.SOSConstraint):
        sizes = sorted(abs(variable.value) for variable in group.variables)
        worst = max(worst, sizes[-2])
    return float(worst)


# ------------------------------------------------------------------ nothing is cut off


@pytest.mark.parametrize(("name", "loss"), PAIRS)
def test_the_optimum_is_feasible_at_its_true_cost(name: str, loss: str) -> None:
    """In every model, refined at some supports or not, and so is no model's optimum too high."""
    for seed in range(12):
        problem = random_problem(seed, loss)
        optimum = brute_force(problem)
        support = np.array(optimum.support)
        beta, intercept, objective = fitted(problem, support)
        model = module(name).build(problem)
        if isinstance(module(name), Refinable):
            for at in (problem.usable[: problem.k], problem.usable[-problem.k :]):
                for j in model.column:
                    model.chosen[j].value = float(j in at)
                module(name).refine(problem, model)
        put(problem, model, support, beta, intercept)
        assert violation(model) <= 1e-7
        assert pyo.value(model.objective) == pytest.approx(objective, rel=1e-9)


@settings(max_examples=40)
@given(seed=st.integers(0, 100_000))
def test_intervals_hold_every_support_as_good_as_the_incumbent(seed: int) -> None:
    problem = random_problem(seed)
    columns = problem.usable
    known = survey(problem, columns)
    points = [expansion.point for expansion in known.expansions]
    low, high = intervals(problem, points, known.upper)
    textbook = np.sqrt(2.0 * known.upper / problem.lam)
    assert (high - low <= 2.0 * textbook * (1.0 + 1e-6)).all()
    for size in range(1, problem.k + 1):
        for chosen in combinations(range(len(columns)), size):
            at = np.array(chosen)
            beta, _, objective = fitted(problem, columns[at])
            if objective <= known.upper:
                assert (low[at] - 1e-9 <= beta).all()
                assert (beta <= high[at] + 1e-9).all()


def test_a_weak_dual_point_leaves_the_textbook_s_interval() -> None:
    """|beta_j| <= sqrt(2 U / lam), from a = 0."""
    problem = random_problem(3)
    low, high = intervals(problem, [SignedPoint(-1e6, np.zeros(4))], 0.7)
    expected = np.sqrt(2.0 * 0.7 / problem.lam)
    assert high == pytest.approx(np.full(4, expected), rel=1e-6)
    assert low == pytest.approx(-high)


# ------------------------------------------------------------------ refining


@pytest.mark.parametrize(("name", "loss"), MILPS)
def test_refining_makes_a_support_exact(name: str, loss: str) -> None:
    """With `chosen` fixed the refined model costs P(S), for S no worse than the incumbent."""
    pytest.importorskip("highspy")
    for seed in range(3):
        problem = random_problem(seed, loss)
        support = np.array(brute_force(problem).support)
        model = module(name).build(problem)
        for j in model.column:
            model.chosen[j].value = float(j in support)
        assert module(name).refine(problem, model) == np.inf  # nothing else has a value yet
        for j in model.column:
            model.chosen[j].fix(float(j in support))
        results = pyo.SolverFactory("highs").solve(model)
        _, _, objective = fitted(problem, support)
        assert results.problem.lower_bound == pytest.approx(objective, rel=1e-6)
        assert module(name).refine(problem, model) <= 1e-6 * objective


def test_dual_points_of_a_stopped_solve_make_a_master() -> None:
    pytest.importorskip("highspy")
    problem = random_problem(7, "logistic")
    answer = outer_approximation(problem, problem.usable, limits=Limits(gap=1e-8))
    bounds = []
    for points in ((), answer.points, None):
        model = module("outer_approximation").build(problem, points=points)
        results = pyo.SolverFactory("highs").solve(model)
        bounds.append(results.problem.lower_bound)
    optimum = brute_force(problem).value
    assert max(bounds) <= optimum * (1.0 + 1e-7)
    assert bounds[0] < bounds[1]
    assert bounds[0] <= bounds[2]


@pytest.mark.parametrize("loss", module("boolean_relaxation").LOSSES)
def test_the_boolean_relaxation_is_the_native_bound(loss: str) -> None:
    backend = "highs" if loss == "logistic" else "gurobi"
    pytest.importorskip("highspy" if loss == "logistic" else "gurobipy")
    for seed in range(3):
        problem = few_rows(random_problem(seed, loss))
        answer = solve(problem, "boolean_relaxation", backend, gap=1e-7)
        free = np.zeros(problem.d, bool)
        free[problem.usable] = True
        native = root_relaxation(problem.matrix, problem.rows, problem.k, free, np.inf)
        lower, primal = float(native.bound[0]), float(native.primal[0])
        assert lower * (1.0 - 2e-6) <= answer.claimed.lower <= primal * (1.0 + 2e-6)
        if loss != "hinge":
            assert primal - lower <= 1e-5 * primal


# ------------------------------------------------------------------ solving


def solve(problem: Problem, name: str, backend: str = "highs", **limits: float) -> Answer:
    """`solve_compact` over every usable column."""
    return solve_compact(
        problem, problem.usable, formulation=module(name), backend=backend, limits=Limits(**limits)
    )


@pytest.mark.parametrize("name", ["logistic_tangents", "outer_approximation"])
def test_a_limit_is_a_result(name: str) -> None:
    pytest.importorskip("highspy")
    problem = hard_problem()
    for seconds in (0.0, 1.5):
        found = solve(problem, name, time_s=seconds)
        assert found.status is Status.FEASIBLE
        assert found.limit is Limit.TIME
        assert found.claimed.lower < found.claimed.upper
        again = problem.objective(found.support, found.beta, found.intercept)
        assert found.claimed.upper == found.objective == again
        assert len(found.support) <= problem.k


def test_candidates_are_the_scope_and_a_start_is_used() -> None:
    pytest.importorskip("highspy")
    problem = hard_problem().with_k(3)
    columns = np.arange(8)
    best = brute_force(Problem.of(np.asarray(problem.data.X)[:, :8], problem.y, k=3, lam=1e-3))
    lines: list[str] = []
    found = solve_compact(
        problem,
        columns,
        formulation=module("outer_approximation"),
        start=[np.array(best.support), np.array([30, 31, 32])],
        log=lines.append,
    )
    assert found.support.tolist() == list(best.support)
    assert f"incumbent {best.value:.7f}" in lines[0]
    assert found.status is Status.OPTIMAL


def test_a_solver_that_only_pyomo_knows() -> None:
    """No table, no options: the model, the time limit and the solver's word."""
    pytest.importorskip("highspy")
    problem = random_problem(4, "squared_hinge")
    found = solve(problem, "outer_approximation", "appsi_highs", time_s=60.0)
    assert found.objective == pytest.approx(brute_force(problem).value, rel=1e-4)
    assert found.status is Status.OPTIMAL


# ------------------------------------------------------------------ the third-party door


THIRD_PARTY = '''
"""One support, the first k columns: a formulation of somebody else's."""
import pyomo.environ as pyo
from formulations.base import Kind, Size
from formulations.parts import checked, skeleton
from formulations.outer_approximation import build as master, solution

LOSSES = ("logistic", "hinge")

def kind(loss):
    return Kind.MILP

def size(n, p, k, loss):
    return Size(binary=p, continuous=1, rows=2, nonzeros=2 * p + 1)

def build(problem, columns=None):
    model = master(problem, checked(problem, columns, "acme", LOSSES))
    for j in list(model.column)[: problem.k]:
        model.chosen[j].setlb(1)
    return model
'''


def install(folder: Path, name: str, value: str, code: str) -> None:
    """A distribution with one module and one entry point."""
    info = folder / "acme_probe-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-probe\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[optprobe.formulations]\n{name} = {value}\n")
    (folder / f"{value}.py").write_text(code)


def test_a_third_party_s_formulation_is_found_and_solved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("highspy")
    install(tmp_path, "acme", "acme_model", THIRD_PARTY)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "acme_model", raising=False)
    assert "acme" in formulations()
    assert isinstance(get_formulation("acme"), Formulation)
    problem = random_problem(6, "logistic")
    found = solve_compact(problem, problem.usable, formulation="acme")
    assert found.objective >= brute_force(problem).value * (1.0 - 1e-9)
    with pytest.raises(ValueError, match="'acme' covers logistic and hinge, not 'squared_hinge'"):
        solve_compact(
            replace(problem, loss_name="squared_hinge"), problem.usable, formulation="acme"
        )


def test_a_formulation_that_lacks_a_part_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "lame", "lame_model", "LOSSES = ('hinge',)\ndef build(problem): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "lame_model", raising=False)
    with pytest.raises(TypeError, match=r"'lame'.*lacks kind, size, solution"):
        get_formulation("lame")


def test_the_package_registers_its_own() -> None:
    assert get_formulation("perspective") is module("perspective")
    with pytest.raises(ValueError, match=r"unknown formulation 'abacus'; choose one of .*persp"):
        get_formulation("abacus")


# ------------------------------------------------------------------ what can be wrong


@pytest.mark.parametrize("name", ["big_m", "indicator", "perspective"])
def test_a_loss_outside_the_model_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="covers hinge and squared_hinge, not 'logistic'"):
        module(name).build(random_problem(0, "logistic"))


@pytest.mark.parametrize(
    ("columns", "message"),
    [(np.empty(0, int), "at least one candidate"), (np.array([0, 99]), "column 99 cannot be")],
)
def test_impossible_candidates(columns: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        module("outer_approximation").build(random_problem(0), columns)


def test_a_kind_that_the_solver_does_not_take_is_refused() -> None:
    problem = random_problem(0, "hinge")
    message = r"'perspective' is a MISOCP, highs takes LP and MILP only: .* gurobi or scip"
    with pytest.raises(ValueError, match=message):
        solve(problem, "perspective", "highs")


def test_a_model_beyond_memory_is_refused_before_it_is_built(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module("logistic_tangents"), "build", None)
    problem = hard_problem()
    message = r"'logistic_tangents' of 40 candidates has [\d,]+ coefficients.*outer_approximation"
    with pytest.raises(TooLargeError, match=message):
        solve(problem, "logistic_tangents", memory_bytes=2.0**20)


def test_no_time_for_the_model_is_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module("logistic_tangents"), "build", None)
    monkeypatch.setattr(compact, "SECONDS_PER_TERM", 1.0)
    found = solve(hard_problem(), "logistic_tangents", time_s=30.0)
    assert found.limit is Limit.TIME
    assert found.claimed.lower == 0.0


def test_a_limit_on_nodes_is_refused() -> None:
    with pytest.raises(ValueError, match="report no nodes; pass a time limit"):
        solve(random_problem(0), "outer_approximation", nodes=5)


@pytest.mark.parametrize(
    ("backend", "message"),
    [("abacus", "finds no solver 'abacus'"), ("copt", "no interface to 'copt'")],
)
def test_a_solver_that_pyomo_does_not_know(backend: str, message: str) -> None:
    with pytest.raises(NotInstalledError, match=f"{message}.*choose one of highs, gurobi"):
        solve(random_problem(0), "outer_approximation", backend)


@pytest.mark.parametrize("name", list(pyomo_solvers.SOLVERS))
def test_missing_package_says_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, pyomo_solvers.SOLVERS[name].package, None)
    with pytest.raises(NotInstalledError, match="pip install"):
        solve(random_problem(0), "outer_approximation", name)


def test_missing_pyomo_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyomo.environ", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "optprobe\[pyomo\]"'):
        module("perspective").build(random_problem(0, "hinge"))
    with pytest.raises(NotInstalledError, match=r'pip install "optprobe\[pyomo\]"'):
        solve(random_problem(0), "outer_approximation")


def test_an_unknown_word_of_a_solver_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("highspy")
    monkeypatch.delitem(pyomo_solvers.LIMIT, "optimal")
    with pytest.raises(BackendError, match="highs ended with 'optimal'"):
        solve(random_problem(0), "outer_approximation")


def test_size_limits_of_licences_say_what_to_do() -> None:
    """The licences inside the packages of Gurobi and CPLEX."""
    if get_backend("gurobi").available().licence.startswith("full"):
        pytest.skip("this Gurobi licence has no size limit")
    rng = np.random.default_rng(0)
    X = rng.standard_normal((1200, 3))
    problem = Problem.of(X, X[:, 0] > 0, k=1, lam=1.0, loss="hinge")
    for backend in ("gurobi", "cplex"):
        pytest.importorskip(pyomo_solvers.SOLVERS[backend].package)
        with pytest.raises(TooLargeError, match=r"licence of .* the solver highs or scip"):
            solve(problem, "big_m", backend)
