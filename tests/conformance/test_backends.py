"""Outer approximation on every backend: optimum, bounds, limits (see `declared.py`)."""

from __future__ import annotations

import os
import signal
import threading
from functools import cache
from itertools import combinations

import numpy as np
import pytest
from instances import Optimum, brute_force, random_problem
from masters import hard_problem

from optprobe.losses import LOSSES
from optprobe.mip.outer_approximation import outer_approximation
from optprobe.problem import Problem
from optprobe.result import Limit, Limits, Status


@cache
def small(seed: int, loss: str | None = None) -> tuple[Problem, Optimum]:
    """A random problem with its optimum."""
    problem = random_problem(seed, loss)
    return problem, brute_force(problem)


# ------------------------------------------------------------------ the optimum


@pytest.mark.usefixtures("no_root")
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("seed", range(2000, 2004))
def test_the_solver_alone_finds_the_optimum(backend: str, loss: str, seed: int) -> None:
    problem, optimum = small(seed, loss)
    found = outer_approximation(
        problem, problem.usable, backend=backend, limits=Limits(gap=1e-8), seed=seed
    )
    assert found.limit is None
    assert found.objective == pytest.approx(optimum.value, rel=1e-7)
    assert found.claimed.lower <= optimum.value * (1.0 + 1e-9)
    assert found.claimed.upper >= optimum.lower * (1.0 - 1e-12)
    assert found.claimed.gap <= 1.01e-8


def test_the_optimum_after_the_root_phase(backend: str) -> None:
    for seed in range(1000, 1012):
        problem, optimum = small(seed)
        found = outer_approximation(
            problem, problem.usable, backend=backend, limits=Limits(gap=1e-8), seed=seed
        )
        assert found.limit is None
        assert found.objective == pytest.approx(optimum.value, rel=1e-7)
        assert found.claimed.lower <= optimum.value * (1.0 + 1e-9)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_plain_scheme_finds_the_optimum_too(backend: str, loss: str) -> None:
    problem, optimum = small(3000, loss)
    found = outer_approximation(problem, problem.usable, backend=backend, plain=True)
    assert found.objective == pytest.approx(optimum.value, rel=1e-4)
    assert found.claimed.lower <= optimum.value * (1.0 + 1e-9)
    assert not found.statistics.get("fractional_cuts")


def degenerate(kind: str, loss: str) -> Problem:
    """Problems at the edge of what can be asked."""
    rng = np.random.default_rng(11)
    X = rng.standard_normal((40, 6))
    y = X[:, 0] - X[:, 3] + 0.5 * rng.standard_normal(40) > 0.0
    k, weights = 2, "balanced"
    if kind == "one row per class":
        weights = np.zeros(40)
        weights[[int(np.argmax(y)), int(np.argmin(y))]] = 1.0
    elif kind == "duplicate columns":
        X[:, 3:] = X[:, :3]
    elif kind == "constant columns":
        X[:, [1, 2, 4]] = 5.0
    elif kind == "separable":
        y = X[:, 0] > 0.0
    elif kind == "noise":
        y = np.arange(40) % 2 == 0
    elif kind == "rare class":
        y = np.arange(40) == 17
    return Problem.of(X, y, k=k, lam=1e-2, loss=loss, weights=weights)


@pytest.mark.usefixtures("no_root")
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    "kind",
    [
        "one row per class", "duplicate columns", "constant columns", "separable", "noise",
        "rare class",
    ],
)  # fmt: skip
def test_degenerate_problems(backend: str, kind: str, loss: str) -> None:
    problem = degenerate(kind, loss)
    optimum = brute_force(problem)
    found = outer_approximation(problem, problem.usable, backend=backend, limits=Limits(gap=1e-6))
    assert found.limit is None
    assert found.objective == pytest.approx(optimum.value, rel=1e-5, abs=1e-9)
    assert found.claimed.lower <= optimum.value * (1.0 + 1e-9) + 1e-12
    assert len(found.support) <= problem.k


@pytest.mark.parametrize("loss", LOSSES)
def test_k_equal_to_the_number_of_columns(backend: str, loss: str) -> None:
    problem = degenerate("separable", loss).with_k(6)
    found = outer_approximation(problem, problem.usable, backend=backend, limits=Limits(gap=1e-6))
    assert found.limit is None
    assert found.objective == pytest.approx(brute_force(problem).value, rel=1e-5)


@pytest.mark.parametrize("count", [1, 2])
def test_no_more_candidates_than_k(backend: str, count: int) -> None:
    problem = random_problem(3002).with_k(2)
    found = outer_approximation(problem, problem.usable[:count], backend=backend)
    assert set(found.support) <= set(problem.usable[:count])
    assert found.limit is None


@pytest.mark.usefixtures("no_root")
def test_candidates_are_the_scope(backend: str) -> None:
    problem = random_problem(3001, "logistic").with_k(2)
    columns = problem.usable[[3, 0, 2, 1]]
    found = outer_approximation(problem, columns, backend=backend, limits=Limits(gap=1e-8))
    best = min(
        outer_approximation(problem, np.array(pair), backend=backend).objective
        for pair in combinations(columns, 2)
    )
    assert set(found.support) <= set(columns)
    assert found.objective == pytest.approx(best, rel=1e-7)


def test_the_same_seed_gives_the_same_answer(backend: str) -> None:
    problem = hard_problem(k=3, d=12)
    runs = [outer_approximation(problem, problem.usable, backend=backend, seed=5) for _ in range(2)]
    assert runs[0].claimed == runs[1].claimed
    assert runs[0].nodes == runs[1].nodes
    assert len(runs[0].points) == len(runs[1].points)


def test_several_threads(backend: str) -> None:
    problem = hard_problem(k=3, d=12)
    found = outer_approximation(problem, problem.usable, backend=backend, threads=2)
    assert found.limit is None
    assert found.objective == pytest.approx(brute_force(problem).value, rel=1e-4)


# ------------------------------------------------------------------ limits


@pytest.mark.parametrize(
    ("limits", "limit"),
    [
        (Limits(time_s=0.0), Limit.TIME),
        (Limits(time_s=0.6), Limit.TIME),
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


@pytest.mark.usefixtures("no_root")
def test_bounds_at_a_limit_hold_the_optimum(backend: str) -> None:
    problem = hard_problem(k=3, d=12)
    optimum = brute_force(problem)
    for nodes in (0, 1, 5, 20):
        found = outer_approximation(
            problem, problem.usable, backend=backend, limits=Limits(gap=1e-8, nodes=nodes)
        )
        assert found.claimed.lower <= optimum.value * (1.0 + 1e-9)
        assert optimum.value <= found.claimed.upper * (1.0 + 1e-9)


def test_ctrl_c_returns_the_incumbent_and_its_bound(backend: str) -> None:
    problem = hard_problem()
    before = signal.getsignal(signal.SIGINT)
    timer = threading.Timer(0.6, os.kill, (os.getpid(), signal.SIGINT))
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
        if len(lines) == 3:
            raise KeyboardInterrupt

    found = outer_approximation(problem, problem.usable, backend=backend, log=log)
    assert found.limit is Limit.INTERRUPTED
    assert found.claimed.lower > 0.0
