"""The command line: what it prints, what it writes, its exit codes, and every refusal."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import optprobe.solver
from optprobe import __version__
from optprobe.cli import app
from optprobe.cli.common import parse_candidates, parse_ks
from optprobe.metrics import Metrics
from optprobe.mip.backends import BACKENDS
from optprobe.mip.backends.base import TooLargeError
from optprobe.result import Limit, Result, Status

ROWS, COLUMNS = 90, 7

KEYS = {
    "k", "loss", "ridge", "weights", "status", "limit", "support", "names", "beta", "intercept",
    "objective", "claimed", "verified", "scope", "candidates", "nodes", "time_s", "method",
    "backend", "formulation", "refuted", "statistics", "test", "certificate",
}  # fmt: skip


def arrays() -> dict[str, np.ndarray]:
    """A small task: three columns matter, the last never varies, every third row is held out."""
    rng = np.random.default_rng(11)
    X = rng.standard_normal((ROWS, COLUMNS)).astype(np.float32)
    X[:, -1] = 2.0
    y = np.where(X[:, 0] - X[:, 2] + 0.5 * X[:, 4] + rng.standard_normal(ROWS) > 0, 1, -1)
    names = np.array([f"L3N{j}" for j in range(COLUMNS)])
    return {"X": X, "y": y, "names": names, "test": np.arange(ROWS) % 3 == 2}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "task.npz"
    np.savez(path, **arrays())
    return path


def run(*arguments: object):
    return CliRunner().invoke(app, [str(part) for part in arguments])


def solved(path: Path) -> list[dict[str, Any]]:
    """The JSON file; NaN and infinity are no JSON."""

    def refuse(word: str) -> float:
        raise AssertionError(f"{word} is no JSON")

    return json.loads(path.read_text(), parse_constant=refuse)


@pytest.mark.parametrize("loss", ["logistic", "hinge", "squared_hinge"])
@pytest.mark.parametrize("method", [["bnb"], ["oa", "--backend", "highs"]], ids=lambda m: m[0])
def test_solve_writes_certified_results(data, tmp_path, loss, method):
    file, folder = tmp_path / "out.json", tmp_path / "proofs"
    result = run(
        "solve", data, "--k", "1:3", "--loss", loss, "--method", *method,
        "--json", file, "--certificate", folder,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    records = solved(file)
    assert [entry["k"] for entry in records] == [1, 2, 3]
    for entry in records:
        assert set(entry) == KEYS
        assert entry["names"] == [f"L3N{j}" for j in entry["support"]]
        assert len(entry["beta"]) == len(entry["support"]) <= entry["k"]
        assert (entry["loss"], entry["ridge"], entry["method"]) == (loss, 0.1, method[0])
        assert (entry["status"], entry["limit"]) == ("optimal", None)
        assert entry["scope"] == "all columns"
        assert entry["candidates"] == COLUMNS - 1
        for bounds in (entry["claimed"], entry["verified"]):
            assert set(bounds) == {"lower", "upper", "gap"}
            assert bounds["lower"] <= entry["objective"] * (1 + 1e-12)
        assert entry["verified"]["gap"] <= 1e-4 + 1e-9
        test = entry["test"]
        assert set(test) == {field.name for field in fields(Metrics)}
        proof = Path(entry["certificate"]["path"])
        assert proof == folder / f"task.k{entry['k']}.npz"
        assert proof.stat().st_size == entry["certificate"]["bytes"]
        checked = run("verify", proof, data)
        assert checked.exit_code == 0, checked.output
    objectives = [entry["objective"] for entry in records]
    assert objectives == sorted(objectives, reverse=True)
    assert result.stdout.count("certified") == 3
    for entry in records:
        assert f"{entry['objective']:.6f}" in result.stdout
        assert " ".join(entry["names"]) in result.stdout


def test_json_on_stdout_stands_alone(data):
    result = run("solve", data, "--k", "2", "--json", "-")
    assert result.exit_code == 0
    (entry,) = json.loads(result.stdout)
    assert entry["certificate"] is None
    assert "certified" in result.stderr
    result = run("solve", data, "--k", "2", "--json", "-", "--quiet")
    assert result.stderr == ""


def test_quiet_prints_nothing(data):
    result = run("solve", data, "--k", "1", "--quiet")
    assert (result.exit_code, result.output) == (0, "")


def test_candidates_limit_what_is_proven(data):
    result = run("solve", data, "--k", "1", "--candidates", "3", "--json", "-")
    (entry,) = json.loads(result.stdout)
    assert (entry["scope"], entry["candidates"]) == ("these candidates", 3)
    assert "over the 3 candidate columns only" in result.stderr
    assert "other 3 were left out" in result.stderr


def test_weights_of_the_file_are_used_on_request(tmp_path):
    path = tmp_path / "task.npz"
    weights = np.where(np.arange(ROWS) % 2, 1.0, 3.0)
    np.savez(path, **arrays(), weights=weights)
    proofs = tmp_path / "proofs"
    seen = set()
    for choice in ("balanced", "uniform", "given"):
        result = run(
            "solve", path, "--k", "2", "--weights", choice, "--json", "-", "--certificate", proofs
        )
        (entry,) = json.loads(result.stdout)
        assert entry["weights"] == choice
        seen.add(entry["objective"])
        assert run("verify", proofs / "task.k2.npz", path).exit_code == 0
    assert len(seen) == 3


def test_a_limit_is_a_result(data, tmp_path):
    file = tmp_path / "out.json"
    result = run("solve", data, "--k", "2,3", "--gap", "0", "--time-limit", "0", "--json", file)
    assert result.exit_code == 3
    assert [entry["status"] for entry in solved(file)] == ["feasible", "feasible"]
    assert {entry["limit"] for entry in solved(file)} == {"time"}
    assert "stopped: time" in result.stdout
    assert "No bound was certified to the gap asked for." in result.stdout


def test_only_verified_bounds_are_called_certified(data, monkeypatch):
    genuine = optprobe.solver.solve_path

    def unverified(*positional: Any, **named: Any) -> Iterator[Result]:
        for result in genuine(*positional, **named):
            yield replace(result, verified=None, certificate=None)

    monkeypatch.setattr(optprobe.solver, "solve_path", unverified)
    result = run("solve", data, "--k", "1:2", "--json", "-")
    assert result.exit_code == 0
    assert [entry["verified"] for entry in json.loads(result.stdout)] == [None, None]
    assert result.stderr.count("optimal, not verified") == 2
    assert "claimed gap" in result.stderr
    assert "No bound was certified" in result.stderr


def test_undefined_numbers_become_null(data, monkeypatch):
    genuine = optprobe.solver.solve_path

    def unbounded(*positional: Any, **named: Any) -> Iterator[Result]:
        for result in genuine(*positional, **named):
            claimed = replace(result.claimed, lower=-np.inf)
            yield replace(
                result, claimed=claimed, verified=None, status=Status.FEASIBLE, limit=Limit.TIME
            )

    monkeypatch.setattr(optprobe.solver, "solve_path", unbounded)
    result = run("solve", data, "--k", "1", "--json", "-")
    assert result.exit_code == 3
    (entry,) = json.loads(result.stdout)
    assert entry["claimed"] == {"lower": None, "upper": entry["objective"], "gap": None}


def test_interruption_keeps_what_was_found(data, tmp_path, monkeypatch):
    genuine = optprobe.solver.solve_path

    def interrupted(*positional: Any, **named: Any) -> Iterator[Result]:
        yield next(genuine(*positional, **named))
        raise KeyboardInterrupt

    monkeypatch.setattr(optprobe.solver, "solve_path", interrupted)
    file = tmp_path / "out.json"
    result = run("solve", data, "--k", "1:3", "--json", file)
    assert result.exit_code == 3
    assert [entry["k"] for entry in solved(file)] == [1]
    assert "certified" in result.stdout


# Every bad input: what changes in the file, the options, and words of the one sentence.
def without(key: str) -> dict[str, Any]:
    return {key: None}


def with_value(value: float) -> dict[str, Any]:
    X = arrays()["X"]
    X[5, 3] = value
    return {"X": X}


OBJECTS = np.array([[1.0] * COLUMNS] * ROWS, dtype=object)
NEGATIVE = np.where(np.arange(ROWS) == 4, -1.0, 1.0)
GIVEN = ["--weights", "given"]
BAD: dict[str, tuple[dict[str, Any], list[str], str]] = {
    "no X": (without("X"), [], "no array 'X'; it holds y, names, test"),
    "no y": (without("y"), [], "no array 'y'; it holds X, names, test"),
    "labels too few": ({"y": np.ones(3)}, [], "y has shape (3,) but X has 90 rows"),
    "names too few": ({"names": np.array(["a"])}, [], "1 names for 7 columns"),
    "mask too short": ({"test": np.array([True])}, [], "test has shape (1,)"),
    "X is no matrix": ({"X": np.ones(ROWS, np.float32)}, [], "rows x columns"),
    "one class": ({"y": np.ones(ROWS)}, [], "a probe needs two"),
    "three classes": ({"y": np.arange(ROWS) % 3}, [], "3 distinct label(s)"),
    "one class in training": ({"test": arrays()["y"] > 0}, [], "both classes there"),
    "k is 0": ({}, ["--k", "0"], "pass k >= 1"),
    "k is too large": ({}, ["--k", "7"], "exceeds the 6 usable columns"),
    "k is no number": ({}, ["--k", "two"], "a range such as 1:8"),
    "k runs backwards": ({}, ["--k", "3:1"], "a range such as 1:8"),
    "negative weights": ({"weights": NEGATIVE}, GIVEN, "not negative"),
    "no weights": ({}, GIVEN, "need an array 'weights' in the file"),
    "unknown weights": ({}, ["--weights", "even"], "choose balanced, uniform or given"),
    "ridge is 0": ({}, ["--ridge", "0"], "the ridge must be positive"),
    "ridge is negative": ({}, ["--ridge", "-1"], "the ridge must be positive"),
    "NaN": (with_value(np.nan), [], "nan at row 5, column 3 ('L3N3')"),
    "infinity": (with_value(np.inf), [], "inf at row 5, column 3 ('L3N3')"),
    "float16 overflow": (
        {"X": np.full((ROWS, COLUMNS), np.inf, np.float16)}, [], "float16 overflows past 65504",
    ),
    "objects in X": ({"X": OBJECTS}, [], "array 'X' holds Python objects"),
    "objects in y": ({"y": OBJECTS[:, 0]}, [], "array 'y' holds Python objects"),
    "words in X": ({"X": np.full((ROWS, COLUMNS), "a")}, [], "pass float16, float32 or float64"),
    "leaking groups": ({"doc": np.zeros(ROWS, int)}, [], "on both sides of the split"),
    "unknown loss": ({}, ["--loss", "probit"], "choose one of logistic"),
    "unknown method": ({}, ["--method", "guess"], "choose one of bnb, oa, oa-plain, compact"),
    "unknown backend": ({}, ["--method", "oa", "--backend", "abacus"], "choose one of highs"),
    "backend without oa": ({}, ["--backend", "highs"], "is for the other methods"),
    "negative gap": ({}, ["--gap", "-1"], "pass a number >= 0"),
    "gap is NaN": ({}, ["--gap", "nan"], "pass a number >= 0"),
    "negative time": ({}, ["--time-limit", "-1"], "pass a number >= 0"),
    "candidates in words": ({}, ["--candidates", "some"], "pass 'all' or a number"),
    "candidates below k": ({}, ["--candidates", "1"], "candidates"),
    "JSON nowhere": ({}, ["--json", "/nowhere/out.json"], "choose another place"),
    "certificates in a file": ({}, ["--certificate", "/dev/null"], "choose another place"),
}  # fmt: skip


def refused(result, words: str) -> None:
    """Exit code 2, nothing on stdout, and one sentence on stderr that holds the words."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("optprobe: ")
    assert words in lines[0]


