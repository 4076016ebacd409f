"""Whatever stops a solve, and however Z is held, the certificate proves what the result says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from instances import brute_force, random_problem

from optprobe import Limits, Problem, Result, observations, solve, solve_path
from optprobe.matrix import dense

METHODS: list[tuple[Any, str | None]] = [("bnb", None), ("oa", "highs"), ("oa", "gurobi")]
LIMITS = {
    "no time": Limits(time_s=0.0),
    "no nodes": Limits(nodes=0),
    "one node": Limits(nodes=1),
    "no memory": Limits(memory_bytes=0),
    "a wide gap": Limits(gap=0.2),
    "no gap": Limits(gap=0.0),
}


def consistent(problem: Problem, result: Result) -> None:
    """The certificate is accepted, is about this support, and brackets the optimum."""
    optimum = brute_force(problem)
    assert result.verified is not None
    assert result.certificate is not None
    assert result.certificate.arrays["support"].tolist() == result.support.tolist()
    assert result.verified.lower <= optimum.value * (1 + 1e-12)
    assert optimum.lower * (1 - 1e-12) <= result.verified.upper
    assert result.objective <= result.verified.upper
    assert result.claimed.upper == result.objective


@pytest.mark.parametrize("method", METHODS, ids=["bnb", "highs", "gurobi"])
@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("seed", range(2000, 2006))
def test_any_limit(seed: int, limit: str, method: tuple[Any, str | None]) -> None:
    if method[1] == "gurobi":
        pytest.importorskip("gurobipy")
    problem = random_problem(seed)
    result = solve(problem, method=method[0], backend=method[1], limits=LIMITS[limit])
    consistent(problem, result)


@pytest.fixture(params=["float32", "streamed"])
def held(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Z as it would be held if it were large."""
    monkeypatch.setattr(dense, "DOUBLE_BYTES", 0)
    monkeypatch.setattr(observations, "DOUBLE_BYTES", 0)
    if request.param == "streamed":
        monkeypatch.setattr(observations, "STREAM_DOUBLE_BYTES", 0)
    return request.param


@pytest.mark.parametrize("seed", range(3000, 3018))
def test_large_matrices(seed: int, held: str) -> None:
    problem = random_problem(seed)
    path = solve_path(problem, range(1, problem.k + 1), limits=Limits(gap=1e-4))
    for result in path:
        consistent(problem.with_k(result.k), result)
        assert result.limit is None
        optimum = brute_force(problem.with_k(result.k)).value
        assert result.objective == pytest.approx(optimum, rel=1e-4)


@pytest.mark.parametrize("loss", ["logistic", "hinge", "squared_hinge"])
def test_a_tensor_is_solved_like_the_array(loss: str) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(6)
    X = rng.standard_normal((120, 12)).astype(np.float32)
    y = X[:, 1] - X[:, 4] + rng.standard_normal(120) > 0
    device = "cuda" if torch.cuda.is_available() else "cpu"
    ours = Problem.of(torch.tensor(X).to(torch.bfloat16).to(device), y, k=3, lam=0.05, loss=loss)
    result = solve(ours)
    consistent(ours, result)
    plain = solve(Problem.of(ours.data.on_host(), y, k=3, lam=0.05, loss=loss))
    assert result.support.tolist() == plain.support.tolist()
