"""Models written for other solvers are read by them, and their solutions come back judged."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from instances import brute_force
from typer.testing import CliRunner

from optprobe.cli import app
from optprobe.problem import Problem
from optprobe.solution_file import SolutionError, judge_solution, read_solution

pytest.importorskip("pyomo")

RIDGE = 0.05


def problem(loss: str = "hinge") -> Problem:
    """Thirty rows, six columns, the fourth constant: inside every size-limited licence."""
    rng = np.random.default_rng(3)
    X = rng.standard_normal((30, 6)) @ rng.standard_normal((6, 6))
    X[:, 3] = 1.0
    y = X[:, 0] - X[:, 1] + rng.standard_normal(30) > 0
    return Problem.of(X, y, k=2, lam=RIDGE, loss=loss)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    found = problem().data
    path = tmp_path / "task.npz"
    np.savez(path, X=found.on_host(), y=found.y)
    return path


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(part) for part in arguments])


def exported(data: Path, formulation: str, file_format: str, loss: str = "hinge") -> Path:
    """What `optprobe export` writes for the problem."""
    suffix = "py" if file_format == "pyomo" else file_format
    path = data.with_name(f"{formulation}.{suffix}")
    result = run(
        "export", data, "--k", 2, "--ridge", RIDGE, "--loss", loss, "--formulation", formulation,
        "--format", file_format, "--out", path,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert path.name in result.output.replace("\n", "")
    return path


def highs(model: Path, solution: Path) -> None:
    """HiGHS's own reader, solver and writer."""
    highspy = pytest.importorskip("highspy")
    solver = highspy.Highs()
    solver.silent()
    solver.setOptionValue("mip_rel_gap", 0.0)
    assert solver.readModel(str(model)) == highspy.HighsStatus.kOk
    solver.run()
    solver.writeSolution(str(solution), 0)


def gurobi(model: Path, solution: Path) -> None:
    """Gurobi's."""
    gurobipy = pytest.importorskip("gurobipy")
    with gurobipy.Env(params={"OutputFlag": 0}) as env, gurobipy.read(str(model), env) as read:
        read.Params.MIPGap = 0.0
        read.optimize()
        read.write(str(solution))


def scip(model: Path, solution: Path) -> None:
    """SCIP's."""
    pyscipopt = pytest.importorskip("pyscipopt")
    solver = pyscipopt.Model()
    solver.hideOutput()
    solver.readProblem(str(model))
    solver.optimize()
    solver.writeBestSol(str(solution))


def cplex(model: Path, solution: Path) -> None:
    """CPLEX's, as XML."""
    package = pytest.importorskip("cplex")
    with package.Cplex() as solver:
        for mute in ("log", "results", "warning", "error"):
            getattr(solver, f"set_{mute}_stream")(None)
        solver.parameters.mip.tolerances.mipgap.set(0.0)
        solver.read(str(model))
        solver.solve()
        solver.solution.write(str(solution))


# SCIP 10 does not read quadratic parts as Pyomo writes them in LP files; MPS it reads.
CASES = [
    ("outer_approximation", "mps", highs, "logistic"),
    ("outer_approximation", "lp", highs, "hinge"),
    ("outer_approximation", "lp", gurobi, "squared_hinge"),
    ("outer_approximation", "mps", cplex, "logistic"),
    ("outer_approximation", "mps", scip, "logistic"),
    ("perspective", "lp", gurobi, "hinge"),
    ("perspective", "mps", gurobi, "squared_hinge"),
    ("perspective", "mps", scip, "hinge"),
    ("big_m", "lp", gurobi, "hinge"),
    ("big_m", "mps", cplex, "hinge"),
    ("big_m", "mps", scip, "hinge"),
    ("indicator", "lp", gurobi, "hinge"),
]


@pytest.mark.parametrize(
    ("formulation", "file_format", "solver", "loss"),
    CASES,
    ids=[f"{f}-{suffix}-{s.__name__}-{loss}" for f, suffix, s, loss in CASES],
)
def test_a_solver_reads_the_file_and_its_solution_is_the_optimum(
    data: Path, formulation: str, file_format: str, solver: Any, loss: str
) -> None:
    model = exported(data, formulation, file_format, loss)
    written = data.with_name("answer.sol")
    solver(model, written)
    same = problem(loss)
    judgement = judge_solution(same, read_solution(written))
    optimum = brute_force(same)
    assert tuple(judgement.support) == optimum.support
    assert judgement.refitted == pytest.approx(optimum.value, rel=1e-9)
    if formulation != "outer_approximation":
        assert judgement.stated == pytest.approx(optimum.value, rel=1e-3)


