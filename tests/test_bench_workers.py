"""A benchmark's worker whose solver misbehaves takes nothing else down."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from bench_runs import GRID, MACHINE, TINY, records, text_file

from optprobe.bench import table
from optprobe.bench.grid import instances
from optprobe.bench.processes import THREAD_VARIABLES, Process
from optprobe.bench.report.summary import summarise
from optprobe.bench.runner import Folder, execute
from optprobe.bench.runs import Run, Settings, plan
from optprobe.bench.specs import parse_solver

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


def test_jobs_side_by_side_give_the_same_answers(tmp_path, quick):
    settings = Settings(time_limit=20.0)
    runs = plan(
        instances(str(text_file(tmp_path / "grid.toml", GRID))),
        [parse_solver("native")],
        1,
        settings,
    )
    found: list[dict[str, dict[str, Any]]] = []
    lines: list[str] = []
    for jobs in (1, 2):
        folder = Folder(tmp_path / str(jobs), settings)
        lines.clear()
        assert execute(runs, folder, worker=quick("honest"), jobs=jobs, log=lines.append)
        found.append(records(folder.path))
    alone, beside = found
    assert alone.keys() == beside.keys()
    for name, record in beside.items():
        assert record["support"] == alone[name]["support"]
        assert record["objective"] == alone[name]["objective"]
    assert len(lines) == 2
    assert lines[1].startswith("2/2 ")
