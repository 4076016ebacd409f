"""Two hundred random instances: every exact method gives the brute-force optimum, certified."""

from __future__ import annotations

import pytest
from instances import brute_force, random_problem

from optprobe import Limits, Status, solve

GAP = 2e-7
METHODS = [("bnb", None), ("oa", "highs"), ("oa", "gurobi")]


@pytest.mark.parametrize("seed", range(200))
def test_every_method_finds_and_certifies_the_optimum(seed: int) -> None:
    problem = random_problem(seed)
    optimum = brute_force(problem)
    for method, backend in METHODS:
        if backend == "gurobi":
            pytest.importorskip("gurobipy")
        result = solve(problem, method=method, backend=backend, limits=Limits(gap=GAP))  # type: ignore[arg-type]
        assert result.objective == pytest.approx(optimum.value, rel=1e-7)
        assert result.status is Status.OPTIMAL
        assert result.verified is not None
        assert result.verified.lower <= optimum.value * (1 + 1e-12)
        assert result.verified.upper >= optimum.lower * (1 - 1e-12)
        assert result.verified.gap <= 1.1 * GAP