def test_nl_is_written(data: Path) -> None:
    path = exported(data, "perspective", "nl")
    assert path.read_bytes().startswith(b"g3 1 1 0")
    assert "chosen[0]" in path.with_suffix(".col").read_text()


def test_the_python_file_builds_the_model(data: Path) -> None:
    path = exported(data, "perspective", "pyomo")
    model = runpy.run_path(str(path))["model"]
    assert list(model.chosen) == [0, 1, 2, 4, 5]


# ------------------------------------------------------------------ solutions from outside


def judged(data: Path, tmp_path: Path, text: str) -> Any:
    """`optprobe solve --solution` on a file with this text."""
    file, out = tmp_path / "outside.sol", tmp_path / "results.json"
    file.write_text(text)
    result = run(
        "solve", data, "--k", 2, "--ridge", RIDGE, "--loss", "hinge", "--solution", file,
        "--json", out,
    )  # fmt: skip
    return result, json.loads(out.read_text())[0] if out.exists() else None


def test_an_optimal_solution_is_recognised(data: Path, tmp_path: Path) -> None:
    optimum = brute_force(problem())
    text = "\n".join(f"chosen({j}) 1" for j in optimum.support)
    result, record = judged(data, tmp_path, f"# Objective value = 0\n{text}\n")
    assert result.exit_code == 0, result.output
    assert record["solution"]["objective"] == pytest.approx(optimum.value)
    assert record["solution"]["regret"] == pytest.approx([0.0, 0.0], abs=2e-4)
    assert "above the optimum" in result.output


def test_a_poor_solution_is_told_how_poor(data: Path, tmp_path: Path) -> None:
    """Its coefficients count as stated, its support after a fit."""
    same = problem()
    columns = np.array([4, 5])
    stated = same.objective(columns, np.array([0.25, 0.0]), -0.5)
    text = "chosen(4) 1\nchosen(5) 0.9999\nchosen(0) 0\nbeta(4) 0.25\nintercept -0.5\n"
    result, record = judged(data, tmp_path, text)
    assert result.exit_code == 0, result.output
    said = record["solution"]
    assert said["objective_stated"] == pytest.approx(stated, rel=1e-12)
    assert said["objective"] <= stated
    regret = said["objective"] / brute_force(same).value - 1.0
    assert said["regret"][0] - 1e-9 <= regret <= said["regret"][1] + 1e-9
    assert regret > 1e-3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no variable chosen"),
        ("x1 1\nx2 0\n", "names no variable chosen"),
        ("chosen(0) 0.4\n", "neither 0 nor 1"),
        ("chosen(0) 1e999\n", "neither 0 nor 1"),
        ("chosen(0) 1\nchosen(1) 1\nchosen(2) 1\n", "more than k=2"),
        ("chosen(3) 1\n", "column 3, which is constant"),
        ("chosen(77) 1\n", "not one of the 6 columns"),
        ("chosen(0) 1\nbeta(0) 1e300\nintercept 0\n", "no finite objective"),
        ("\0\xff" * 9, "names no variable chosen"),
    ],
)
def test_what_is_wrong_with_a_file(data: Path, tmp_path: Path, text: str, message: str) -> None:
    result, _ = judged(data, tmp_path, text)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
    assert "Traceback" not in result.output


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SolutionError, match="cannot be read"):
        read_solution(tmp_path / "missing.sol")
    (tmp_path / "binary.sol").write_bytes(bytes(range(128, 256)))
    with pytest.raises(SolutionError, match="no text file"):
        read_solution(tmp_path / "binary.sol")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--formulation", "magic"], "choose one of"),
        (["--format", "xml"], "choose one of mps, lp, nl, pyomo"),
        (["--formulation", "perspective", "--loss", "logistic"], "covers hinge and squared_hinge"),
        (["--candidates", "1"], "k"),
        (["--out", "model.txt"], "ends in .mps"),
        (["--out", "/nowhere/model.mps"], "No such file"),
    ],
)
def test_exports_that_mean_nothing(data: Path, arguments: list[str], message: str) -> None:
    result = run("export", data, "--k", 2, *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())


def test_several_k_have_no_single_solution(data: Path, tmp_path: Path) -> None:
    (tmp_path / "a.sol").write_text("chosen(0) 1\n")
    result = run("solve", data, "--k", "1:2", "--solution", tmp_path / "a.sol")
    assert result.exit_code == 2
    assert "belongs to a single k" in result.output
