"""The native engine against brute force, its limits, its path and its certificates."""

from __future__ import annotations

import math
import os
import signal
import threading
from itertools import pairwise

import numpy as np
import pytest
from instances import brute_force, random_problem

from optprobe import Limit, Limits, Problem, Status, progress
from optprobe.engine import incumbent, native, tree
from optprobe.engine.native import WarmStart, branch_and_bound
from optprobe.heuristics.fits import Incumbent
from optprobe.progress import TracePoint
from optprobe.run import Method
from optprobe.solver import solve, solve_path

GAP = 2e-7


def hard_problem(
    n: int = 400, d: int = 60, k: int = 5, lam: float = 1e-3, loss: str = "logistic"
) -> Problem:
    """Correlated columns and a weak ridge: far from closed at the root."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 6)) @ rng.standard_normal((6, d)) + rng.standard_normal((n, d))
    y = X[:, :8].sum(axis=1) + 3.0 * rng.standard_normal(n) > 0
    return Problem.of(X, y, k=k, lam=lam, loss=loss)


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("leaf", [1, tree.ENUMERATE], ids=["deep tree", "enumeration"])
def test_equals_brute_force(seed: int, leaf: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "ENUMERATE", leaf)
    monkeypatch.setattr(tree, "HINGE_ENUMERATE", leaf)
    problem = random_problem(1000 + seed)
    result = solve(problem, limits=Limits(gap=GAP))
    optimum = brute_force(problem)
    assert result.objective == pytest.approx(optimum.value, rel=1e-7)
    assert result.status is Status.OPTIMAL
    assert result.limit is None
    assert result.verified is not None
    assert result.verified.lower <= optimum.value * (1 + 1e-12)
    assert result.verified.upper >= optimum.lower * (1 - 1e-12)
    assert result.verified.gap <= 1.1 * GAP


def test_the_path_equals_single_solves() -> None:
    problem = hard_problem(n=150, d=14, lam=0.03)
    path = list(solve_path(problem, [1, 2, 3, 4], limits=Limits(gap=1e-6)))
    for result in path:
        alone = solve(problem.with_k(result.k), limits=Limits(gap=1e-6))
        assert result.objective == pytest.approx(alone.objective, rel=1e-9)
        assert result.support.tolist() == alone.support.tolist()
    objectives = [result.objective for result in path]
    assert objectives == sorted(objectives, reverse=True)


def test_same_input_same_answer_and_proof() -> None:
    problem = hard_problem(n=200, d=25, k=3)
    first, second = solve(problem), solve(problem)
    assert first.certificate is not None
    assert second.certificate is not None
    assert first.nodes == second.nodes
    for name, array in first.certificate.arrays.items():
        assert np.array_equal(array, second.certificate.arrays[name]), name


@pytest.mark.parametrize(
    ("limits", "limit"),
    [
        (Limits(time_s=0.0), Limit.TIME),
        (Limits(nodes=3), Limit.NODES),
        (Limits(memory_bytes=2000), Limit.MEMORY),
    ],
)
def test_a_limit_leaves_a_valid_incumbent_and_bound(limits: Limits, limit: Limit) -> None:
    problem = hard_problem()
    result = solve(problem, limits=limits)
    full = solve(problem.with_k(2), limits=Limits())
    assert result.status is Status.FEASIBLE
    assert result.limit is limit
    assert result.verified is not None
    assert result.verified.gap > 0.0
    assert result.verified.lower == pytest.approx(result.claimed.lower)
    assert result.objective <= full.objective  # k = 5 cannot be worse than k = 2
    assert len(result.support) == problem.k


def test_ctrl_c_returns_the_incumbent_with_its_bound() -> None:
    problem = hard_problem()
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    results = list(solve_path(problem, [5, 6], limits=Limits(time_s=60)))
    timer.join()
    assert [result.k for result in results] == [5]
    assert results[0].limit is Limit.INTERRUPTED
    assert results[0].verified is not None
    assert results[0].verified.lower <= results[0].objective
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_progress_lines_show_a_shrinking_gap() -> None:
    lines: list[str] = []
    solve(hard_problem(n=200, d=25, k=3), log=lines.append)
    heads = ["nodes", "open", "fitted", "ahead", "left", "incumbent", "bound", "gap", "time"]
    assert lines[0].split() == heads
    shown = [line.lstrip("*").split() for line in lines[1:]]
    bounds = [float(line[6]) for line in shown]
    assert bounds == sorted(bounds)
    assert float(shown[0][3]) <= math.comb(25, 3)  # supports that the root's screening leaves
    assert (shown[-1][1], shown[-1][3]) == ("0", "0.0e+00")  # nothing is left open


def test_progress_lines_come_in_the_middle_of_a_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "INTERVAL_S", 0.0)
    monkeypatch.setattr(tree, "FIT_CHUNK", 5)
    lines: list[str] = []
    result = solve(hard_problem(n=200, d=25, k=3), log=lines.append)
    shown = [line.lstrip("*").split() for line in lines[1:]]
    fitted = [int(line[2]) for line in shown if int(line[0]) == 1]
    assert sum(fits < more for fits, more in pairwise(fitted)) > 1
    assert result.status is Status.OPTIMAL


def test_nodes_of_a_batch_stay_open_once_time_is_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """None is begun: a node of many columns takes seconds."""
    monkeypatch.setattr(tree.Search, "out_of_time", lambda search: True)
    monkeypatch.setattr(tree.Search, "leaf", lambda *_: pytest.fail("begun"))
    result = solve(hard_problem(), limits=Limits(nodes=3))
    assert result.nodes == 3
    assert result.verified is not None
    assert result.verified.lower <= result.objective


def test_candidates_restrict_the_scope_and_say_so() -> None:
    problem = hard_problem(n=200, d=25, k=3)
    some = solve(problem, candidates=8)
    whole = solve(problem)
    assert (some.scope, some.candidates) == ("these candidates", 8)
    assert (whole.scope, whole.candidates) == ("all columns", 25)
    assert some.certificate is not None
    assert set(some.support) <= set(some.certificate.arrays["scope"])
    assert some.objective >= whole.objective


def test_a_gap_finer_than_the_arithmetic_is_reported_as_stalled() -> None:
    result = solve(random_problem(7, loss="hinge"), limits=Limits(gap=0.0))
    assert result.status is Status.FEASIBLE
    assert result.limit is Limit.STALLED
    assert result.verified is not None
    assert result.verified.gap < 1e-6


def test_k_of_all_usable_columns_and_duplicates() -> None:
    rng = np.random.default_rng(3)
    X = rng.standard_normal((50, 4))
    X[:, 3] = X[:, 0]
    y = X[:, 0] + rng.standard_normal(50) > 0
    problem = Problem.of(X, y, k=4, lam=0.1)
    result = solve(problem, limits=Limits(gap=GAP))
    assert result.objective == pytest.approx(brute_force(problem).value, rel=1e-9)


def test_all_weight_on_two_rows() -> None:
    rng = np.random.default_rng(4)
    X = rng.standard_normal((20, 5))
    y = np.arange(20) % 2 == 0
    weights = np.zeros(20)
    weights[[0, 1]] = 1.0
    for loss in ("logistic", "hinge", "squared_hinge"):
        problem = Problem.of(X, y, k=2, lam=0.1, loss=loss, weights=weights)
        result = solve(problem, limits=Limits(gap=GAP))
        assert result.objective == pytest.approx(brute_force(problem).value, rel=1e-7)
        assert result.verified is not None


def test_a_larger_k_finds_what_memory_holds() -> None:
    problem = hard_problem(n=150, d=14, lam=0.03)
    warm = WarmStart()
    columns = problem.usable
    for k in (1, 2, 3):
        outcome = branch_and_bound(problem.with_k(k), columns, Limits(), warm=warm)
        assert outcome.limit is None
    assert [len(support) for support in warm.supports] == [1, 2, 3]
    assert len(warm.points) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "magic"}, "choose one of bnb, oa, oa-plain, compact"),
        ({"backend": "highs"}, "bnb needs no solver"),
        ({"candidates": 2}, "keep at least k columns"),
        ({"threads": 0}, "pass at least 1"),
        ({"formulation": "big_m"}, "belongs to method 'compact'"),
        ({"method": "compact"}, "which needs one"),
        ({"method": "oa", "backend": "abacus"}, "choose one of highs, gurobi"),
    ],
)
def test_wrong_calls_say_what_to_do(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        solve(hard_problem(k=3, n=100, d=10), **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("labels", [("no", "yes"), (False, True), (3, 7)])
def test_the_probe_predicts_in_the_callers_labels(labels: tuple[object, object]) -> None:
    rng = np.random.default_rng(5)
    X = rng.standard_normal((80, 6))
    positive = X[:, 2] > 0.3
    y = np.where(positive, labels[1], labels[0])
    result = solve(Problem.of(X, y, k=1, lam=0.01, test=np.arange(80) >= 60))
    assert result.probe.names == ("2",)
    predicted = result.probe.predict(X)
    assert set(predicted.tolist()) == set(labels)
    assert (predicted == y).mean() > 0.9
    with pytest.raises(ValueError, match="pass rows x 6 columns"):
        result.probe.predict(X[:, :5])


def test_a_refused_certificate_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that overstates its bound is caught, said aloud, and its support still returned."""
    monkeypatch.setattr(tree.Search, "lower", property(lambda search: search.cutoff + 1e-3))
    with pytest.warns(RuntimeWarning, match="refused the certificate for k=3: node"):
        result = solve(hard_problem(n=100, d=10, k=3))
    assert result.verified is None
    assert len(result.support) == 3


