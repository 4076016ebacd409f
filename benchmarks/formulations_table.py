"""The tables of formulations/README.md: python benchmarks/formulations_table.py > tables.md

    relaxation = optimum of the model without integrality / optimum of the problem

on two instances of 300 rows, 20 columns and k = 3, small enough for the licences inside the
packages: correlated synthetic columns, and columns of the packaged activations. Build times are
those of 1000 rows and 50 columns. Times are wall-clock seconds of one run, one thread, on an
otherwise idle machine. Prints Markdown.
"""

from __future__ import annotations

import os
import platform
import time
from dataclasses import replace
from importlib.metadata import version

import numpy as np
import pyomo.environ as pyo

from formulations.base import Formulation, Kind, Refinable
from optprobe import demo
from optprobe.mip.compact import formulations, get_formulation, solve_compact
from optprobe.mip.pyomo_solvers import SOLVERS
from optprobe.prefilter import best_columns
from optprobe.problem import Problem
from optprobe.result import Limits, Status
from optprobe.solver import solve
from optprobe.threads import single_threaded_blas

ROWS, COLUMNS, K, RIDGE = 300, 20, 3, 0.03
TIME_S = 60.0
LINEAR = (Kind.LP, Kind.MILP)

NAMES = {"logistic": "logistic", "hinge": "hinge", "squared_hinge": "squared hinge"}


def synthetic(rows: int, columns: int, loss: str) -> Problem:
    """Columns of correlation 0.5, a tenth of them in the label's score, with noise."""
    rng = np.random.default_rng(0)
    X = np.sqrt(0.5) * (rng.standard_normal((rows, columns)) + rng.standard_normal((rows, 1)))
    used = max(columns // 10, K)
    y = X[:, :used].sum(axis=1) + 2.0 * rng.standard_normal(rows) > 0.0
    return Problem.of(X, y, k=K, lam=RIDGE, loss=loss)


def packaged(loss: str) -> Problem:
    """The packaged activations: the columns of largest mean difference, balanced rows."""
    whole = demo.activations().problem(k=K, lam=RIDGE)
    columns = best_columns(whole, COLUMNS)
    train, y = whole.data.train, whole.y
    rng = np.random.default_rng(0)
    half = [rng.permutation(np.flatnonzero(y == sign))[: ROWS // 2] for sign in (-1.0, 1.0)]
    rows = np.sort(np.concatenate(half))
    X = np.asarray(whole.data.X)[np.ix_(train[rows], columns)]
    return Problem.of(X, y[rows], k=K, lam=RIDGE, loss=loss)


def solver_of(formulation: Formulation, loss: str) -> str:
    """HiGHS for linear models, CPLEX for quadratic ones that its free licence covers, else SCIP."""
    if formulation.kind(loss) in LINEAR:
        return "highs"
    size = formulation.size(ROWS, COLUMNS, K, loss)
    return "cplex" if max(size.rows, size.binary + size.continuous) <= 1000 else "scip"


def relaxation(formulation: Formulation, problem: Problem) -> float:
    """The optimum of the model as built, without integrality and sets."""
    model = formulation.build(problem)
    for variable in model.chosen.values():
        variable.domain = pyo.UnitInterval
    if model.component("pair") is not None:
        model.pair.deactivate()
    solver = solver_of(formulation, problem.loss_name)
    results = pyo.SolverFactory(SOLVERS[solver].factory).solve(model)
    return float(results.problem.lower_bound)


def solved(formulation: Formulation, problem: Problem) -> str:
    """Seconds to a gap of 1e-4, or the gap that is left, with the solver."""
    solver = solver_of(formulation, problem.loss_name)
    began = time.monotonic()
    answer = solve_compact(
        problem,
        problem.usable,
        formulation=formulation,
        backend=solver,
        limits=Limits(time_s=TIME_S),
    )
    seconds = time.monotonic() - began
    if answer.status is Status.OPTIMAL:
        return f"{seconds:.1f} s ({solver})"
    return f"{100 * answer.claimed.gap:.1f} % left at {seconds:.0f} s ({solver})"


def built(formulation: Formulation, loss: str) -> float:
    """Seconds to build 1000 rows and 50 columns."""
    problem = replace(synthetic(1000, 50, loss), k=5)
    began = time.monotonic()
    formulation.build(problem)
    return time.monotonic() - began


def rows(name: str) -> list[str]:
    """One line of the second table per loss."""
    formulation, lines = get_formulation(name), []
    for loss in formulation.LOSSES:
        cells = [f"`{name}`", NAMES[loss], str(formulation.kind(loss))]
        instances = (synthetic(ROWS, COLUMNS, loss), packaged(loss))
        for problem in instances:
            optimum = solve(problem, limits=Limits(gap=1e-6, time_s=TIME_S)).objective
            cells.append(f"{100 * relaxation(formulation, problem) / optimum:.1f} %")
        cells.append(f"{built(formulation, loss):.2f} s")
        exact = name != "boolean_relaxation"
        cells += [solved(formulation, problem) if exact else "" for problem in instances]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def solvers(name: str) -> str:
    """One line of the first table."""
    formulation = get_formulation(name)
    loss = formulation.LOSSES[0]
    kinds = {formulation.kind(other) for other in formulation.LOSSES}
    able = [solver.name for solver in SOLVERS.values() if kinds & solver.kinds]
    size = formulation.size(1000, 50, 5, loss)
    cells = [
        f"`{name}`",
        f"{size.binary}",
        f"{size.continuous:,}",
        f"{size.rows:,}",
        f"{size.nonzeros:,}",
        f"{size.cones or ''}",
        f"{size.sets or ''}",
        "in rounds" if isinstance(formulation, Refinable) else "at once",
        ", ".join(able),
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Print the machine and both tables."""
    packages = ("pyomo", "highspy", "cplex")
    versions = ", ".join(f"{package} {version(package)}" for package in packages)
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()},")
    print(f"{versions}.\n")
    print("Models of 1000 rows, 50 columns (the first loss of each):\n")
    print("| | binary | continuous | rows | nonzeros | cones | sets | solved | by |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in formulations():
        print(solvers(name))
    print(f"\n{ROWS} rows, {COLUMNS} columns, k = {K}, lam = {RIDGE}:\n")
    print(
        "| | loss | kind | relaxation, synthetic | packaged | build | solve, synthetic | packaged |"
    )
    print("|---|---|---|---|---|---|---|---|")
    with single_threaded_blas():
        for name in formulations():
            print("\n".join(rows(name)))


if __name__ == "__main__":
    main()
