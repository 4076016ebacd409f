"""Columns that a node is split on: what has none of them is little, and each is worth a child."""

from __future__ import annotations

import numpy as np
import pytest

from optprobe.engine import leaves


@pytest.mark.parametrize("seed", range(20))
def test_hubs_are_worth_it_and_leave_few(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.dirichlet(np.full(30, 0.3))
    left = np.array(
        [rng.choice(30, 3, replace=False, p=weight * 0.9 + 0.1 / 30) for _ in range(500)]
    )
    for most, child in ((0, 0.0), (20, 5.0), (100, 20.0), (100, 200.0)):
        hubs = leaves._hubs(left, np.ones(500), 30, most, child)
        rest = left
        for hub in hubs:
            has = (rest == hub).any(axis=1)
            assert has.sum() > child
            assert has.sum() == max((rest == column).any(axis=1).sum() for column in range(30))
            rest = rest[~has]
        assert len(hubs) == 0 or len(rest) <= most
        if child == 0.0:
            assert len(hubs) > 0
        if child == 200.0:  # no column is in so many of what the first few leave
            assert len(hubs) == 0


@pytest.mark.parametrize("seed", range(10))
def test_hubs_of_a_sample_leave_what_may_be_left_and_no_less(seed: int) -> None:
    """Supports that stand for several each; none at all may be left, and what none is rounds."""
    rng = np.random.default_rng(seed)
    left = np.array([rng.choice(20, 3, replace=False) for _ in range(300)])
    weight = rng.uniform(0.1, 50.0, 300)
    for most in (0.0, 0.3 * weight.sum(), 2.0 * weight.sum()):
        hubs = leaves._hubs(left, weight, 20, most, 0.0, until=most)
        has = np.isin(left, hubs)
        assert weight[~has.any(axis=1)].sum() <= most
        if len(hubs):
            assert weight[~np.isin(left, hubs[:-1]).any(axis=1)].sum() > most - 1e-9
        else:
            assert weight.sum() <= most