@pytest.mark.parametrize("method", ["bnb", "oa", "oa-plain"])
def test_the_trace_narrows_to_the_claim(method: Method) -> None:
    """Upper bounds fall, lower bounds rise, seconds pass; `observe` was told every point."""
    told: list[TracePoint] = []
    problem = hard_problem(n=100, d=14, k=4)
    result = solve(problem, method=method, observe=told.append)
    assert result.trace == tuple(told)
    assert len(told) > 1
    for before, after in pairwise(told):
        assert before.seconds <= after.seconds
        assert after.upper <= before.upper
        assert after.lower >= before.lower - 1e-12
        assert before.lower <= result.objective <= before.upper * (1.0 + 1e-9)
    assert told[-1].upper == pytest.approx(result.objective, rel=1e-9)


@pytest.mark.parametrize("method", ["bnb", "oa"])
def test_threads_change_nothing_but_the_time(method: Method) -> None:
    results = [solve(hard_problem(n=100, d=12, k=3), method=method, threads=t) for t in (1, 2)]
    assert results[0].support.tolist() == results[1].support.tolist()
    assert results[0].claimed == results[1].claimed
    assert results[0].nodes == results[1].nodes


@pytest.mark.parametrize("loss", ["logistic", "hinge"])
def test_a_start_is_begun_from(loss: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With greedy and the swaps of no use, the incumbent before any node is the start's."""
    problem = hard_problem(n=100, d=12, k=3, loss=loss)
    best = solve(problem).support
    worst = Incumbent(np.array([0, 1, 2]), np.zeros(3), 0.0, 1e3)
    monkeypatch.setattr(incumbent, "greedy", lambda *_: worst)
    monkeypatch.setattr(incumbent, "swap", lambda matrix, rows, found, *_: found)
    monkeypatch.setattr(native, "rounded", lambda *_: worst)
    blind = solve(problem, limits=Limits(nodes=0), check=False)
    led = solve(problem, start=[best], limits=Limits(nodes=0), check=False)
    assert led.support.tolist() == best.tolist()
    assert led.objective < blind.objective


def test_the_hinge_is_helped_once_when_its_search_takes_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever the heuristics answer, a support of columns that are proven out is not taken."""
    problem = hard_problem(n=100, d=16, k=3, loss="hinge")
    best = solve(problem)
    asked: list[int] = []

    def helped(*given: object) -> Incumbent:
        asked.append(len(asked))
        return Incumbent(np.array([0, 1, 15]), np.zeros(3), 0.0, 0.0)

    monkeypatch.setattr(native, "first_incumbent", helped)
    assert solve(problem).objective == best.objective
    assert not asked
    monkeypatch.setattr(tree, "PATIENCE", 1)
    found = solve(problem)
    assert asked == [0]
    assert found.objective == best.objective


def test_a_start_outside_the_columns_is_refused() -> None:
    with pytest.raises(ValueError, match="start holds column 99"):
        solve(hard_problem(n=100, d=12, k=3), start=[np.array([0, 99])])