@pytest.mark.parametrize(("changes", "options", "words"), BAD.values(), ids=BAD)
def test_bad_input_is_refused_in_one_sentence(tmp_path, changes, options, words):
    content = {key: value for key, value in (arrays() | changes).items() if value is not None}
    path = tmp_path / "task.npz"
    np.savez(path, **content)
    cardinality = [] if "--k" in options else ["--k", "2"]
    refused(run("solve", path, *cardinality, *options), words)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("missing.npz", None, "no such file"),
        ("table.csv", b"1,2", "unknown suffix '.csv'"),
        ("broken.npz", b"PK\x03\x04", "truncated or damaged"),
        ("broken.safetensors", b"\xff" * 20, "truncated or damaged"),
    ],
)
@pytest.mark.parametrize("command", ["solve", "verify"])
def test_unusable_files_are_refused(tmp_path, data, command, name, content, words):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    if command == "solve":
        refused(run("solve", path, "--k", "1"), words)
    else:
        proofs = tmp_path / "proofs"
        run("solve", data, "--k", "1", "--certificate", proofs)
        refused(run("verify", proofs / "task.k1.npz", path), words)


PACKAGES = {
    "highs": "highspy",
    "gurobi": "gurobipy",
    "scip": "pyscipopt",
    "copt": "coptpy",
    "cplex": "cplex",
    "xpress": "xpress",
}


