"""Samples of a node's supports, and the centres that are chosen by them."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from nodes import node

from optprobe.engine import centres, filter
from optprobe.engine.centres import Centres, Sample
from optprobe.engine.support_costs import costs


@pytest.mark.parametrize("f", [12, 30, 80, 1500])
@pytest.mark.parametrize("size", [2, 3, 5])
def test_a_sample_stands_for_all_supports(f: int, size: int) -> None:
    sample = Sample.drawn(np.random.default_rng(f).standard_normal(f), size)
    assert (np.diff(sample.supports, axis=1) > 0).all()
    assert np.isin(sample.supports, sample.pool).all()
    assert 0.5 < sample.number / math.comb(f, size) < 2.0


def test_a_sample_tells_how_many_supports_are_left() -> None:
    rng = np.random.default_rng(5)
    offset, cost = rng.standard_normal(60), rng.random(60)
    sample = Sample.drawn(offset, 3)
    every = np.array(list(combinations(range(60), 3)))
    left = int((cost[every].sum(axis=1) > 1.8).sum())
    told = sample.where(cost[sample.supports].sum(axis=1) > 1.8).number
    assert told == pytest.approx(left, rel=0.3)


@pytest.mark.parametrize("name", ["logistic", "squared_hinge"])
def test_a_further_centre_leaves_no_more_than_it_may(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sample is all that is left here, and every share is tried uphill."""
    monkeypatch.setattr(centres, "FEW", 0)
    made = missed = better = 0
    for seed in range(30):
        at = node(seed, name)
        forced, free, lam = at.forced, at.free, at.rows.lam
        every = np.array(list(combinations(range(len(free)), 3)))
        start, offset = np.zeros(len(forced) + 1), np.zeros(len(free))
        maker = Centres(at.rows)
        first, _ = maker.centre(forced, free, start, offset, 3, np.inf)
        cutoff = float(np.median(first.at.value - costs(first.at, every.T, lam)))
        left = every[first.below(every.T, lam, cutoff)]
        most = 0.8 * len(left)
        found = maker.centre_of(forced, free, left, first, cutoff, most)
        with monkeypatch.context() as only:
            only.setattr(centres, "FURTHER", (1.0,))
            mean = Centres(at.rows).centre_of(forced, free, left, first, cutoff, np.inf)
        assert mean is not None
        at_mean = int(mean.below(left.T, lam, cutoff).sum())
        if found is None:
            missed += 1
            continue
        made += 1
        still = int(found.below(left.T, lam, cutoff).sum())
        assert still <= most
        better += still < at_mean
    assert min(made, missed, better) > 0


@pytest.mark.parametrize("name", ["logistic", "squared_hinge", "squared_error"])
def test_the_reach_is_the_one_that_leaves_least_of_a_sample(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found uphill where the sample has fewer columns than the node; its centre is made with it."""
    for constant, value in (("FEW", 0), ("STRONG", 3), ("OTHERS", 1)):
        monkeypatch.setattr(centres, constant, value)
    centres._ranks.cache_clear()
    chosen: set[float] = set()
    for seed in range(30):
        at = node(seed, name)
        pairs = np.array(list(combinations(range(len(at.free)), 2)))
        usual, nothing = filter.limits(at.rows).reach, np.zeros(len(at.free))
        start, maker = np.zeros(len(at.forced) + 1), Centres(at.rows)
        plain, _ = maker.centre(at.forced, at.free, start, nothing, 2, np.inf)
        cutoff = float(np.median(plain.at.value - costs(plain.at, pairs.T, at.rows.lam)))
        first, left = Centres(at.rows).centre(at.forced, at.free, start, nothing, 2, cutoff)
        chosen.add(round(first.reach / usual, 9))
        with monkeypatch.context() as only:
            only.setattr(centres, "REACHES", (1.0, 1.0))
            _, more = Centres(at.rows).centre(at.forced, at.free, start, nothing, 2, cutoff)
        assert left.number <= more.number
        again = filter.quadratic(at.forced, at.free, first.margin, at.rows, first.reach)
        assert (again.M == first.at.M).all()
        assert again.value == first.at.value
    centres._ranks.cache_clear()
    assert chosen <= set(centres.REACHES)
    assert len(chosen) > 1


@pytest.mark.parametrize("name", ["logistic", "squared_hinge", "squared_error"])
def test_what_another_share_would_leave_is_about_what_is_estimated(name: str) -> None:
    """D0, v and M are nearer to those of the centre that is made than those of the last one are."""
    shares: dict[str, list[float]] = {"value": [], "v": [], "M": []}
    for seed in range(20):
        at = node(seed, name)
        forced, free, rows, maker = at.forced, at.free, at.rows, Centres(at.rows)
        offset = free @ (rows.w * rows.y)  # margins grow with it
        start, every = np.zeros(len(forced) + 1), np.arange(len(free))
        one = maker.made(forced, free, offset, 1.0, 0.5, start, every)
        other = maker.made(forced, free, offset, 1.0, 0.6, one.fit, every)
        about = maker.about(forced, free, offset, one, 0.6)
        for part, found in shares.items():
            old, new, real = (np.array(getattr(x.at, part)) for x in (one, about, other))
            found.append(float(np.linalg.norm(new - real) / max(np.linalg.norm(old - real), 1e-9)))
    assert np.median(shares["value"]) < 0.1
    assert np.median(shares["v"]) < 0.1
    assert np.median(shares["M"]) < 0.9


@pytest.mark.parametrize("size", [2, 3, 4])
def test_compiled_or_not_the_same_supports_stay_below(size: int) -> None:
    some = False
    for seed in range(20):
        at, rng = node(seed, "logistic"), np.random.default_rng(seed)
        every = np.array(list(combinations(range(len(at.free)), size)))
        maker = Centres(at.rows)
        offset, used = 0.1 * rng.standard_normal(len(at.free)), np.arange(len(at.free))
        centre = maker.made(
            at.forced, at.free, offset, 1.0, 0.5, np.zeros(len(at.forced) + 1), used
        )
        cutoff = float(np.median(centre.at.value - costs(centre.at, every.T, at.rows.lam)))
        plain = maker.below(centre, every, cutoff + 1e-9)
        maker.compiled.seconds = np.inf
        assert (maker.below(centre, every, cutoff + 1e-9) == plain).all()
        some |= plain.any() and not plain.all()
    assert some


def test_a_bound_that_is_no_number_proves_nothing_out() -> None:
    at = node(0, "logistic")
    maker, used = Centres(at.rows), np.arange(len(at.free))
    start, offset = np.zeros(len(at.forced) + 1), np.zeros(len(at.free))
    centre = maker.made(at.forced, at.free, offset, 1.0, 0.5, start, used)
    broken = centre._replace(at=centre.at._replace(value=np.nan))
    pairs = np.array(list(combinations(range(len(at.free)), 2)))
    assert maker.below(broken, pairs, -np.inf).all()
    maker.compiled.seconds = np.inf
    assert maker.below(broken, pairs, -np.inf).all()
