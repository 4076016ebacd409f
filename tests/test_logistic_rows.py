"""The compiled work on rows and columns of a centre: NumPy's numbers, to rounding."""

from __future__ import annotations

import numpy as np
import pytest
from nodes import crowded, node

from optprobe.engine import centres, filter
from optprobe.losses import Logistic


@pytest.mark.parametrize("name", ["logistic", "squared_hinge", "squared_error"])
def test_quadratics_are_those_of_numpy(name: str) -> None:
    for seed in range(60):
        at = node(seed, name)
        reach = centres.REACHES[seed % 4] * filter.limits(at.rows).reach
        given = at.forced, at.free, at.margin, at.rows, reach
        plain, compiled = filter.quadratic(*given), filter.quadratic(*given, compiled=True)
        for part, found in zip(plain, compiled, strict=True):
            scale = np.abs(part).max() + at.rows.spread  # h may be nothing but rounding
            np.testing.assert_allclose(np.array(found) / scale, np.array(part) / scale, atol=1e-11)


def test_columns_that_nearly_repeat_the_forced_ones_have_no_direction() -> None:
    none = 0
    for seed in range(0, 70, 7):  # a column twice
        at = node(seed, "logistic")
        for own in range(len(at.free)):
            forced = np.concatenate([at.forced, at.free[own : own + 1]])
            given = forced, at.free, at.margin, at.rows
            plain, compiled = filter.quadratic(*given), filter.quadratic(*given, compiled=True)
            assert (plain.reach > 0.0).tolist() == (compiled.reach > 0.0).tolist()
            flat = compiled.reach == 0.0
            assert flat[own]
            assert not compiled.M[:, flat].any()
            assert not compiled.K[:, flat].any()
            none += int(flat.sum())
    assert none > 60  # some beside the column itself


def test_margins_that_no_float_has_the_dual_variable_of_are_numbers() -> None:
    at = crowded(0, "logistic")
    far = np.where(np.arange(40) < 6, at.margin, np.where(np.arange(40) % 3, 800.0, -800.0))
    found = filter.quadratic(at.forced, at.free, far, at.rows, compiled=True)
    assert all(np.isfinite(part).all() for part in found)


@pytest.mark.parametrize("steps", [1, 2, 20])
def test_fits_are_those_of_numpy(steps: int) -> None:
    rng = np.random.default_rng(0)
    for seed in range(40):
        at = node(seed, "logistic")
        assert isinstance(at.rows.loss, Logistic)
        start = rng.standard_normal(len(at.forced) + 1) * rng.choice([0.0, 1.0, 30.0])
        given = at.forced, 3.0 * at.free[0], start, at.rows, steps
        plain, compiled = centres.refit(*given), centres.refit(*given, compiled=True)
        np.testing.assert_allclose(compiled, plain, rtol=1e-6, atol=1e-7)
