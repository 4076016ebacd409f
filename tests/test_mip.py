"""Outer approximation and the solvers behind it: optimum, claims, limits, and how each fails."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from instances import brute_force, random_problem

from optprobe.bounds import dual_points, sum_of_largest
from optprobe.losses import LOSSES
from optprobe.matrix import DenseMatrix
from optprobe.mip.backends import BACKENDS, backend_table, get_backend
from optprobe.mip.backends.base import (
    Availability,
    Capability,
    Cut,
    Evaluation,
    LicenceError,
    Master,
    MipResult,
    NotInstalledError,
    TooLargeError,
)
from optprobe.mip.cuts import CutPool, scaled
from optprobe.mip.descent import descend
from optprobe.mip.outer_approximation import outer_approximation
from optprobe.mip.root import Root
from optprobe.problem import Problem
from optprobe.result import Limit, Limits, Status
from optprobe.support import Rows

PACKAGES = {"highs": "highspy", "gurobi": "gurobipy"}
"""Backend -> the Python package it needs."""


@pytest.fixture(params=list(BACKENDS))
def backend(request: pytest.FixtureRequest) -> str:
    """Every registered backend whose package is here."""
    pytest.importorskip(PACKAGES[request.param])
    return request.param


def hard_problem(k: int = 6, d: int = 40) -> Problem:
    """Weakly regularised noise: far from closed after a few seconds."""
    rng = np.random.default_rng(7)
    X = rng.standard_normal((200, d))
    y = X[:, :10].sum(axis=1) + 2.0 * rng.standard_normal(200) > 0.0
    return Problem.of(X, y, k=k, lam=1e-3)


# ------------------------------------------------------------------ the optimum


@pytest.mark.parametrize("seed", range(1000, 1040))
def test_optimum_is_brute_force(backend: str, seed: int) -> None:
    problem = random_problem(seed)
    optimum = brute_force(problem)
    found = outer_approximation(
        problem, problem.usable, backend=backend, limits=Limits(gap=1e-8), seed=seed
    )
    assert found.status is Status.OPTIMAL
    assert found.limit is None
    assert found.objective == pytest.approx(optimum.value, rel=1e-7)
    assert found.claimed.lower <= optimum.value * (1.0 + 1e-9)
    assert found.claimed.upper >= optimum.lower * (1.0 - 1e-12)
    assert len(found.support) <= problem.k
    again = problem.objective(found.support, found.beta, found.intercept)
    assert again == found.objective


@pytest.mark.parametrize("loss", LOSSES)
def test_root_phase_leaves_the_optimum_to_the_solver(
    backend: str, loss: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the root phase the solver alone finds the optimum, whatever the cuts it gets."""
    monkeypatch.setattr(Root, "solve", lambda *_: None)
    for seed in range(2000, 2004):
        problem = random_problem(seed, loss)
        optimum = brute_force(problem)
        found = outer_approximation(
            problem, problem.usable, backend=backend, limits=Limits(gap=1e-8)
        )
        assert found.objective == pytest.approx(optimum.value, rel=1e-7)
        assert found.claimed.lower <= optimum.value * (1.0 + 1e-9)
        assert found.claimed.gap <= 1.01e-8


def test_plain_scheme_finds_the_optimum_too(backend: str) -> None:
    problem = random_problem(3000, "logistic")
    found = outer_approximation(problem, problem.usable, backend=backend, plain=True)
    assert found.objective == pytest.approx(brute_force(problem).value, rel=1e-4)
    assert "fractional_cuts" not in found.statistics or not found.statistics["fractional_cuts"]


def test_candidates_are_the_scope(backend: str) -> None:
    problem = random_problem(3001, "logistic").with_k(2)
    columns = problem.usable[[3, 0, 2]]
    found = outer_approximation(problem, columns, backend=backend, limits=Limits(gap=1e-8))
    assert set(found.support) <= set(columns)
    best = min(
        outer_approximation(problem, np.array(pair), backend=backend).objective
        for pair in combinations(columns, 2)
    )
    assert found.objective == pytest.approx(best, rel=1e-7)


def test_fewer_candidates_than_k(backend: str) -> None:
    problem = random_problem(3002).with_k(3)
    found = outer_approximation(problem, problem.usable[:2], backend=backend)
    assert found.support.tolist() == problem.usable[:2].tolist()
    assert found.status is Status.OPTIMAL


def test_the_same_seed_gives_the_same_answer(backend: str) -> None:
    problem = hard_problem(k=3, d=12)
    runs = [outer_approximation(problem, problem.usable, backend=backend, seed=5) for _ in range(2)]
    assert runs[0].claimed == runs[1].claimed
    assert runs[0].nodes == runs[1].nodes
    assert len(runs[0].points) == len(runs[1].points)


