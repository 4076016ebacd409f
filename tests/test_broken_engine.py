"""Engines that are broken on purpose: a wrong answer never keeps its certificate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from corners import corner, poor_start
from instances import brute_force

from optprobe import Limits, relaxation, solve
from optprobe.engine import damping, filter, native, tree
from optprobe.verdict import judge

LOSSES = ("logistic", "squared_hinge", "squared_error")

Break = Callable[[pytest.MonkeyPatch], None]


def whole(patch: pytest.MonkeyPatch) -> None:
    """Nothing is broken."""


def wrong_kappa(patch: pytest.MonkeyPatch) -> None:
    """The filter clips directions farther out than the proof says."""
    honest = filter.limits
    patch.setattr(
        filter, "limits", lambda rows: honest(rows)._replace(clip=5.0 * honest(rows).clip)
    )


def wrong_psi(patch: pytest.MonkeyPatch) -> None:
    """Rows move eight times as far for the same cost."""
    honest = filter.moves

    def moves(*given: Any) -> damping.Moves:
        at = honest(*given)
        return at._replace(omega=8.0 * at.omega)

    patch.setattr(filter, "moves", moves)


def wrong_slack(patch: pytest.MonkeyPatch) -> None:
    """The allowance for rounding, large enough to matter, is taken off the cutoff, not added."""
    patch.setattr(native, "_margin", lambda problem, *_: -0.02 * problem.rows.spread**2)


@dataclass(frozen=True)
class Told:
    """Of some searches: how many stated a bound above the optimum, and were refused."""

    wrong: int
    refused: int
    believed: int  # although wrong


def told(broken: Break, loss: str) -> Told:
    """Filtered searches from a poor start over sparse and heavy-tailed columns."""
    wrong = refused = believed = 0
    for seed in range(120):
        if seed % 8 < 5:
            continue
        problem = corner(seed, loss)
        if problem.k not in (3, 4):
            continue
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tree, "FILTER_FROM", 0)
            patch.setattr(relaxation, "ROUNDS", 1)
            poor_start(problem, patch)
            broken(patch)
            result = solve(problem, limits=Limits(gap=1e-5), check=False)
        assert result.certificate is not None
        false = result.claimed.lower > brute_force(problem).value * (1.0 + 1e-9)
        valid = judge(problem, result.certificate).valid
        wrong, refused, believed = (
            wrong + false,
            refused + (not valid),
            believed + (false and valid),
        )
    return Told(wrong, refused, believed)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_whole_engine_is_believed(loss: str) -> None:
    assert told(whole, loss) == Told(0, 0, 0)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("broken", [wrong_psi, wrong_slack])
def test_supports_that_were_wrongly_pruned_are_missed(broken: Break, loss: str) -> None:
    found = told(broken, loss)
    assert found.wrong > 0
    assert found.believed == 0


@pytest.mark.parametrize("loss", LOSSES[:2])
def test_a_proof_at_another_kappa_is_refused(loss: str) -> None:
    """The bounds were true, but not those that the certificate stands for."""
    found = told(wrong_kappa, loss)
    assert found.refused > 0
    assert found.believed == 0
