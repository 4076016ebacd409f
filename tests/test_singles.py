"""Supports of one more column: what the engine leaves, and what the checker covers."""

from __future__ import annotations

import numpy as np
import pytest
from nodes import Node, node

from optprobe import Limits, Problem, solve
from optprobe.checker import covering
from optprobe.engine import singles as engine
from optprobe.engine import tree
from optprobe.support import fit_supports, signed
from optprobe.verdict import judge

LOSSES = ("logistic", "squared_hinge", "squared_error")


def objectives(at: Node) -> np.ndarray:
    """P(S + j) of every free column."""
    s, f = len(at.forced), len(at.free)
    block = signed(np.concatenate([at.forced, at.free]), at.rows)
    supports = np.concatenate([np.tile(np.arange(s), (f, 1)), s + np.arange(f)[:, None]], axis=1)
    return fit_supports(block, supports, at.rows).primal


@pytest.mark.parametrize("loss", LOSSES)
def test_a_column_that_is_not_left_has_no_better_support(
    loss: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the cutoff; some are left and some are not, however many are taken together."""
    monkeypatch.setattr(engine, "LEAST", 1)
    left_some = left_out_some = 0
    for seed in range(60):
        at = node(seed, loss)
        columns = np.concatenate([at.forced, at.free])
        chosen, members = np.arange(len(at.forced)), np.arange(len(at.forced), len(columns))
        own = objectives(at)
        start = np.zeros(len(chosen) + 1)
        for cutoff in (own.min() * (1.0 - 1e-9), np.median(own), own.max()):
            found = []
            for together in (1, 2, engine.TOGETHER):
                monkeypatch.setattr(engine, "TOGETHER", together)
                found.append(
                    engine.singles(
                        columns.__getitem__,
                        chosen,
                        members,
                        start,
                        at.rows,
                        float(cutoff),
                        lambda: False,
                    )
                )
            left = found[-1].left
            assert all(np.array_equal(one.left, left) for one in found)
            gone = np.setdiff1d(members, left)
            assert (own[gone - len(chosen)] >= cutoff * (1.0 - 1e-12)).all()
            left_some, left_out_some = left_some + len(left), left_out_some + len(gone)
    assert min(left_some, left_out_some) > 100


def wide(loss: str) -> Problem:
    """More columns than are fitted unseen, and two signals in them."""
    rng = np.random.default_rng(3)
    X = rng.standard_normal((300, 90))
    score = 2.0 * X[:, 17] + X[:, 80] + rng.standard_normal(300)
    y = score if loss == "squared_error" else score > 0.5
    return Problem.of(X, y, k=1, lam=0.01, loss=loss)


@pytest.mark.parametrize("loss", LOSSES)
def test_one_column_is_proven_without_a_fit_of_every_other(
    loss: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = wide(loss)
    monkeypatch.setattr(tree, "FILTER_FROM", 0)
    result = solve(problem, limits=Limits(gap=1e-6))
    assert result.verified is not None
    assert result.support.tolist() == [17]
    assert result.verified.gap <= 1e-6 * (1.0 + 1e-3)
    assert result.statistics["supports_fitted"] < problem.d / 2


def test_the_checker_takes_single_columns_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """And covers the same, whatever is taken together; one that is left must be in the list."""
    monkeypatch.setattr(tree, "FILTER_FROM", 0)
    certificate = solve(wide("logistic"), limits=Limits(gap=1e-6)).certificate
    assert certificate is not None
    verdicts = []
    for together in (1, 7, covering.TOGETHER):
        monkeypatch.setattr(covering, "TOGETHER", together)
        verdicts.append(judge(wide("logistic"), certificate))
    assert all(verdict.valid and verdict.filtered == 1 for verdict in verdicts)
    assert len({(verdict.screened, verdict.fitted) for verdict in verdicts}) == 1
    certificate.arrays["node_fits"][:] = 0
    assert "is not fitted" in judge(wide("logistic"), certificate).reason


def test_told_to_stop_it_leaves_the_node_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """No column is given up for what was not looked at."""
    at = node(1, "logistic")
    columns = np.concatenate([at.forced, at.free])
    chosen, members = np.arange(len(at.forced)), np.arange(len(at.forced), len(columns))
    asked = [False, True]
    monkeypatch.setattr(engine, "TOGETHER", 2)
    monkeypatch.setattr(engine, "LEAST", 1)
    monkeypatch.setattr(engine, "FETCHED", 1)
    start = np.zeros(len(chosen) + 1)
    found = engine.singles(
        columns.__getitem__, chosen, members, start, at.rows, np.inf, lambda: asked.pop(0)
    )
    assert found.left is None
    assert not asked
