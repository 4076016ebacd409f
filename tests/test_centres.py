"""Samples of a node's supports, by which its centres are chosen."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest

from optprobe.engine.centres import Sample


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
