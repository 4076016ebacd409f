"""What a benchmark's results are judged as, and the numbers of its reports."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from bench_runs import MACHINE, TINY

from optprobe.bench import table, worker
from optprobe.bench.report.html import write_html
from optprobe.bench.report.summary import seconds_text, summarise
from optprobe.bench.report.text import markdown
from optprobe.bench.report.traces import gap_curve
from optprobe.bench.runs import Outcome, Run, Settings
from optprobe.bench.specs import parse_solver
from optprobe.bench.statistics import (
    performance_profile,
    performance_ratios,
    share_solved,
    shifted_geometric_mean,
)
from optprobe.mip.backends.base import (
    BackendError,
    LicenceError,
    NotInstalledError,
    TooLargeError,
)
from optprobe.result import Bounds, Limit

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
