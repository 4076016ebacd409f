"""The benchmark from the command line: every run is accounted for, bad input refused."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from bench_runs import GRID, TINY, records, run, text_file
from instances import brute_force

from optprobe.bench import table
from optprobe.bench.instances import Instance
from optprobe.bench.runner import Folder
from optprobe.bench.runs import Outcome, Run, Settings
from optprobe.bench.specs import parse_solver
from optprobe.mip.backends import BACKENDS
from optprobe.mip.compact import formulations

# One run of the real thing, through the command line


@pytest.fixture(scope="module")
def done(tmp_path_factory, pq):
    folder = tmp_path_factory.mktemp("bench")
    grid = text_file(folder / "grid.toml", GRID)
    out = folder / "out"
    result = run("--grid", grid, "--solvers", "native,highs", "--time-limit", 20, "--out", out)
    return SimpleNamespace(result=result, out=out, grid=grid)


@pytest.fixture
def again(done, tmp_path):
    """A copy that may be changed."""
    out = tmp_path / "out"
    shutil.copytree(done.out, out)
    return out


def test_every_solver_finds_the_optimum_of_every_instance(done):
    assert done.result.exit_code == 0, done.result.output
    assert done.result.stderr == ""
    held = records(done.out)
    assert len(held) == 4
    for record in held.values():
        problem = Instance.from_json(record["instance"]).problem()
        best = brute_force(problem)
        assert record["outcome"] == "solved", record
        assert record["objective"] == pytest.approx(best.value, rel=2e-4)
        for kind in ("claimed", "verified"):
            assert record[kind]["lower"] <= best.value * (1 + 1e-9)
            assert record[kind]["gap"] <= 1e-4 * (1 + 1e-5)
        assert record["recovered"] == len(set(record["support"]) & {0, 3}) / 2
        assert record["solver_seconds"] + record["check_seconds"] < record["wall_seconds"]
        assert 20.0 < record["peak_memory_mb"] < 8000.0
        assert (record["rows"], record["columns"], record["searched"]) == (60, 7, 7)
        assert record["trace"][-1]["lower"] <= best.value * (1 + 1e-9)
    assert not (done.out / "scratch").exists()


def test_tables_hold_every_run_and_every_point(done, pq):
    held = records(done.out)
    results = pq.read_table(done.out / "results.parquet")
    assert results.column_names == list(table.COLUMNS)
    assert sorted(results["run"].to_pylist()) == sorted(record["run"] for record in held.values())
    assert set(results["outcome"].to_pylist()) == {"solved"}
    assert {tuple(support) for support in results["support"].to_pylist()} == {
        tuple(record["support"]) for record in held.values()
    }
    points = pq.read_table(done.out / "traces.parquet")
    assert points.num_rows == sum(len(record["trace"]) for record in held.values())


def test_reports_show_every_instance_and_stand_alone(done):
    page = (done.out / "report.html").read_text()
    text = (done.out / "report.md").read_text()
    for record in records(done.out).values():
        name = Instance.from_json(record["instance"]).name
        assert name in page
        assert name in text
        assert name in done.result.stdout
    assert page.count('src="data:image/png;base64,') == 2
    assert not re.search(r"https?://|<script|<link", page)
    for figure in ("profile.png", "traces.png"):
        assert (done.out / figure).read_bytes()[:4] == b"\x89PNG"
    facts = json.loads((done.out / "machine.json").read_text())
    assert facts["packages"]["numpy"] == np.__version__
    assert not list(done.out.glob("*.partial"))


def test_finished_runs_are_not_repeated_and_damaged_records_are(done, again):
    before = records(again)
    removed, damaged, interrupted, kept = sorted((again / "runs").iterdir())
    removed.unlink()
    damaged.write_text(damaged.read_text()[:100])
    interrupted.write_text(json.dumps(before[interrupted.name] | {"outcome": "interrupted"}))
    (again / "runs" / "x.json.partial").write_text("{")
    marked = before[kept.name] | {"detail": "mark"}
    kept.write_text(json.dumps(marked))
    arguments = ("--grid", done.grid, "--solvers", "native,highs", "--time-limit", 20)
    assert run(*arguments, "--out", again).exit_code == 0
    (again / "runs" / "x.json.partial").unlink()
    after = records(again)
    assert set(after) == set(before)
    assert after[kept.name] == marked
    assert all(record["outcome"] == "solved" for record in after.values())


def test_a_solver_that_was_not_installed_is_tried_again(tmp_path):
    settings = Settings()
    folder, one = Folder(tmp_path, settings), Run(TINY, parse_solver("highs"), 0, settings)
    again: set[str] = set()
    for outcome in Outcome:
        record = one.as_json() | {"outcome": str(outcome)}
        (folder.runs / f"{one.id}.json").write_text(json.dumps(record))
        if folder.finished(one) is None:
            again.add(str(outcome))
    assert again == {"interrupted", "not_installed"}


def test_runs_with_other_settings_do_not_mix(done, again):
    before = (again / "settings.json").read_text()
    result = run("--grid", done.grid, "--solvers", "native", "--time-limit", 21, "--out", again)
    assert result.exit_code == 2
    assert "time_limit" in result.stderr
    assert (again / "settings.json").read_text() == before
    facts = json.loads((again / "machine.json").read_text())
    (again / "machine.json").write_text(json.dumps(facts | {"processor": "abacus"}))
    result = run("--grid", done.grid, "--solvers", "native", "--time-limit", 20, "--out", again)
    assert result.exit_code == 2
    assert "processor" in result.stderr


def test_more_solvers_join_an_earlier_report(done, again, pq):
    arguments = ("--grid", done.grid, "--time-limit", 20, "--out", again)
    result = run(*arguments, "--solvers", "highs:perspective", "--loss", "logistic")
    assert result.exit_code == 0
    results = pq.read_table(again / "results.parquet").to_pylist()
    assert len(results) == 5
    (new,) = [row for row in results if row["solver"] == "highs:perspective"]
    assert new["outcome"] == "unsupported"
    assert "logistic" in new["detail"]
    assert "unsupported" in result.stdout
    assert "over the 1 of 2 instances" in result.stdout


# Refusals: one sentence, before anything runs


REFUSED = [
    (["--grid", "nothing"], "quick, synthetic, real"),
    (["--solvers", "gurobbi"], ", ".join(["native", *BACKENDS])),
    (["--solvers", "highs:big_n"], ", ".join(["plain", *formulations()])),
    (["--solvers", "native:plain"], "unknown solver"),
    (["--solvers", ","], "no solver named"),
    (["--seeds", "0"], "seeds=0"),
    (["--repeat", "0"], "repeat=0"),
    (["--jobs", "0"], "--jobs 0"),
    (["--threads", "0"], "threads=0"),
    (["--memory-gb", "0"], "memory"),
    (["--time-limit", "0"], "time limit"),
    (["--gap", "-1"], "gap"),
    (["--k", "0"], "--k 0"),
    (["--k", "8:2"], "--k 8:2"),
    (["--ridge", "weak"], "--ridge weak"),
    (["--ridge", "0"], "ridge > 0"),
    (["--loss", "huber"], "logistic"),
    (["--candidates", "none"], "--candidates none"),
    (["--candidates", "1"], "1 candidates for k=2"),
    (["--k", "9"], "exceeds the 7 columns"),
    (["missing.npz"], "no such file"),
]


@pytest.mark.parametrize(("arguments", "words"), REFUSED, ids=lambda part: " ".join(part)[:40])
def test_bad_input_is_refused_before_anything_runs(tmp_path, pq, arguments, words):
    grid = text_file(tmp_path / "grid.toml", GRID)
    out = tmp_path / "out"
    first = [] if "--grid" in arguments else ["--grid", grid]
    result = run(*first, "--solvers", "native", "--out", out, *arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("optprobe: ")
    assert not out.exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x", "not TOML"),
        ("", "holds no instance"),
        ("n = 3", "unknown key 'n'"),
        ("[[imaginary]]\nn = 3", "[[synthetic]] and [[real]]"),
        ("[[synthetic]]\nn = 60\nd = 7", "relevant must be given"),
        (GRID + "sigma = 1", "unknown key 'sigma'"),
        (GRID + 'k = "two"', "k = 'two'"),
        (GRID + "rho = 1", "rho=1"),
        (GRID + 'placement = "left"', "'equal' or 'random'"),
        ("[[synthetic]]\nn = 60\nd = 7\nrelevant = 8", "relevant=8"),
        ("[[synthetic]]\nn = 60.5\nd = 7\nrelevant = 2", "n = 60.5"),
        ('[[real]]\nlam = "1/sqrt(n)"', "synthetic rows"),
        ('[[real]]\nk = "relevant"', "synthetic rows"),
        ("[[real]]\nk = 5000\ncandidates = 'all'", "demo: k=5000"),
    ],
)
def test_bad_grids_are_refused(tmp_path, pq, text, words):
    grid = text_file(tmp_path / "grid.toml", text)
    result = run("--grid", grid, "--solvers", "native", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_output_that_is_a_file_is_refused(tmp_path, pq):
    out = text_file(tmp_path / "out", "")
    result = run(
        "--grid", text_file(tmp_path / "g.toml", GRID), "--solvers", "native", "--out", out
    )
    assert result.exit_code == 2
    assert "pass another --out" in result.stderr


def test_without_pyarrow_nothing_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    result = run("--out", tmp_path / "out")
    assert result.exit_code == 2
    assert 'pip install "optprobe[bench]"' in result.stderr
    assert not (tmp_path / "out").exists()