# ------------------------------------------------------------------ cuts and fixings


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), data=st.data())
def test_every_cut_bounds_every_support(seed: int, data: st.DataObject) -> None:
    """Cuts at supports and at fractional points, shifted, scaled and tightened."""
    problem = random_problem(seed)
    rows = Rows(problem.y, problem.weights, problem.loss, problem.lam)
    matrix = problem.matrix.restrict(problem.usable)
    p = len(problem.usable)
    pool = CutPool(matrix, rows)
    s = np.array(data.draw(st.lists(st.floats(0.0, 1.0), min_size=p, max_size=p)))
    cuts = [pool.at_fraction(s), pool.at_support(np.array([0, p - 1])).cut]
    supports = list(combinations(range(p), min(problem.k, 3)))
    truth = np.array([pool.at_support(np.array(S)).objective for S in supports])
    floor, scale, none = 0.9 * float(truth.min()), 0.3, np.empty(0, int)
    for cut in cuts:
        row = scaled(cut, floor, scale, none, np.arange(p), tighten=True)
        for support, value in zip(supports, truth, strict=True):
            at = np.isin(np.arange(p), support).astype(float)
            assert cut.at(at) <= value * (1.0 + 1e-9) + 1e-12
            assert row.at(at) <= (value - floor) / scale + 1e-9


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000))
def test_root_keeps_every_better_support(seed: int) -> None:
    problem = random_problem(seed)
    rows = Rows(problem.y, problem.weights, problem.loss, problem.lam)
    matrix = problem.matrix.restrict(problem.usable)
    root = Root(CutPool(matrix, rows), problem.k)
    root.solve([], 0.0, lambda: False)
    optimum = brute_force(problem)
    assert min(root.lower, root.best.objective) <= optimum.value * (1.0 + 1e-9)
    if root.best.objective > optimum.value * (1.0 + 1e-7):
        inside = np.isin(problem.usable, optimum.support)
        assert inside[root.forced].all()
        assert not inside[~(root.forced | root.free)].any()


