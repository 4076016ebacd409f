"""The compiled loops that methods share, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from optprobe import loops


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("n", [1, 7, loops.CHUNK, 2 * loops.CHUNK + 3])
def test_gram_matrices_are_products(n: int, single: bool) -> None:
    rng = np.random.default_rng(0)
    for q in range(1, 12):
        rows, weight = rng.standard_normal((q, n)), rng.random(n)
        out = np.full((q, q), np.nan)
        kind = np.float32 if single else np.float64
        loops.gram(rows.astype(kind), weight.astype(kind), out)
        atol = 1e-5 if single else 1e-13
        np.testing.assert_allclose(out / n, (rows * weight) @ rows.T / n, atol=atol)
        assert (out == out.T).all()


@pytest.mark.parametrize("size", [1, 2, 5, 40])
def test_descent_is_the_solution_of_the_system(size: int) -> None:
    rng = np.random.default_rng(size)
    root = rng.standard_normal((size, size + 3))
    hessian, gradient, theta = root @ root.T, rng.standard_normal(size), rng.standard_normal(size)
    expected = theta - np.linalg.solve(hessian, gradient)
    assert loops.descend(hessian.copy(), gradient.copy(), theta)
    np.testing.assert_allclose(theta, expected, rtol=1e-8)


@pytest.mark.parametrize("pivot", [-1.0, 0.0, np.nan])
def test_what_is_not_positive_definite_moves_nothing(pivot: float) -> None:
    hessian, theta = np.diag([1.0, pivot, 1.0]), np.arange(3.0)
    assert not loops.descend(hessian, np.ones(3), theta)
    assert theta.tolist() == [0.0, 1.0, 2.0]