@pytest.mark.parametrize("name", list(BACKENDS))
def test_a_backend_that_is_not_installed_is_refused(data, monkeypatch, name):
    package = PACKAGES[name]
    monkeypatch.setitem(sys.modules, package, None)
    result = run("solve", data, "--k", "1", "--method", "oa", "--backend", name)
    refused(result, f"the backend {name} cannot run here")
    assert "pip install" in result.stderr


def test_a_problem_too_large_for_the_licence_is_refused(data, monkeypatch):
    def too_large(*positional: Any, **named: Any) -> Iterator[Result]:
        raise TooLargeError("2500 candidates exceed the licence; pass --candidates 1990")
        yield

    monkeypatch.setattr(optprobe.solver, "solve_path", too_large)
    result = run("solve", data, "--k", "1", "--method", "oa", "--backend", "highs")
    refused(result, "2500 candidates exceed the licence")


def test_a_refusal_leaves_earlier_results_alone(data, tmp_path, monkeypatch):
    def refusing(*positional: Any, **named: Any) -> Iterator[Result]:
        raise TooLargeError("too large")
        yield

    file = tmp_path / "out.json"
    file.write_text("[1]")
    assert run("solve", data, "--k", "9", "--json", file).exit_code == 2
    monkeypatch.setattr(optprobe.solver, "solve_path", refusing)
    assert run("solve", data, "--k", "1", "--json", file).exit_code == 2
    assert file.read_text() == "[1]"
    assert {path.name for path in tmp_path.iterdir()} == {"out.json", "task.npz"}


