"""Compiled fits against the careful ones: what they prune is pruned."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from optprobe.engine import pruning
from optprobe.engine.expansion import expansion, fitted_margin, newton_start
from optprobe.losses import Logistic
from optprobe.rows import Rows
from optprobe.support import fit_supports, signed
from optprobe.support.rows import dual_value


def instance(seed: int) -> tuple[Rows, np.ndarray, np.ndarray, np.ndarray]:
    """Rows, a signed block, forced columns and supports that hold them; some ask for much."""
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(30, 200)), 7
    X = rng.standard_normal((n, d))
    if seed % 3 == 0:
        X *= np.exp(2.0 * rng.standard_normal((n, 1)))  # rows far out
    if seed % 4 == 1:
        X[:, 3] = X[:, 2]
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    noise = 0.0 if seed % 5 == 2 else 1.0  # separable
    score = X[:, :3].sum(axis=1) + noise * rng.standard_normal(n)
    y = np.where(score > np.quantile(score, rng.uniform(0.1, 0.9)), 1.0, -1.0)
    w = rng.uniform(0.0, 1.0, n) * (rng.random(n) > 0.1)
    w /= w.sum()
    rows = Rows(y, w, Logistic(), float(10.0 ** rng.uniform(-5, 0)))
    forced = np.arange(int(rng.integers(0, 3)))
    rest = combinations(range(len(forced), d), int(rng.integers(1, 4)))
    supports = np.array([[*forced, *s] for s in rest])
    return rows, signed(X.T, rows), forced, supports


@pytest.mark.parametrize("seed", range(30))
def test_dual_values_are_those_of_their_coefficients(seed: int) -> None:
    """At most what NumPy makes of the same coefficients in float64, and less by what float32 may
    cost; never above the optimum."""
    rows, block, forced, supports = instance(seed)
    at = expansion(block, fitted_margin(block, forced, rows), rows)
    found = pruning.prune(block, supports, rows, at, np.inf)
    exact = fit_supports(block, supports, rows)
    full = np.column_stack([supports, np.full(len(supports), len(block) - 1)])
    gathered = block[full]
    margin = np.einsum("mk,mkn->mn", found.theta, gathered)
    again = dual_value(gathered, rows.loss.dual(margin), rows)
    assert (found.dual <= again + 1e-11 * (1.0 + np.abs(again))).all()
    assert (found.dual <= exact.primal * (1.0 + 1e-10) + 1e-12).all()
    solved = exact.primal - again < 1e-6
    terms = rows.loss.terms(margin)
    size = (terms.value + terms.dual * np.abs(margin)) @ rows.w
    size += (np.abs(found.theta[:, :-1]) * (np.abs(gathered[:, :-1]) @ rows.w)).sum(axis=1)
    assert (again - found.dual - 2.0 * pruning.ROUNDING * size)[solved].max(initial=0.0) < 1e-6


@pytest.mark.parametrize("seed", range(30))
def test_what_is_pruned_would_be_pruned(seed: int) -> None:
    rows, block, forced, supports = instance(seed)
    exact = fit_supports(block, supports, rows)
    cutoff = float(np.median(exact.primal))
    at = expansion(block, fitted_margin(block, forced, rows), rows)
    found = pruning.prune(block, supports, rows, at, cutoff)
    pruned = found.dual > cutoff
    assert (exact.primal[pruned] > cutoff * (1.0 - 1e-12)).all()  # the cutoff is one of them
    if seed % 5 != 2 and seed % 3:  # where Newton without halved steps gets there
        assert pruned.sum() > 0.8 * (exact.primal > cutoff * 1.01).sum()


def test_the_first_iterate_is_the_newton_step(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, block, forced, supports = instance(4)
    at = expansion(block, fitted_margin(block, forced, rows), rows)
    found = pruning.prune(block, supports, rows, at, -np.inf)
    expected = newton_start(at, supports, rows.lam)
    np.testing.assert_allclose(found.theta, expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("far", [0.0, 0.3, 1.0, 30.0, 39.9, 40.1, 800.0])
def test_terms_of_a_row(far: float) -> None:
    """Float32 against NumPy's functions, on both sides."""
    margin, weight = np.array([[far, -far], [0.7, 0.3]], np.float32)
    pull, bend, part = np.empty((3, 2), np.float32)
    sums = np.zeros(5)
    pruning._terms(margin, weight, pull, bend, np.empty(2, np.int32), part, sums)
    terms = Logistic().terms(margin.astype(float))
    np.testing.assert_allclose(pull, weight * terms.dual, rtol=5e-7, atol=1e-17)
    np.testing.assert_allclose(bend, weight * terms.curvature, rtol=5e-7, atol=1e-17)
    size = weight @ (terms.value + terms.dual * far)
    assert sums[0] == pytest.approx(pull.sum(), rel=5e-7)
    assert sums[1] == pytest.approx(weight @ Logistic().conjugate(terms.dual), abs=5e-7 * size)
    assert sums[2] == pytest.approx(pull @ margin, abs=5e-7 * size)
    assert sums[4] == pytest.approx(size, rel=5e-7)
