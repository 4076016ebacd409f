"""Other tools' supports: on our rows and objective, never below the optimum, k columns each."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest
from instances import brute_force, installed, random_problem

from optprobe.heuristics import HEURISTICS
from optprobe.heuristics.adapters.columns import largest
from optprobe.heuristics.adapters.transformer_lens import sweep
from optprobe.heuristics.fits import fit_many
from optprobe.heuristics.rankings import mean_difference
from optprobe.problem import Problem

ADAPTERS = [name for name, heuristic in HEURISTICS.items() if heuristic.package]


def value(problem: Problem, support: np.ndarray) -> float:
    return float(fit_many(problem.matrix.columns, problem.rows, support[None]).primal[0])


def wide_problem(weights: str = "balanced") -> Problem:
    rng = np.random.default_rng(4)
    X = rng.standard_normal((150, 20)) + rng.standard_normal((150, 1))
    y = X[:, :4] @ [1.0, -0.8, 0.6, 0.5] + rng.standard_normal(150) > 1.0
    return Problem.of(X, y, k=3, lam=0.02, weights=weights)


@pytest.mark.parametrize("weights", ["balanced", "uniform"])
def test_transformer_lens_has_our_objective_on_our_rows(weights):
    """Its objective at its coefficients is ours of the refit, to 1e-8; the optimum is below."""
    installed("transformer_lens")
    for problem in (wide_problem(weights), *(random_problem(s, "logistic") for s in range(6))):
        if problem.data.weighting == "given":
            continue
        ks = [1, 2, 3]
        found = sweep(problem, ks, problem.usable)
        for k, result in zip(ks, found.results, strict=True):
            chosen = problem.usable[result.selected_features.numpy()]
            beta, intercept = result.coefficients.numpy(), float(result.intercept)
            assert problem.objective(chosen, beta, intercept) == pytest.approx(
                result.objective, rel=1e-12
            )
            refit = value(problem, np.sort(chosen))
            assert refit == pytest.approx(result.objective, rel=1e-8)
            assert brute_force(problem.with_k(k)).lower <= result.objective * (1.0 + 1e-9)


def test_transformer_lens_selects_by_mean_difference():
    heuristic = installed("transformer_lens")
    problem = wide_problem()
    order = np.argsort(-mean_difference(problem))
    for choice in heuristic.path(problem, [1, 4, 9]):
        np.testing.assert_array_equal(choice.support, np.sort(order[: choice.k]))


def test_transformer_lens_refuses_rows_it_would_hold_out():
    heuristic = installed("transformer_lens")
    problem = Problem.of(np.arange(6.0).reshape(3, 2) ** 2, [0, 0, 1], k=1)
    with pytest.raises(ValueError, match="of 3 training rows"):
        heuristic.path(problem, [1])


@pytest.mark.parametrize("seed", range(6))
def test_abess_minimises_the_problems_objective(seed):
    """With every column its fit is ours: the same weights, ridge and columns."""
    installed("abess")
    from abess.linear import LogisticRegression

    problem = random_problem(seed, "logistic")
    columns = problem.usable[problem.usable != 1]  # some have it twice
    Z, n = problem.matrix.columns(columns).T, len(problem.y)
    model = LogisticRegression(
        support_size=len(columns), alpha=0.5 * n * problem.lam, primary_model_fit_max_iter=500
    )
    model.fit(Z, problem.y > 0, is_normal=False, sample_weight=n * problem.weights)
    theirs = problem.objective(columns, model.coef_, float(model.intercept_))
    assert theirs == pytest.approx(value(problem, columns), rel=1e-5)


@pytest.mark.parametrize("name", ["abess", "fasterrisk", "skglm"])
def test_searches_of_other_tools_find_planted_columns(name):
    """Strong, nearly independent columns: whatever searches must find them."""
    heuristic = installed(name)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 30))
    y = X[:, [3, 11, 25]] @ [2.0, -2.0, 2.0] + 0.5 * rng.standard_normal(400) > 0
    problem = Problem.of(X, y, k=3, lam=0.01, weights="uniform")
    assert heuristic.path(problem, [3])[0].support.tolist() == [3, 11, 25]


def test_fasterrisk_minimises_the_uniform_objective():
    """Its fit of a support is ours: the ridge survives its rescaling of the columns."""
    installed("fasterrisk")
    from fasterrisk.sparseBeamSearch import sparseLogRegModel

    problem = wide_problem("uniform")
    Z = problem.matrix.columns(problem.usable).T
    model = sparseLogRegModel(
        Z, problem.y, 0.5 * problem.lam, original_lb=-(10**6), original_ub=10**6
    )
    model.get_sparse_sol_via_OMP(3)
    intercept, beta = model.get_original_beta0_betas()
    chosen = np.flatnonzero(beta)
    theirs = problem.objective(problem.usable[chosen], beta[chosen], float(intercept))
    assert theirs == pytest.approx(value(problem, problem.usable[chosen]), rel=1e-6)


@pytest.mark.parametrize("name", ADAPTERS)
def test_more_columns_than_a_tool_would_choose(name):
    """A path up to every column gives k columns each time."""
    heuristic = installed(name)
    rng = np.random.default_rng(1)
    problem = Problem.of(rng.standard_normal((60, 6)), np.arange(60) % 2 == 0, k=1, lam=1.0)
    for choice in heuristic.path(problem, range(1, 7)):
        assert len(set(choice.support.tolist())) == choice.k


def test_missing_coefficients_are_filled_by_mean_difference_and_small_ones_dropped():
    problem = wide_problem()
    columns = problem.usable[2:]
    beta = np.zeros(len(columns))
    beta[[4, 7, 9]] = 0.1, -3.0, 2.0
    assert largest(problem, columns, beta, 2).tolist() == [columns[7], columns[9]]
    five = largest(problem, columns, beta, 5)
    assert five[:3].tolist() == [columns[7], columns[9], columns[4]]
    rest = np.setdiff1d(columns, five[:3])
    best = rest[np.argsort(-mean_difference(problem)[rest])][:2]
    assert five[3:].tolist() == best.tolist()


@pytest.mark.parametrize("name", ADAPTERS)
def test_a_missing_package_is_named_with_its_command(name, monkeypatch):
    heuristic = HEURISTICS[name]
    for module in heuristic.imports:
        monkeypatch.setitem(sys.modules, module, None)
    command = "pip install --no-deps" if name == "fasterrisk" else f"optprobe[{heuristic.package}]"
    with pytest.raises(ImportError, match=re.escape(command)):
        heuristic.path(random_problem(0), [1])
