"""Twenty columns of the packaged activations: brute force's optimum, whatever the centres."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from instances import Optimum, brute_force

from optprobe import Limits, Problem, Status, demo, solve
from optprobe.engine import centres, leaves, tree
from optprobe.prefilter import best_columns

GAP = 1e-6
COLUMNS = 20
EVERY = 3
"""Of the training rows, 579 in all."""


@functools.cache
def problem(k: int, lam: float) -> Problem:
    """The columns of largest mean difference."""
    if k == 1:
        whole = demo.problem()
        X = whole.data.columns(best_columns(whole, COLUMNS), whole.data.train[::EVERY])
        return Problem.of(X.T, whole.y[::EVERY], k=1, lam=lam)
    return problem(1, lam).with_k(k)


@functools.cache
def optimum(k: int, lam: float) -> Optimum:
    return brute_force(problem(k, lam))


def most_centres(nodes: np.ndarray) -> int:
    """Of a node, from the certificate's first and last."""
    return int((nodes[:, 1] - nodes[:, 0]).max())


@pytest.mark.parametrize("lam", [1.0, 0.1, 0.01, 0.001])
@pytest.mark.parametrize("shares", [(0.0,), (0.3,), (0.6,), (1.0,), centres.SHARES])
def test_every_setting_of_the_centres_finds_the_optimum(
    shares: tuple[float, ...], lam: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(centres, "SHARES", shares)
    monkeypatch.setattr(tree, "FILTER_FROM", 0)
    monkeypatch.setattr(leaves, "ENOUGH", 0)
    monkeypatch.setattr(leaves, "USEFUL", 1.0)
    for number in (1, 2, leaves.CENTRES):
        monkeypatch.setattr(leaves, "CENTRES", number)
        used = 0
        for k in (1, 2, 3, 4):
            best = optimum(k, lam)
            assert best.value - best.lower <= 1e-9 * best.value
            result = solve(problem(k, lam), limits=Limits(gap=GAP), check=number == 2)
            assert result.status is Status.OPTIMAL
            assert result.objective == pytest.approx(best.value, rel=GAP)
            assert result.claimed.lower <= best.value * (1.0 + 1e-12)
            assert number != 2 or result.verified is not None
            assert result.certificate is not None
            used = max(used, most_centres(result.certificate.arrays["node_centre"]))
        assert used == number or lam > 0.1