@given(seed=st.integers(0, 10_000), k=st.integers(1, 4))
def test_descent_ends_where_no_swap_helps(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    value, gain = rng.uniform(1, 2, 12), rng.uniform(0, 1, (12, 7))
    support, rated = descend(value, gain, rng.permutation(7)[: rng.integers(0, k + 1)], k)

    def m(chosen: np.ndarray) -> float:
        return float((value - gain[:, chosen].sum(axis=1)).max())

    assert len(np.unique(support)) == k
    assert rated == pytest.approx(m(support))
    for leaving in support:
        for entering in np.setdiff1d(np.arange(7), support):
            swapped = np.append(support[support != leaving], entering)
            assert m(swapped) >= rated - 1e-9


# ------------------------------------------------------------------ limits


@pytest.mark.parametrize(
    ("limits", "limit"),
    [
        (Limits(time_s=0.0), Limit.TIME),
        (Limits(time_s=1.0), Limit.TIME),
        (Limits(nodes=3), Limit.NODES),
    ],
    ids=["no time", "time", "nodes"],
)
def test_a_limit_is_a_result(backend: str, limits: Limits, limit: Limit) -> None:
    problem = hard_problem()
    found = outer_approximation(problem, problem.usable, backend=backend, limits=limits)
    assert found.status is Status.FEASIBLE
    assert found.limit is limit
    assert 0.0 <= found.claimed.lower < found.claimed.upper
    assert found.claimed.upper == problem.objective(found.support, found.beta, found.intercept)


def test_bounds_at_a_limit_hold_the_optimum(backend: str) -> None:
    problem = hard_problem(k=3, d=12)
    optimum = brute_force(problem)
    for nodes in (0, 1, 5, 20):
        found = outer_approximation(
            problem, problem.usable, backend=backend, limits=Limits(gap=1e-8, nodes=nodes)
        )
        assert found.claimed.lower <= optimum.value <= found.claimed.upper * (1.0 + 1e-9)


def test_ctrl_c_returns_the_incumbent_and_its_bound(backend: str) -> None:
    problem = hard_problem()
    before = signal.getsignal(signal.SIGINT)
    timer = threading.Timer(0.8, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    found = outer_approximation(problem, problem.usable, backend=backend, limits=Limits(time_s=20))
    timer.join()
    assert found.limit is Limit.INTERRUPTED
    assert 0.0 < found.claimed.lower < found.claimed.upper
    assert signal.getsignal(signal.SIGINT) is before


def test_keyboard_interrupt_in_the_caller_s_code_is_an_interruption(backend: str) -> None:
    problem, lines = hard_problem(), []

    def log(line: str) -> None:
        lines.append(line)
        if len(lines) == 2:
            raise KeyboardInterrupt

    found = outer_approximation(problem, problem.usable, backend=backend, log=log)
    assert found.limit is Limit.INTERRUPTED
    assert found.claimed.lower > 0.0


# ------------------------------------------------------------------ starts and progress


def test_start_is_used(backend: str) -> None:
    """The core begins from it, numbered in columns of X; what is no candidate is left out."""
    problem = hard_problem(k=3, d=12)
    support = np.array(brute_force(problem).support)
    columns = np.union1d(support, [8, 10, 11])
    lines: list[str] = []
    found = outer_approximation(
        problem,
        columns,
        backend=backend,
        start=[support, np.array([0, 9, 11, 3, 5])],
        log=lines.append,
    )
    assert found.support.tolist() == support.tolist()
    assert f"incumbent {found.objective:.7f}" in lines[0]
    assert all(word in lines[0] for word in ("nodes", "bound", "gap"))


def test_mip_start_reaches_the_solver(backend: str) -> None:
    master, table = small_master()
    start = np.array([0, 1, 2])
    answer = run_backend(backend, master, table, start=start)
    if Capability.MIP_START in get_backend(backend).capabilities:
        assert answer.supports[0].tolist() == start.tolist()
    assert answer.lower == pytest.approx(table.optimum, abs=1e-7)
    assert answer.limit is None


def test_no_solver_when_the_root_closes_the_gap(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(get_backend(backend)), "solve", None)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((80, 10))
    problem = Problem.of(X, X[:, 0] + 0.5 * X[:, 4] > 0, k=2, lam=1.0)
    found = outer_approximation(problem, problem.usable, backend=backend)
    assert found.status is Status.OPTIMAL
    assert found.nodes == 0
    assert found.objective == pytest.approx(brute_force(problem).value, rel=1e-4)


def test_dual_points_are_in_columns_of_x(backend: str) -> None:
    """Each stands for a bound on the optimum, recomputed here from the whole matrix."""
    problem = random_problem(3003, "logistic")
    found = outer_approximation(problem, problem.usable, backend=backend)
    optimum = brute_force(problem)
    matrix = DenseMatrix(problem.data.columns(problem.usable, problem.data.train))
    for point in found.points:
        assert np.isin(point.columns, problem.usable).all()
        columns = problem.data.columns(point.columns, problem.data.train)
        dual = problem.loss.dual(problem.y * (point.beta @ columns + point.intercept))
        bound = dual_points(
            matrix, dual[None], problem.y, problem.weights, problem.loss, problem.lam
        )
        lower = float(bound.value[0]) - sum_of_largest(bound.gain[0], problem.k)
        assert lower <= optimum.value * (1.0 + 1e-9)


# ------------------------------------------------------------------ the protocol


class Table:
    """An oracle over a list of cuts: P(s) is their maximum."""

    def __init__(self, seed: int = 0, p: int = 12, k: int = 3) -> None:
        rng = np.random.default_rng(seed)
        self.value, self.gain = rng.uniform(1, 2, 30), rng.uniform(0, 0.5, (30, p))
        self.optimum = min(
            float((self.value - self.gain[:, list(S)].sum(axis=1)).max())
            for S in combinations(range(p), k)
        )

    def at_fraction(self, s: np.ndarray) -> Cut:
        """The largest cut at s."""
        row = int(np.argmax(self.value - self.gain @ s))
        return Cut(float(self.value[row]), self.gain[row])

    def at_support(self, support: np.ndarray) -> Evaluation:
        """The largest cut at a support."""
        s = np.isin(np.arange(self.gain.shape[1]), support).astype(float)
        cut = self.at_fraction(s)
        return Evaluation(cut, cut.at(s))


def small_master() -> tuple[Master, Table]:
    """A master with one cut of the table's thirty."""
    table = Table()
    upper = table.at_support(np.array([0, 1, 2])).objective
    return Master(3, table.value[:1], table.gain[:1], upper, 1e-7, True), table


def run_backend(
    backend: str,
    master: Master,
    oracle: Table,
    *,
    start: np.ndarray | None = None,
    limits: Limits | None = None,
    stop: Callable[[float], bool] = lambda lower: False,
) -> MipResult:
    """Call a backend as the core does."""
    return get_backend(backend).solve(
        master,
        oracle,
        mip_start=np.array([0, 1, 2]) if start is None else start,
        limits=limits or Limits(),
        seed=0,
        threads=1,
        stop=stop,
        on_progress=lambda now: None,
    )


@pytest.mark.parametrize("seed", range(8))
def test_backend_closes_a_table(backend: str, seed: int) -> None:
    table = Table(seed)
    upper = table.at_support(np.array([0, 1, 2])).objective
    for fractional in (True, False):
        master = Master(3, table.value[:1], table.gain[:1], upper, 1e-7, fractional)
        answer = run_backend(backend, master, table)
        assert answer.lower == pytest.approx(table.optimum, abs=2e-7)
        values = [table.at_support(s).objective for s in answer.supports]
        assert min(values) == pytest.approx(table.optimum, abs=2e-7)


@pytest.mark.parametrize("method", ["at_support", "stop"])
def test_an_exception_in_a_callback_comes_out(
    backend: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    master, table = small_master()

    def fail(*_: object) -> bool:
        raise ZeroDivisionError("from inside the solver")

    stop = fail if method == "stop" else lambda lower: False
    if method != "stop":
        monkeypatch.setattr(table, method, fail)
    with pytest.raises(ZeroDivisionError, match="from inside the solver"):
        run_backend(backend, master, table, stop=stop)


def test_an_exception_at_a_fractional_point_comes_out(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if Capability.LAZY_FRACTIONAL not in get_backend(backend).capabilities:
        pytest.skip(f"{backend} takes no cuts at fractional points")
    problem = hard_problem(k=3, d=12)

    def fail(*_: object) -> Cut:
        raise ZeroDivisionError("from inside the solver")

    monkeypatch.setattr(CutPool, "at_fraction", fail)
    with pytest.raises(ZeroDivisionError, match="from inside the solver"):
        outer_approximation(problem, problem.usable, backend=backend)


def test_stop_ends_the_solve(backend: str) -> None:
    master, table = small_master()
    answer = run_backend(backend, master, table, stop=lambda lower: True)
    assert answer.limit is None
    assert answer.lower <= table.optimum + 1e-7


# ------------------------------------------------------------------ what can be wrong


def test_unknown_backend_lists_the_names() -> None:
    problem = random_problem(0)
    with pytest.raises(ValueError, match="unknown backend 'abacus'; choose one of highs, gurobi"):
        outer_approximation(problem, problem.usable, backend="abacus")


@pytest.mark.parametrize("name", list(BACKENDS))
def test_missing_package_says_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, PACKAGES[name], None)
    problem = random_problem(0)
    with pytest.raises(NotInstalledError, match="pip install"):
        outer_approximation(problem, problem.usable, backend=name)
    row = {state.name: state for state in backend_table()}[name]
    assert not row.available
    assert row.reason == "not installed"
    assert "pip install" in row.how_to_get


def test_backend_table_lists_every_backend() -> None:
    table = backend_table()
    assert [state.name for state in table] == list(BACKENDS)
    for state in table:
        assert isinstance(state, Availability)
        if state.available:
            assert state.version
            assert state.licence


@pytest.mark.parametrize(
    ("columns", "message"),
    [(np.empty(0, int), "at least one candidate"), (np.array([0, 99]), "column 99 cannot be")],
)
def test_impossible_candidates(columns: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        outer_approximation(random_problem(0), columns)


def test_gurobi_size_limit_says_what_to_do() -> None:
    gurobi = pytest.importorskip("gurobipy")
    if get_backend("gurobi").available().licence.startswith("full"):
        pytest.skip("this Gurobi licence has no size limit")
    assert gurobi is not None
    rng = np.random.default_rng(0)
    problem = Problem.of(rng.standard_normal((10, 2100)), np.arange(10) % 2, k=2, lam=1e-3)
    with pytest.raises(TooLargeError, match=r"2100 candidates.*--candidates.*--backend highs"):
        outer_approximation(problem, problem.usable, backend="gurobi", plain=True)


def test_gurobi_web_licence_variables_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gurobipy")
    from optprobe.mip.backends.gurobi import environment

    class Refusing:
        """Stands for gurobipy where the licence server says no."""

        class GurobiError(Exception):
            """Its error."""

        def __init__(self) -> None:
            self.params: dict[str, object] = {}

        def Env(self, params: dict[str, object]) -> None:  # noqa: N802
            """Remember what was passed, then refuse."""
            self.params = params
            raise self.GurobiError("no")

    module = Refusing()
    with pytest.raises(LicenceError, match="GRB_WLSACCESSID"):
        environment(module)  # type: ignore[arg-type]
    assert set(module.params) == {"OutputFlag"}
    for name, value in (("WLSACCESSID", "a"), ("WLSSECRET", "b"), ("LICENSEID", "12")):
        monkeypatch.setenv(f"GRB_{name}", value)
    with pytest.raises(LicenceError):
        environment(module)  # type: ignore[arg-type]
    assert module.params["WLSACCESSID"] == "a"
    assert module.params["LICENSEID"] == 12
