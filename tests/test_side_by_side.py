"""benchmarks/side_by_side: what is exchanged, how answers are judged, and a run from end to end."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optprobe.bench.grid import instances
from optprobe.bench.instances import Instance, Real
from optprobe.engine import pairs, pruning
from optprobe.heuristics import HEURISTICS
from optprobe.solver import solve

FOLDER = Path(__file__).parents[1] / "benchmarks" / "side_by_side"


@pytest.fixture(scope="module")
def side():
    """The modules of the folder, which no package holds."""
    names = ("compare", "exchange", "judged", "penalties")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        modules = {name: __import__(name) for name in names}
    yield SimpleNamespace(**modules)
    for name in names:
        del sys.modules[name]


# A cardinality by way of penalties

VALUES = st.lists(st.integers(1, 1000), min_size=3, max_size=12)


@given(gains=VALUES, data=st.data())
def test_penalties_find_every_size_on_the_convex_hull_and_bound_the_others(side, gains, data):
    f = np.cumsum([0.0, *gains])[::-1]  # f[k], best value with k columns
    k = data.draw(st.integers(1, len(f) - 1))
    sizes = np.arange(len(f))
    bounds: list[float] = []

    def one(penalty: float) -> Any:
        total = f + penalty * sizes
        best = int(np.argmin(total))
        found = side.penalties.Solved(best, f[best], total[best], True, best)
        bounds.append(side.penalties.bound(found, penalty, k))
        return found

    found = side.penalties.search(one, k, f[0], f[0] + 1.0)
    assert all(bound <= f[k] + 1e-6 for bound in bounds)
    below = [(f[a] - f[k]) / (k - a) for a in range(k)]
    above = [(f[k] - f[b]) / (b - k) for b in range(k + 1, len(f))]
    if found is not None:
        assert found.size == k
        assert max(bounds) == pytest.approx(f[k])
    if min(below) > max(above, default=0.0) + 1e-9:  # k is a corner of the hull
        assert found is not None


def test_a_penalty_that_is_not_solved_ends_the_search(side):
    asked: list[float] = []

    def one(penalty: float) -> Any:
        asked.append(penalty)
        return side.penalties.Solved(0, 1.0, 0.5, len(asked) < 3, None)

    assert side.penalties.search(one, 4, 1.0, 8.0) is None
    assert asked == [8.0, 8.0 * side.penalties.SHRINK, 8.0 * side.penalties.SHRINK**2]


# What passes between the environments


def test_a_task_survives_its_file(side, tmp_path):
    rng = np.random.default_rng(0)
    y = np.where(np.arange(6) % 2 > 0, 1.0, -1.0)
    weights = np.full(6, 1 / 6)
    task = side.exchange.Task(rng.standard_normal((3, 6)), y, weights, 0.1, 2, 5.0, 1e-4, 7)
    task.write(tmp_path / "task.npz")
    again = side.exchange.Task.read(tmp_path / "task.npz")
    assert np.array_equal(again.Z, task.Z)
    assert np.array_equal(again.y, y)
    assert (again.lam, again.k, again.time_limit, again.gap, again.seed) == (0.1, 2, 5.0, 1e-4, 7)
    assert isinstance(again.k, int)
    assert again.uniform
    weights[0] *= 1.01
    task.write(tmp_path / "task.npz")
    assert not side.exchange.Task.read(tmp_path / "task.npz").uniform


def test_reported_bounds_only_grow_and_the_last_line_says_why(side, capsys):
    report = side.exchange.Reporter(SimpleNamespace(time_limit=60.0))
    report.tell(-np.inf, np.array([], int))
    report.tell(0.2, np.array([1, 3]))
    report.tell(0.1, [1, 4])
    report.end("optimal")
    phase, *lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert phase == {"phase": "solve"}
    assert [line["lower"] for line in lines] == [None, 0.2, 0.2, 0.2]
    assert [line["support"] for line in lines] == [[], [1, 3], [1, 4], [1, 4]]
    assert [line["end"] for line in lines] == ["", "", "", "optimal"]
    assert 0.0 < report.left < 60.0


# Verdicts


def row(solver: str, **values: Any) -> dict[str, Any]:
    base = {
        "instance": "one", "solver": solver, "outcome": "solved", "objective": 1.0,
        "claimed_upper": 1.0, "verified_lower": None, "verified_gap": None, "gap_asked": 1e-2,
        "solver_seconds": 2.0, "time_limit": 10.0,
    }  # fmt: skip
    return base | values


def test_answers_are_judged_by_the_best_verified_bound_of_any_run(side):
    table = side.judged.with_verdicts(
        [
            row("weak", verified_lower=0.5, verified_gap=0.5, outcome="time"),
            row("strong", verified_lower=0.995, verified_gap=0.005),
            row("claims", claimed_upper=1.2, objective=1.2),
            row("flattered", objective=1.0, claimed_upper=2.0, outcome="time"),
            row("stopped", solver_seconds=10.1, outcome="time"),
            row("nothing", objective=None, claimed_upper=None, outcome="crashed"),
            row("elsewhere", instance="two"),
        ]
    )
    gaps = {one["solver"]: one["judged_gap"] for one in table}
    assert gaps["weak"] == gaps["strong"] == gaps["stopped"] == pytest.approx(0.005)
    assert gaps["claims"] == pytest.approx(0.205 / 1.2)
    assert gaps["flattered"] == pytest.approx(1.005 / 2.0)
    assert gaps["nothing"] is gaps["elsewhere"] is None
    assert {one["solver"] for one in table if one["optimal"]} == {"weak", "strong", "stopped"}
    assert [one["solver"] for one in table if side.judged.is_certified(one)] == ["strong"]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"verified_lower": 0.995, "verified_gap": 0.005}, "**2**"),
        ({}, r"**2** \*"),
        ({"outcome": "refuted", "claimed_upper": 1.5}, "**2, refuted, 34 %**"),
        ({"outcome": "no_bound"}, "2"),
        ({"outcome": "no_bound", "claimed_upper": 2.0}, "2, 50 %"),
        ({"outcome": "time", "solver_seconds": None}, "time"),
        ({"outcome": "time", "solver_seconds": None, "claimed_upper": 2.0}, "time, 50 %"),
        ({"outcome": "refuted", "solver_seconds": None}, "**refuted, 0.5 %**"),
        ({"outcome": "not_installed", "claimed_upper": None, "objective": None}, "not installed"),
    ],
)
def test_cells(side, values, text):
    reference = row("reference", verified_lower=0.995, verified_gap=0.005)
    _, judged = side.judged.with_verdicts([reference, row("x", **values)])
    assert side.judged.cell([judged]) == text
    assert side.judged.cell([]) == ""


def test_times_count_only_where_most_repetitions_are_optimal(side):
    seconds = {"a": [1.0, 3.0, np.inf], "b": [1.0, np.inf, np.inf]}
    table = [
        row(solver, solver_seconds=None if np.isinf(one) else one, optimal=bool(np.isfinite(one)))
        for solver, times in seconds.items()
        for one in times
    ]
    table.append(row("killed", solver_seconds=None, optimal=True))
    times = side.judged.times_to_optimum(table, ["one"], ["a", "b", "c", "killed"])
    assert times.tolist() == [[3.0], [np.inf], [np.inf], [10.0]]


# Names, grids and the whole of it


def test_names(side):
    assert [side.compare.parse(name).method for name in side.compare.SOLVERS.split(",")] == [
        "bnb", "oa-plain", "oa", "oa", "oa", "peer", "peer", *["heuristic"] * 4,
    ]  # fmt: skip
    assert side.compare.parse("greedy@20").method == "heuristic"
    with pytest.raises(ValueError, match=r"el0ps, sparsely, .*mean_difference"):
        side.compare.parse("el0p")
    assert set(side.judged.LABELS) <= {"native", "gurobi:plain", "gurobi", "highs", "scip",
                                       *side.compare.PEERS, *HEURISTICS}  # fmt: skip


def test_uniform_weights_make_another_instance_and_balanced_ones_keep_their_id():
    balanced = Instance(Real(None, ""), "logistic", 0.1, k=4, candidates=50, seed=0)
    uniform = Instance(Real(None, "", "uniform"), "logistic", 0.1, k=4, candidates=50, seed=0)
    assert balanced.id == "demo-p50-logistic-lam0.1-k4-seed0-e9f13378"
    assert uniform.id.startswith("demo-uniform-p50-")
    assert Instance.from_json(json.loads(json.dumps(uniform.as_json()))) == uniform
    assert {uniform.problem().data.weighting, balanced.problem().data.weighting} == {
        "uniform", "balanced",
    }  # fmt: skip
    with pytest.raises(ValueError, match="weights='heavy'"):
        Real(None, "", "heavy")  # type: ignore[arg-type]
    found = instances(str(FOLDER / "small.toml"))
    assert {one.source.weights for one in found} == {"uniform"}


def test_the_warm_up_reaches_what_is_compiled(monkeypatch):
    from optprobe.bench.worker import COMPILED

    called: list[str] = []
    loops = [(pruning, "prune"), *((pairs, name) for name in ("every", "extend", "extend_last"))]
    for module, name in loops:
        held = getattr(module, name)

        def watched(*given: Any, held: Any = held, name: str = name) -> Any:
            called.append(name)
            return held(*given)

        monkeypatch.setattr(module, name, watched)
    solve(COMPILED.problem(), threads=1, check=False)
    assert set(called) == {name for _, name in loops}


def test_heuristics_alone_are_reported_and_so_is_nothing_at_all(side, tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    grid = tmp_path / "grid.toml"
    grid.write_text("[[synthetic]]\nn = 60\nd = 7\nrelevant = 2\n")
    given = ["compare.py", "--grid", str(grid), "--solvers", "beam,beam"]
    monkeypatch.setattr(sys, "argv", [*given, "--out", str(tmp_path / "one")])
    side.compare.main()
    assert len(list((tmp_path / "one" / "runs").iterdir())) == 1
    assert "| beam | 0 of 1 | 0 of 1 |" in (tmp_path / "one" / "report.md").read_text()
    monkeypatch.setattr(side.compare, "execute", lambda *given, **options: False)
    monkeypatch.setattr(sys, "argv", [*given, "--out", str(tmp_path / "none")])
    with pytest.raises(SystemExit, match="interrupted"):
        side.compare.main()


def test_one_command_runs_judges_and_reports(side, tmp_path, monkeypatch, capsys):
    pq = pytest.importorskip("pyarrow.parquet")
    grid = tmp_path / "grid.toml"
    grid.write_text("[[synthetic]]\nn = 60\nd = 7\nrelevant = 2\nsnr = 2\n")
    out = tmp_path / "out"
    given = ["compare.py", "--grid", str(grid), "--out", str(out), "--time-limit", "20",
             "--solvers", "native,beam,el0ps",
             "--peers-python", str(tmp_path / "none")]  # fmt: skip
    monkeypatch.setattr(sys, "argv", given)
    side.compare.main()
    text = capsys.readouterr().out
    assert (out / "report.md").read_text() == text.removesuffix("\n")
    held = {row["solver"]: row for row in pq.read_table(out / "results.parquet").to_pylist()}
    assert held["native"]["outcome"] == "solved"
    assert held["beam"]["outcome"] == "no_bound"
    assert held["beam"]["objective"] >= held["native"]["verified_lower"]
    assert held["beam"]["judged_gap"] >= 0.0
    assert held["native"]["optimal"]
    assert held["el0ps"]["outcome"] == "not_installed"
    assert str(tmp_path / "none") in held["el0ps"]["detail"]
    for name in ("profile.png", "optimum.png", "traces.png"):
        assert (out / name).read_bytes()[:4] == b"\x89PNG"