def test_an_interruption_before_the_first_result_leaves_an_empty_list(data, tmp_path, monkeypatch):
    def interrupted(*positional: Any, **named: Any) -> Iterator[Result]:
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(optprobe.solver, "solve_path", interrupted)
    file = tmp_path / "out.json"
    assert run("solve", data, "--k", "1", "--json", file).exit_code == 3
    assert solved(file) == []


def test_a_refusal_shows_no_traceback(tmp_path):
    command = [sys.executable, "-m", "optprobe.cli", "solve", str(tmp_path / "no.npz"), "--k", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    told = "no such file; give the path of a .npz or .safetensors file that holds X and y"
    assert done.stderr == f"optprobe: {tmp_path / 'no.npz'}: {told}\n"


def test_a_proof_does_not_hold_for_other_data(data, tmp_path):
    proofs = tmp_path / "proofs"
    run("solve", data, "--k", "2", "--certificate", proofs)
    content = arrays()
    content["y"][0] *= -1
    other = tmp_path / "other.npz"
    np.savez(other, **content)
    result = run("verify", proofs / "task.k2.npz", other)
    assert result.exit_code == 1
    assert "does not hold" in result.stdout
    assert "certified" not in result.stdout


def test_a_changed_claim_does_not_hold(data, tmp_path):
    proofs = tmp_path / "proofs"
    run("solve", data, "--k", "2", "--certificate", proofs)
    path = proofs / "task.k2.npz"
    with np.load(path) as loaded:
        content = {key: loaded[key] for key in loaded.files}
    header = json.loads(content["header"].tobytes())
    header["lower"] = header["upper"]
    content["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    np.savez(path, **content)
    result = run("verify", path, data)
    assert result.exit_code == 1
    assert "does not hold" in result.stdout


def test_missing_and_broken_certificates_are_refused(data, tmp_path):
    refused(run("verify", tmp_path / "none.npz", data), "no such file")
    broken = tmp_path / "broken.npz"
    broken.write_bytes(b"nothing")
    refused(run("verify", broken, data), "cannot be read as a certificate")


def test_backends_are_listed_with_what_to_do():
    result = run("backends")
    assert result.exit_code == 0
    for name in ("native", *BACKENDS):
        assert name in result.stdout
    assert "pip install" in result.stdout


def test_version():
    assert run("--version").stdout == f"optprobe {__version__}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("3", [3]), ("1:4", [1, 2, 3, 4]), ("1,2,4", [1, 2, 4]), ("8,1:3,2", [1, 2, 3, 8])],
)
def test_k_ranges(text, expected):
    assert parse_ks(text) == expected


@pytest.mark.parametrize("text", ["", "1:", ":3", "1:2:3", "1;2", "1.5"])
def test_other_k_ranges_are_refused(text):
    with pytest.raises(ValueError, match="pass a number"):
        parse_ks(text)


def test_candidates():
    assert parse_candidates("all") is None
    assert parse_candidates("50") == 50


HEAVY = ("torch", "sklearn", "scipy", "matplotlib", "highspy", "gurobipy", "pandas", "safetensors")


def imported(*arguments: str) -> set[str]:
    """Packages that a command has imported when it ends."""
    script = (
        "import sys\n"
        "from optprobe.cli import app\n"
        "try:\n"
        "    app(sys.argv[1:])\n"
        "except SystemExit as end:\n"
        "    assert not end.code, end.code\n"
        "sys.stderr.write(' '.join(sorted({name.split('.')[0] for name in sys.modules})))\n"
    )
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def test_help_imports_no_array_library():
    assert not imported("--help") & {"numpy", "jaxtyping", *HEAVY}


def test_solve_and_verify_import_what_they_need_alone(data, tmp_path):
    proofs = str(tmp_path / "proofs")
    solving = imported("solve", str(data), "--k", "1:2", "--certificate", proofs)
    assert not solving & set(HEAVY)
    checking = imported("verify", f"{proofs}/task.k2.npz", str(data))
    assert not checking & set(HEAVY)


def test_demo_writes_its_findings(tmp_path, monkeypatch):
    from optprobe import demo

    monkeypatch.setattr(demo, "KS", (1, 2))
    out = tmp_path / "demo"
    result = run("demo", "--out", out)
    assert result.exit_code == 0, result.output
    assert (out / "heuristic_vs_exact.png").read_bytes().startswith(b"\x89PNG")
    records = solved(out / "results.json")
    assert [entry["k"] for entry in records] == [1, 2]
    for entry in records:
        assert set(entry) == KEYS | {"heuristics"}
        assert entry["verified"]["gap"] <= 1e-4 + 1e-9
        for rival in entry["heuristics"].values():
            assert len(rival["support"]) == entry["k"]
            assert rival["objective"] >= entry["verified"]["lower"]
        assert Path(entry["certificate"]["path"]).is_file()
    assert "Certified for k = 1, 2" in result.stdout
    assert "out of all 1536 neurons" in result.stdout
    for name in records[0]["heuristics"]:
        assert name in result.stdout


def test_demo_calls_nothing_exact_that_was_stopped(tmp_path, monkeypatch):
    from optprobe import demo
    from optprobe.result import Limits

    monkeypatch.setattr(demo, "KS", (4,))
    monkeypatch.setattr(demo, "LIMITS", Limits(gap=0.0, time_s=0.0))
    out = tmp_path / "demo"
    result = run("demo", "--out", out)
    assert result.exit_code == 3
    (entry,) = solved(out / "results.json")
    assert entry["status"] == "feasible"
    assert {rival["regret"] for rival in entry["heuristics"].values()} == {None}
    assert "best of the search" in result.stdout
    assert "exact support" not in result.stdout
    assert "k = 4 stopped before that (time): the certified gap is" in result.stdout
