"""The listed supports against itertools, and the common Newton step against one of its own."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from instances import random_problem

from optprobe.engine.enumeration import surviving_subsets
from optprobe.engine.expansion import expansion, fitted_margin, newton_start
from optprobe.losses import LOSSES
from optprobe.support import Rows, fit_supports, signed

SMOOTH = [name for name, loss in LOSSES.items() if np.isfinite(loss.lipschitz)]

# Sums of these are exact, so that the strict inequality is the same in any order of addition.
exact = st.integers(0, 40).map(lambda number: number / 8.0)


def listed(gain: np.ndarray, size: int, need: float) -> set[tuple[int, ...]]:
    return {s for s in combinations(range(len(gain)), size) if sum(gain[list(s)]) > need}


@given(
    gains=st.lists(exact, min_size=1, max_size=9),
    size=st.integers(1, 6),
    need=st.integers(-4, 120).map(lambda number: number / 8.0),
)
def test_every_surviving_subset_is_listed_once(gains, size, need):
    gain = np.array(gains)
    found = surviving_subsets(gain, size, need, np.inf)
    assert found is not None
    assert found.shape[1] == size
    assert found.dtype.kind == "i"
    subsets = [tuple(sorted(row)) for row in found.tolist()]
    assert len(set(subsets)) == len(subsets)
    assert set(subsets) == listed(gain, size, need)
    sums = gain[found].sum(axis=1)
    assert np.all(np.diff(sums) <= 0.0)


@given(
    gains=st.lists(exact, min_size=1, max_size=8),
    size=st.integers(1, 4),
    need=st.integers(0, 60).map(lambda number: number / 8.0),
    limit=st.integers(0, 40),
)
def test_the_limit_counts_survivors(gains, size, need, limit):
    gain = np.array(gains)
    found = surviving_subsets(gain, size, need, limit)
    assert (found is None) == (len(listed(gain, size, need)) > limit)


@given(
    seed=st.integers(0, 10**6),
    p=st.integers(1, 10),
    size=st.integers(1, 5),
    share=st.floats(0.0, 1.0),
)
def test_gains_of_any_scale(seed, p, size, share):
    rng = np.random.default_rng(seed)
    gain = 10.0 ** rng.uniform(-12, 2, p)
    sums = [sum(gain[list(s)]) for s in combinations(range(p), size)]
    need = float(np.quantile(sums, share)) if sums else 0.0
    found = surviving_subsets(gain, size, need, np.inf)
    assert found is not None
    got = {tuple(sorted(row)) for row in found.tolist()}
    # Sums within rounding of `need` may fall on either side.
    slack = 1e-14 * gain.sum()
    assert listed(gain, size, need + slack) <= got <= listed(gain, size, need - slack)


def test_corners_of_the_listing():
    gain = np.array([1.0, 4.0, 2.0])
    assert surviving_subsets(gain, 3, 6.5, np.inf).tolist() == [[1, 2, 0]]
    assert surviving_subsets(gain, 3, 7.0, np.inf).shape == (0, 3)  # strictly more
    assert surviving_subsets(gain, 4, -9.0, np.inf).shape == (0, 4)  # too few positions
    assert surviving_subsets(gain, 2, 3.0, 1) is None
    assert surviving_subsets(gain, 2, 3.0, 2).tolist() == [[1, 2], [1, 0]]
    assert surviving_subsets(gain, 0, -1.0, np.inf).shape == (1, 0)  # the empty set is one subset
    assert surviving_subsets(np.empty(0), 2, -1.0, np.inf).shape == (0, 2)


def test_work_is_in_proportion_to_what_survives():
    """Of 10^11 subsets the few survivors are found without listing the rest."""
    gain = np.concatenate([[5.0, 4.0, 3.0, 2.9, 2.8, 2.7], np.full(1500, 1e-3)])
    found = surviving_subsets(gain, 4, 14.65, 10)
    assert found is not None
    assert {tuple(sorted(row)) for row in found.tolist()} == {
        (0, 1, 2, 3),
        (0, 1, 2, 4),
        (0, 1, 2, 5),
        (0, 1, 3, 4),
    }


@pytest.mark.parametrize("loss", SMOOTH)
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("shared", [0, 1, 2])
def test_newton_start_is_one_newton_step(loss, seed, shared):
    problem = random_problem(seed, loss)
    rows = Rows(problem.y, problem.weights, problem.loss, problem.lam)
    block = signed(problem.matrix.columns(problem.usable), rows)
    p = len(block) - 1
    forced = np.arange(shared)
    rest = [s for s in combinations(range(shared, p), 2)]
    supports = np.array([[*forced, *s] for s in rest])
    found = newton_start(
        expansion(block, fitted_margin(block, forced, rows), rows), supports, rows.lam
    )
    centre = fit_supports(block, forced[None], rows)
    for support, start in zip(supports, found, strict=True):
        columns = block[[*support, p]]
        theta = np.zeros(len(columns))
        theta[:shared], theta[-1] = centre.beta[0], centre.intercept[0]
        ridge = np.full(len(columns), rows.lam)
        ridge[-1] = 0.0
        terms = rows.loss.terms(theta @ columns)
        gradient = ridge * theta - columns @ (terms.dual * rows.w)
        hessian = (columns * (terms.curvature * rows.w)) @ columns.T + np.diag(ridge)
        expected = theta - np.linalg.lstsq(hessian, gradient)[0]
        np.testing.assert_allclose(start, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("loss", SMOOTH)
@pytest.mark.parametrize("seed", range(6))
def test_a_step_may_begin_where_other_columns_have_coefficients(loss, seed):
    """It ends where the ridge and the loss's parabola there are least, on the support alone."""
    problem = random_problem(seed, loss)
    rows = Rows(problem.y, problem.weights, problem.loss, problem.lam)
    block = signed(problem.matrix.columns(problem.usable), rows)
    p = len(block) - 1
    theta = np.random.default_rng(seed).normal(size=p + 1) / p
    supports = np.array(list(combinations(range(p), 2)))
    found = newton_start(expansion(block, theta @ block, rows), supports, rows.lam)
    terms = rows.loss.terms(theta @ block)
    for support, start in zip(supports, found, strict=True):
        columns = block[[*support, p]]
        ridge = np.array([rows.lam, rows.lam, 0.0])
        away = start @ columns - theta @ block
        gradient = -columns @ (terms.dual * rows.w)
        gradient = gradient + columns @ (terms.curvature * rows.w * away) + ridge * start
        np.testing.assert_allclose(gradient, 0.0, atol=1e-8)


@pytest.mark.parametrize("loss", SMOOTH)
def test_fits_from_the_newton_start_are_the_same_fits(loss):
    problem = random_problem(5, loss)
    rows = Rows(problem.y, problem.weights, problem.loss, problem.lam)
    block = signed(problem.matrix.columns(problem.usable), rows)
    supports = np.array([[0, *s] for s in combinations(range(1, len(block) - 1), 2)])
    margin = fitted_margin(block, np.array([0]), rows)
    start = newton_start(expansion(block, margin, rows), supports, rows.lam)
    warm, cold = (
        fit_supports(block, supports, rows, start=start),
        fit_supports(block, supports, rows),
    )
    np.testing.assert_allclose(warm.primal, cold.primal, rtol=1e-10)
    assert np.all(warm.gap < 1e-9)
