"""Nodes whose few moving rows leave no direction orthogonal to S: what is left over is paid for."""

from __future__ import annotations

import numpy as np
import pytest
from nodes import bracket, crowded, dual_value, moved

from optprobe.bounds import repair_intercept
from optprobe.engine import filter


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", ["logistic", "squared_hinge"])
def test_directions_that_cannot_be_orthogonal_are_paid_for(name: str, compiled: bool) -> None:
    """No C is exact where the clipped forced column repeats the intercept on all rows that move."""
    rng = np.random.default_rng(0)
    for seed in range(100):
        at = crowded(seed, name)
        made = filter.quadratic(at.forced, at.free, at.margin, at.rows, compiled=compiled)
        omega = filter.moves(at.rows.loss, at.point, filter.limits(at.rows).reach).omega
        for _ in range(10):
            T = rng.choice(len(at.free), int(rng.integers(1, 4)), replace=False)
            d = rng.standard_normal(len(T)) * 10.0 ** rng.uniform(-1, 2)
            d *= min(1.0, filter.REACH / max(np.abs(d) @ made.reach[T], 1e-300))
            a = moved(at, T, d, omega)
            a = repair_intercept(a[None], at.rows.y, at.rows.w, at.rows.loss)[0]
            bound = made.value - bracket(made, T, d, at.rows.lam)
            assert bound <= dual_value(at, T, a) + 1e-10
