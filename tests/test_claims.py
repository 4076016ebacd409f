"""A MIP solver's word against what can be checked: liars are caught, and never called optimal."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
from instances import brute_force
from typer.testing import CliRunner

from optprobe import run, solve
from optprobe.cli import app
from optprobe.heuristics.fits import Incumbent
from optprobe.mip.backends import BACKENDS
from optprobe.mip.backends.base import Availability, Capability, Master, MipResult, Oracle
from optprobe.mip.root import Root
from optprobe.problem import Problem
from optprobe.result import Limit, Limits, Status

Answers = Callable[[Master, Oracle], MipResult]


def problem() -> Problem:
    """Weakly regularised noise, so that no root bound closes the gap."""
    rng = np.random.default_rng(7)
    X = rng.standard_normal((200, 12))
    y = X[:, :6].sum(axis=1) + 2.0 * rng.standard_normal(200) > 0.0
    return Problem.of(X, y, k=3, lam=1e-3)


def poor_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The heuristics before the backend find nothing better than the last columns."""

    def poor(matrix: object, rows: object, *arguments: object) -> Incumbent:
        return Incumbent(np.array([9, 10, 11]), np.zeros(3), 0.0, np.inf)

    monkeypatch.setattr(run, "greedy", poor)
    monkeypatch.setattr(run, "swap", poor)
    monkeypatch.setattr(Root, "solve", lambda *_: None)
    monkeypatch.setattr(Root, "_strongest", lambda *_: np.array([9, 10, 11]))


def install(monkeypatch: pytest.MonkeyPatch, answers: Answers) -> None:
    """Register a backend "liar" with these answers."""

    class Liar:
        name = "liar"
        capabilities = Capability(0)

        def check(self) -> None:
            """It is always there."""

        def available(self) -> Availability:
            """It is always there."""
            return Availability("liar", True, "", "1", "none", "none", "", self.capabilities)

        def solve(self, master: Master, oracle: Oracle, **_: object) -> MipResult:
            """Whatever it was told to say."""
            return answers(master, oracle)

    monkeypatch.setitem(sys.modules, "liar", SimpleNamespace(BACKEND=Liar()))
    monkeypatch.setitem(BACKENDS, "liar", "liar")


def too_high(master: Master, oracle: Oracle) -> MipResult:
    """Claims that the first incumbent is optimal."""
    return MipResult(master.upper, (), None, 1)


def infinite(master: Master, oracle: Oracle) -> MipResult:
    """Claims that there is no support at all."""
    return MipResult(np.inf, (), None, 1)


def idle(master: Master, oracle: Oracle) -> MipResult:
    """Says that it is done and has proven nothing."""
    return MipResult(0.0, (), None, 0)


@pytest.mark.parametrize("lie", [too_high, infinite])
def test_a_bound_above_the_optimum_is_refuted(monkeypatch: pytest.MonkeyPatch, lie: Answers):
    """The proof finds the better support; the result is its, and says whose claim was false."""
    poor_start(monkeypatch)
    install(monkeypatch, lie)
    with pytest.warns(RuntimeWarning, match="liar claimed that no support is better"):
        result = solve(problem(), method="oa", backend="liar")
    optimum = brute_force(problem())
    assert result.refuted is not None
    assert result.objective == pytest.approx(optimum.value, rel=1e-9)
    assert tuple(result.support) == optimum.support
    assert result.verified is not None
    assert result.verified.lower <= optimum.value <= result.verified.upper


@pytest.mark.parametrize("lie", [too_high, infinite])
def test_a_false_claim_is_never_optimal_where_the_proof_runs_out(
    monkeypatch: pytest.MonkeyPatch, lie: Answers
):
    """No node for the proof: the liar's bound stays a claim, the checker's is far below it."""
    poor_start(monkeypatch)
    install(monkeypatch, lie)
    monkeypatch.setattr(run, "branch_and_bound", _bounded)
    result = solve(problem(), method="oa", backend="liar")
    optimum = brute_force(problem())
    assert result.status is not Status.OPTIMAL
    assert result.verified is not None
    assert result.verified.lower <= optimum.value
    assert result.verified.gap > 1e-2


def _bounded(*arguments: object, **options: object):
    """The search for a proof without a single node, and from the same poor start."""
    from optprobe.engine import native

    with pytest.MonkeyPatch.context() as patch:
        poor = Incumbent(np.array([9, 10, 11]), np.zeros(3), 0.0, np.inf)
        patch.setattr(native, "first_incumbent", lambda *_: poor)
        search = native.branch_and_bound
        return search(arguments[0], arguments[1], Limits(nodes=0), warm=options["warm"])  # type: ignore[arg-type]


def test_without_proof_a_lie_is_a_claim(monkeypatch: pytest.MonkeyPatch):
    poor_start(monkeypatch)
    install(monkeypatch, too_high)
    result = solve(problem(), method="oa", backend="liar", proof=False)
    assert result.status is Status.CLAIMED
    assert result.certificate is None
    assert result.verified is None


def test_a_wrong_word_of_being_done_is_stalled(monkeypatch: pytest.MonkeyPatch):
    install(monkeypatch, idle)
    result = solve(problem(), method="oa", backend="liar", proof=False)
    assert result.status is Status.FEASIBLE
    assert result.limit is Limit.STALLED
    proven = solve(problem(), method="oa", backend="liar")
    assert proven.status is Status.OPTIMAL  # by our proof, not by its word
    assert proven.claimed.gap > 1e-2


def test_a_support_that_is_too_large_is_an_error(monkeypatch: pytest.MonkeyPatch):
    def greedy(master: Master, oracle: Oracle) -> MipResult:
        oracle.at_support(np.arange(master.p))
        return MipResult(master.upper, (), None, 1)

    install(monkeypatch, greedy)
    with pytest.raises(RuntimeError, match="more than the"):
        solve(problem(), method="oa", backend="liar")


def test_the_command_line_never_prints_a_lie_as_optimal(tmp_path, monkeypatch):
    poor_start(monkeypatch)
    install(monkeypatch, too_high)
    rng = np.random.default_rng(7)
    X = rng.standard_normal((200, 12))
    y = X[:, :6].sum(axis=1) + 2.0 * rng.standard_normal(200) > 0.0
    np.savez(tmp_path / "a.npz", X=X, y=y)
    call = ["solve", str(tmp_path / "a.npz"), "--k", "3", "--ridge", "1e-3"]
    call += ["--method", "oa", "--backend", "liar"]
    unproven = CliRunner().invoke(app, [*call, "--no-proof"])
    assert unproven.exit_code == 0, unproven.output
    assert "liar claims it" in unproven.output
    assert "certified" not in unproven.output.replace("No bound was certified", "")
    with pytest.warns(RuntimeWarning, match="liar claimed"):
        refuted = CliRunner().invoke(app, call)
    assert refuted.exit_code == 0, refuted.output  # the proof's own answer is certified
    assert "certified" in refuted.output
