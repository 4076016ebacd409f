"""The benchmark: what is solved, that every run is accounted for, and what the reports say."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import typer
from instances import brute_force
from typer.testing import CliRunner

from optprobe.bench import table, worker
from optprobe.bench.grid import Overrides, instances
from optprobe.bench.instances import Instance, Real, Synthetic, autoregressive
from optprobe.bench.processes import THREAD_VARIABLES, Process
from optprobe.bench.report.html import write_html
from optprobe.bench.report.summary import seconds_text, summarise
from optprobe.bench.report.text import markdown
from optprobe.bench.report.traces import gap_curve
from optprobe.bench.runner import Folder, execute
from optprobe.bench.runs import Outcome, Run, Settings, plan
from optprobe.bench.specs import available_solvers, parse_solver, parse_solvers
from optprobe.bench.statistics import (
    performance_profile,
    performance_ratios,
    share_solved,
    shifted_geometric_mean,
)
from optprobe.cli.bench import bench
from optprobe.mip.backends import BACKENDS
from optprobe.mip.backends.base import (
    BackendError,
    LicenceError,
    NotInstalledError,
    TooLargeError,
)
from optprobe.mip.compact import formulations
from optprobe.result import Bounds, Limit

APP = typer.Typer()
APP.command()(bench)

SMALL = Synthetic(60, 7, relevant=2, rho=0.5, snr=2.0, placement="equal")
TINY = Instance(SMALL, "logistic", 0.1, k=2, candidates=None, seed=0)

GRID = """
[[synthetic]]
n = 60
d = 7
relevant = 2
snr = 2
loss = ["hinge", "logistic"]
"""


def run(*arguments: object):
    return CliRunner().invoke(APP, [str(part) for part in arguments])


@pytest.fixture(scope="module")
def pq():
    """Reader of what is written; without pyarrow the command line refuses."""
    return pytest.importorskip("pyarrow.parquet")


def text_file(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


# Instances


def test_neighbouring_columns_are_correlated_as_asked():
    X = autoregressive(np.random.default_rng(0), 40_000, 5, 0.7)
    wanted = 0.7 ** np.abs(np.subtract.outer(np.arange(5), np.arange(5)))
    assert np.abs(np.cov(X.T) - wanted).max() < 0.03


@pytest.mark.parametrize("placement", ["equal", "random"])
def test_labels_come_from_the_known_support_at_the_noise_asked_for(placement):
    quiet = replace(SMALL, n=500, d=20, relevant=4, snr=1e12, placement=placement)
    held, support = quiet.activations(3), quiet.support(3)
    assert len(set(support.tolist())) == 4
    assert support.tolist() == sorted(support.tolist())
    fits = [
        np.sign(held.X[:, support] @ s)
        for s in np.array(np.meshgrid(*[[-1, 1]] * 4)).reshape(4, -1).T
    ]
    assert max(np.mean(fit == held.y) for fit in fits) == 1.0
    loud = replace(quiet, snr=0.01).activations(3)
    assert np.array_equal(loud.X, held.X)
    assert 0.3 < np.mean(loud.y == held.y) < 0.7
    assert quiet.support(3).tolist() == support.tolist()
    if placement == "equal":
        assert support.tolist() == [0, 5, 10, 15]
    else:
        assert len({tuple(quiet.support(seed)) for seed in range(5)}) > 1


def test_a_seed_makes_the_same_rows_again_and_another_makes_others():
    first, again, other = (SMALL.activations(seed) for seed in (1, 1, 2))
    assert np.array_equal(first.X, again.X)
    assert np.array_equal(first.y, again.y)
    assert not np.array_equal(first.X, other.X)


def test_ids_never_change():
    """Records of earlier versions are found by them."""
    assert TINY.id == "ar0.5-60x7-s2-snr2-logistic-lam0.1-k2-seed0-c8022917"
    assert Instance.from_json(json.loads(json.dumps(TINY.as_json()))) == TINY
    changes: list[dict[str, Any]] = [
        {"seed": 1}, {"k": 1}, {"lam": 0.1 + 1e-12}, {"candidates": 5}, {"loss": "hinge"},
        {"source": replace(SMALL, rho=0.4)}, {"source": replace(SMALL, placement="random")},
    ]  # fmt: skip
    ids = {replace(TINY, **change).id for change in changes}
    assert len(ids | {TINY.id}) == len(changes) + 1


def test_a_file_is_known_by_its_contents_not_its_folder(tmp_path):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((30, 3)), np.arange(30) % 2
    ids = set()
    for folder in ("a", "b"):
        path = tmp_path / folder / "my task|1.npz"
        path.parent.mkdir()
        np.savez(path, X=X, y=y)
        (one,) = instances(None, [path], overrides=Overrides(k=[1], lam=[1.0], candidates=["all"]))
        ids.add(one.id)
        assert one.name == "my_task_1-logistic-lam1-k1"
        assert one.problem().data.weighting == "balanced"
    assert len(ids) == 1
    np.savez(path, X=X + 1.0, y=y)
    (changed,) = instances(None, [path], overrides=Overrides(k=[1], lam=[1.0], candidates=["all"]))
    assert changed.id not in ids


# Grids and solver names


def test_a_grid_is_the_product_of_its_values(tmp_path):
    grid = text_file(
        tmp_path / "grid.toml",
        '[[synthetic]]\nn = [100, 400]\nd = 9\nrelevant = 3\nloss = ["hinge", "logistic"]\n'
        '[[real]]\nfile = "task.npz"\nlam = [1, 0.1]\nk = [1, 2]\ncandidates = "all"\n',
    )
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "task.npz", X=rng.standard_normal((30, 4)), y=np.arange(30) % 2)
    found = instances(str(grid), seeds=2)
    assert len(found) == 2 * (2 * 2 + 2 * 2) == len({one.id for one in found})
    made = [one for one in found if isinstance(one.source, Synthetic)]
    assert {(one.source.n, one.lam) for one in made} == {(100, 0.1), (400, 0.05)}
    assert {one.k for one in made} == {3}
    assert {one.problem().data.weighting for one in made} == {"uniform"}
    read = [one for one in found if isinstance(one.source, Real)]
    assert {(one.lam, one.k, one.candidates) for one in read} == {
        (1.0, 1, None), (1.0, 2, None), (0.1, 1, None), (0.1, 2, None),
    }  # fmt: skip
    other = instances(
        str(grid), overrides=Overrides(loss=["hinge"], lam=[0.5], k=[2], candidates=[3])
    )
    assert {(one.loss, one.lam, one.k, one.candidates) for one in other} == {("hinge", 0.5, 2, 3)}
    assert len(other) == 3


@pytest.mark.parametrize(
    ("grid", "count", "sizes"),
    [
        ("quick", 8, {(1000, 50, 5)}),
        ("synthetic", 8, {(1000, 50, 5), (2000, 200, 5), (4000, 500, 5), (4000, 1000, 10)}),
        ("real", 12, set()),
    ],
)
def test_packaged_grids(grid, count, sizes):
    found = instances(grid)
    assert len(found) == count
    made = [one for one in found if isinstance(one.source, Synthetic)]
    assert {(one.source.n, one.source.d, one.k) for one in made} == sizes
    assert {one.lam for one in made} == {1.0 / np.sqrt(n) for n, _, _ in sizes}


def test_solver_names():
    assert parse_solver("native").method == "bnb"
    highs, plain, compact = parse_solvers("highs, gurobi:plain,scip:perspective,highs")
    assert (highs.method, highs.backend) == ("oa", "highs")
    assert (plain.method, plain.backend) == ("oa-plain", "gurobi")
    assert (compact.method, compact.backend) == ("compact", "scip")
    assert compact.formulation == "perspective"
    names = [solver.name for solver in available_solvers()]
    assert names[:2] == ["native", "highs"]
    assert set(names) <= {"native", *BACKENDS}


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


def records(out: Path) -> dict[str, dict[str, Any]]:
    return {path.name: json.loads(path.read_text()) for path in sorted((out / "runs").iterdir())}


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


# Isolation: a worker whose solver misbehaves


MISBEHAVING = '''
"""The real worker, without its warm-up, around a solver that misbehaves when asked to."""
import os, signal, sys, time
from dataclasses import replace
from pathlib import Path
from optprobe.bench import worker
from optprobe.progress import TracePoint

real_solve, real_check = worker.solve, worker.with_verdict
how, folder = sys.argv[1:]

def solve(problem, **settings):
    if how == "honest" or how.startswith("check"):
        return real_solve(problem, **settings)
    observe = settings["observe"]
    observe(TracePoint(0.1, float("-inf"), 0.75))
    observe(TracePoint(0.2, 0.25, 0.5))
    if how == "signal":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif how == "ctrl-c":
        os.kill(os.getpid(), signal.SIGINT)
    elif how == "memory":
        bytearray(5_000_000_000)
    elif how == "abort":
        print("terminate called after throwing an instance of 'std::bad_alloc'", file=sys.stderr)
        sys.stderr.flush()
        os.abort()
    elif how == "error":
        raise RuntimeError("the matrix is blue")
    elif how == "environment":
        raise RuntimeError(" ".join(f"{k}={v}" for k, v in os.environ.items() if "THREADS" in k))
    elif how == "forever":
        if os.fork() == 0:
            Path(folder).parents[1].joinpath("child").write_text(str(os.getpid()))
        time.sleep(600)

def check(problem, result):
    if how == "check-forever":
        time.sleep(600)
    if how == "check-memory":
        bytearray(5_000_000_000)
    return real_check(problem, result)

worker.solve, worker.with_verdict, worker.warm_up = solve, check, lambda run: None
sys.exit(worker.main(folder))
'''

BRIEF = Settings(time_limit=0.5, memory_gb=3.0)


@pytest.fixture
def quick(tmp_path):
    """The command of a worker that does something, without a warm-up."""
    script = text_file(tmp_path / "misbehaving.py", MISBEHAVING)
    return lambda how: (sys.executable, str(script), how)


@pytest.fixture
def misbehave(tmp_path, quick):
    """The record of a run whose solver does something, with a grace of half a second."""
    folder = Folder(tmp_path / "out", BRIEF)

    def record(how: str, log=None) -> dict[str, Any]:
        one = Run(TINY, parse_solver("native"), 0, BRIEF)
        assert execute([one], folder, worker=quick(how), grace=0.5, log=log)
        return json.loads((folder.runs / f"{one.id}.json").read_text())

    return record


@pytest.mark.parametrize(
    ("how", "outcome", "detail"),
    [
        ("signal", "crashed", "ended by SIGSEGV"),
        ("error", "crashed", "RuntimeError: the matrix is blue"),
        ("memory", "memory", ""),
        ("abort", "memory", "ended by SIGABRT"),
        ("ctrl-c", "interrupted", ""),
    ],
)
def test_a_run_that_dies_is_recorded_as_what_it_was(misbehave, how, outcome, detail):
    record = misbehave(how)
    assert record["outcome"] == outcome
    assert detail in record["detail"]
    if how in ("signal", "error", "abort"):  # the worker could say nothing itself
        assert record["claimed"] == {"lower": 0.25, "upper": 0.5, "gap": 0.5}
        assert record["exit_code"] != 0
    if how == "error":
        assert "Traceback" in record["output"]


def gone(pid: int) -> bool:
    """Whether a process has ended; a zombie that nobody has waited for yet has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_solver_that_ignores_its_limit_is_killed_with_its_children(misbehave, tmp_path):
    record = misbehave("forever")
    assert record["outcome"] == "time"
    assert record["detail"] == "killed 1 s into its solve phase"
    assert record["claimed"] == {"lower": 0.25, "upper": 0.5, "gap": 0.5}
    assert [point["lower"] for point in record["trace"]] == [None, 0.25]
    (row,) = table.rows([record])
    assert (row["claimed_gap"], row["verified_gap"], row["support"]) == (0.5, None, None)
    child = int((tmp_path / "out" / "child").read_text())
    deadline = time.monotonic() + 5.0
    while not gone(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert gone(child)


@pytest.mark.parametrize("how", ["check-forever", "check-memory"])
def test_a_check_that_fails_leaves_the_answer(misbehave, how):
    record = misbehave(how)
    assert record["outcome"] == "solved"
    assert record["verified"] is None
    assert record["detail"].startswith("not checked: ")
    (row,) = table.rows([record])
    summary = summarise([row], MACHINE)
    assert summary.cells[TINY.id, "native"].text.endswith("*")


def test_threads_are_fixed_for_every_library(misbehave):
    detail = misbehave("environment")["detail"]
    assert all(f"{name}=1" in detail for name in THREAD_VARIABLES)


def test_ctrl_c_kills_what_runs_and_records_nothing_of_it(tmp_path, quick):
    def stop(line: str) -> None:
        raise KeyboardInterrupt

    settings = Settings(time_limit=300.0)
    folder = Folder(tmp_path / "out", settings)
    slow = Process(
        Run(TINY, parse_solver("highs"), 0, settings),
        folder.scratch / "slow",
        worker=quick("forever"),
    )
    slow.kill()
    assert slow.child.returncode == -signal.SIGKILL
    runs = plan([TINY], [parse_solver("native")], 2, settings)
    assert not execute(runs, folder, worker=quick("honest"), log=stop)
    assert len(list(folder.runs.iterdir())) == 1
    assert not folder.scratch.exists()
    assert execute(runs, folder, worker=quick("honest"))
    assert len(folder.records()) == 2


HARD = """
[[synthetic]]
n = 60
d = 7
relevant = 2

[[synthetic]]
n = 400
d = 120
relevant = 10
snr = 0.1
lam = 0.0001
"""


def test_ctrl_c_at_the_command_line_leaves_a_report(tmp_path, pq):
    grid = text_file(tmp_path / "grid.toml", HARD)
    out = tmp_path / "out"
    code = "import typer; from optprobe.cli.bench import bench; typer.run(bench)"
    command = [sys.executable, "-c", code, "--grid", grid, "--solvers", "native", "--out", out]
    child = subprocess.Popen(
        [*map(str, command), "--time-limit", "500"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 60.0
    while time.monotonic() < deadline:
        under_way = list((out / "scratch").glob("*/events.jsonl"))
        if len(list((out / "runs").glob("*.json"))) == 1 and under_way:
            break
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    shown, said = child.communicate(timeout=60.0)
    assert child.returncode == 3, said
    assert len(list((out / "runs").iterdir())) == 1
    assert not (out / "scratch").exists()
    assert (out / "report.html").is_file()
    assert b"60x7" in shown
    assert b"400x120" not in shown


def test_jobs_side_by_side_give_the_same_answers(tmp_path, done, quick):
    settings = Settings(time_limit=20.0)
    folder = Folder(tmp_path / "out", settings)
    lines: list[str] = []
    runs = plan(instances(str(done.grid)), [parse_solver("native")], 1, settings)
    assert execute(runs, folder, worker=quick("honest"), jobs=2, log=lines.append)
    before = records(done.out)
    for name, record in records(folder.path).items():
        assert record["support"] == before[name]["support"]
        assert record["objective"] == before[name]["objective"]
    assert len(lines) == 2
    assert lines[1].startswith("2/2 ")


# What a result is judged as


def judged(claimed: Bounds, seconds: float, limit: Limit | None, refuted: str | None = None):
    result: Any = SimpleNamespace(refuted=refuted, limit=limit)
    one = Run(TINY, parse_solver("highs"), 0, Settings(time_limit=10.0))
    return worker.judged(one, result, claimed, seconds)


def test_outcomes_of_results():
    closed, wide = Bounds(1.0, 1.0 + 1e-5), Bounds(0.5, 1.0)
    assert judged(closed, 3.0, None) == Outcome.SOLVED
    assert judged(closed, 10.5, None) == Outcome.TIME
    assert judged(closed, 3.0, None, "a support lies below") == Outcome.REFUTED
    assert judged(wide, 10.1, Limit.TIME) == Outcome.TIME
    assert judged(wide, 3.0, Limit.MEMORY) == Outcome.MEMORY
    assert judged(wide, 3.0, Limit.INTERRUPTED) == Outcome.INTERRUPTED
    assert judged(wide, 3.0, Limit.STALLED) == Outcome.STALLED
    # The proof closed the gap that the solver left open: the solver gets no credit.
    assert judged(wide, 9.9, None) == Outcome.TIME
    assert judged(wide, 3.0, None) == Outcome.STALLED


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (TooLargeError("2001 columns"), "too_large"),
        (LicenceError("none"), "no_licence"),
        (NotInstalledError("pip install it"), "not_installed"),
        (BackendError("it failed"), "crashed"),
        (MemoryError(), "memory"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_errors_of_a_backend_are_outcomes(tmp_path, monkeypatch, error, outcome):
    def refuse(*arguments: object, **settings: object) -> None:
        raise error

    monkeypatch.setattr(worker, "solve", refuse)
    one = Run(TINY, parse_solver("highs"), 0, Settings())
    (tmp_path / "spec.json").write_text(json.dumps(one.as_json()))
    assert worker.main(str(tmp_path)) == 0
    answer = json.loads((tmp_path / "answer.json").read_text())
    assert answer["outcome"] == outcome
    assert str(error) in answer["detail"]


# Statistics


def test_shifted_geometric_mean():
    assert shifted_geometric_mean(np.array([1.0, 4.0, 16.0]), 0.0) == pytest.approx(4.0)
    assert shifted_geometric_mean(np.array([0.0, 3.0]), 1.0) == pytest.approx(1.0)
    assert shifted_geometric_mean(np.array([60.0]), 1.0) == pytest.approx(60.0)
    for bad in ([], [-1.0], [np.nan]):
        with pytest.raises(ValueError, match="pass at least one"):
            shifted_geometric_mean(np.array(bad))


def test_performance_profile_by_hand():
    times = np.array([[1.0, 6.0, np.inf, 5.0], [2.0, 2.0, np.inf, np.inf]])
    ratios = performance_ratios(times)
    assert ratios.tolist() == [[1.0, 3.0, np.inf, 1.0], [2.0, 1.0, np.inf, np.inf]]
    taus = np.array([1.0, 2.0, 2.9, 3.0, 1e9])
    assert performance_profile(ratios[0], taus).tolist() == [0.5, 0.5, 0.5, 0.75, 0.75]
    assert performance_profile(ratios[1], taus).tolist() == [0.25, 0.5, 0.5, 0.5, 0.5]
    assert [share_solved(row) for row in times] == [0.75, 0.5]
    with pytest.raises(ValueError, match="times > 0"):
        performance_ratios(np.array([[0.0], [1.0]]))


def test_gap_curve_keeps_the_best_bounds():
    trace = [
        {"seconds": 0.1, "lower": None, "upper": 4.0},
        {"seconds": 0.2, "lower": 1.0, "upper": 4.0},
        {"seconds": 0.3, "lower": 0.5, "upper": 2.0},
        {"seconds": 0.4, "lower": 2.0, "upper": 3.0},
    ]
    seconds, gaps = gap_curve(trace)
    assert seconds.tolist() == [0.2, 0.3, 0.4]
    assert gaps.tolist() == [0.75, 0.5, 0.0]


# Summaries


MACHINE = {
    "processor": "abacus", "cores": 1, "memory_gb": 1.0, "python": "3", "packages": {"numpy": "2"},
}  # fmt: skip


def row(instance: str, solver: str, outcome: str, seconds: float | None, **more: Any):
    """A row as `table.rows` makes them."""
    return {
        **dict.fromkeys(table.COLUMNS), "instance": instance, "instance_name": instance, "seed": 0,
        "solver": solver, "outcome": outcome, "solver_seconds": seconds, "time_limit": 8.0,
        "gap_asked": 1e-4, "source": "real", "rows": 9, "searched": 9, "loss": "hinge", "lam": 1.0,
        "k": 1, "verified_gap": 1e-4 if outcome == "solved" else None, **more,
    }  # fmt: skip


def test_summary_by_hand():
    rows = [
        row("a", "native", "solved", 3.0),
        row("a", "native", "solved", 1.0, repetition=1),
        row("a", "native", "time", 8.0, repetition=2, claimed_gap=0.1),
        row("b", "native", "solved", 0.0, verified_gap=None),
        row("a", "highs", "time", 8.0, claimed_gap=0.25),
        row("b", "highs", "crashed", None),
        row("c", "native", "solved", 2.0),
        row("d|<b>", "native", "refuted", 2.0, claimed_gap=0.0),
        row("d|<b>", "highs", "memory", None, claimed_gap=0.5),
    ]
    summary = summarise(rows, MACHINE)
    cells = {key: cell.text for key, cell in summary.cells.items()}
    assert cells == {
        ("a", "native"): "3 (2/3)",
        ("a", "highs"): "time, 25 %",
        ("b", "native"): "0.001*",
        ("b", "highs"): "crashed",
        ("c", "native"): "2",
        ("d|<b>", "native"): "refuted",
        ("d|<b>", "highs"): "memory",
    }
    assert summary.solvers == ["native", "highs"]
    assert summary.complete == ["a", "b", "d|<b>"]
    native, highs = summary.totals
    assert native.share == pytest.approx(2 / 3)
    assert native.mean == pytest.approx((4.0 * 1.001 * 9.0) ** (1 / 3) - 1.0)
    assert (highs.share, highs.mean) == (0.0, pytest.approx(8.0))
    assert sorted(highs.outcomes.split(", ")) == ["1 crashed", "1 memory", "1 time"]
    assert "3 of 4 instances" in markdown(summary)


def test_names_cannot_break_the_page(tmp_path):
    summary = summarise([row("<script>alert(1)</script>", "native", "solved", 1.0)], MACHINE)
    write_html(tmp_path / "page.html", summary, {})
    assert "<script" not in (tmp_path / "page.html").read_text()


def test_a_support_of_one_solver_refutes_the_bound_of_another():
    def record(solver: str, lower: float, objective: float) -> dict[str, Any]:
        run = Run(TINY, parse_solver(solver), 0, Settings())
        claimed = {"lower": lower, "upper": objective, "gap": 0.0}
        answer = {"outcome": "solved", "objective": objective, "support": [1], "claimed": claimed}
        return run.as_json() | answer

    low, liar, rounding = table.rows(
        [record("native", 0.999, 1.0), record("highs", 1.1, 1.1), record("scip", 1.0 + 1e-8, 1.0)]
    )
    assert (low["outcome"], rounding["outcome"]) == ("solved", "solved")
    assert liar["outcome"] == "refuted"
    assert "native found 1" in liar["detail"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0123, "0.012"), (0.9994, "0.999"), (1.234, "1.23"), (45.67, "45.7"), (123.4, "123")],
)
def test_seconds_show_three_digits(seconds, text):
    assert seconds_text(seconds) == text
