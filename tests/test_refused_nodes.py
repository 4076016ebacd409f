"""Filtered nodes that would take too long or too much memory to check are refused with a reason."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from nodes import centre_of, unproven

from optprobe import Limits, Problem, solve
from optprobe.certificate import Certificate, Kind
from optprobe.checker import covering, pairs, verify
from optprobe.checker.form import RefusedError
from optprobe.engine import tree


@pytest.fixture(scope="module")
def proof() -> tuple[Certificate, np.ndarray, np.ndarray]:
    """A certificate with a filtered node, three columns of 24 to add, and its data."""
    rng = np.random.default_rng(1)
    X = rng.standard_normal((200, 5)) @ rng.standard_normal((5, 24))
    X += rng.standard_normal(X.shape)
    y = X[:, :6].sum(axis=1) + 3.0 * rng.standard_normal(200) > 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree, "FILTER_FROM", 0)
        patch.setattr(tree, "ENUMERATE", 1)
        solution = solve(Problem.of(X, y, k=3, lam=1e-2), limits=Limits(gap=1e-4))
    made = solution.certificate
    assert made is not None
    assert Kind.FILTERED in made.arrays["node_kind"]
    return made, X, y


def far_away(honest: Certificate) -> Certificate:
    """Its centres bound nothing."""
    points = honest.arrays["point_intercept"].copy()
    points[honest.arrays["centre_point"]] = 60.0
    return replace(honest, arrays=honest.arrays | {"point_intercept": points})


def test_honest_sums_over_pairs_are_accepted(
    proof: tuple[Certificate, np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    honest, X, y = proof
    monkeypatch.setattr(covering, "ALONG", 0)
    verdict = verify(honest, X, y)
    assert verdict.valid, verdict.reason


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("ALONG", 0, "first centre does not reach the claimed lower"),
        ("MOST", 100, "leaves more than 100"),
        ("MOST", 2**24, "is not fitted and its bound is"),
    ],
)
def test_centres_that_bound_nothing_are_refused(
    name: str,
    value: int,
    reason: str,
    proof: tuple[Certificate, np.ndarray, np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    honest, X, y = proof
    monkeypatch.setattr(covering, name, value)
    verdict = verify(far_away(honest), X, y)
    assert not verdict.valid
    assert reason in verdict.reason


def huge(need: float) -> pairs.Pairs:
    """10^9 supports of four of 400 columns, each of whose pairs costs 1."""
    made = pairs.Pairs(centre_of(unproven(400, need), 1.0), 4)
    made.E, made.slack = np.full((400, 400), 1.0), 0.0
    np.fill_diagonal(made.E, -np.inf)
    return made


@pytest.mark.parametrize("need", [-1e-9, -5.0, np.nan])
def test_no_set_is_met_below_a_centre_that_does_not_reach(
    need: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any) -> Iterator[np.ndarray]:
        raise AssertionError

    made = huge(need)
    monkeypatch.setattr(pairs.Pairs, "_longer", never)
    with pytest.raises(RefusedError, match="does not reach the claimed lower"):
        next(made.left(0.0))


def test_numbers_that_overflow_bound_nothing() -> None:
    made = huge(1.0)
    made.slack = np.inf
    with pytest.raises(RefusedError, match="does not reach the claimed lower"):
        next(made.left(0.0))


def test_a_level_with_too_many_sets_is_refused_before_they_are_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ten million triples exceed, a quarter of a gigabyte."""
    monkeypatch.setattr(pairs, "MOST", 50_000)
    made = huge(5.0)
    tracemalloc.start()
    with pytest.raises(RefusedError, match="more than 50000 sets of a filtered node"):
        next(made.left(0.0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**26
