"""The dense ridge probe against scikit-learn and against the fits on fixed supports."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from instances import random_problem
from sklearn.linear_model import LogisticRegression

from optprobe.matrix import StreamedMatrix
from optprobe.matrix.device import DeviceMatrix
from optprobe.problem import Problem
from optprobe.support import fit_support
from optprobe.support.dense import HUBER, fit_dense

SEEDS = range(12)


@pytest.mark.parametrize("seed", SEEDS)
def test_dense_logistic_is_that_of_scikit_learn(seed):
    problem = random_problem(seed, "logistic")
    found = fit_dense(problem.matrix, problem.rows)
    Z = problem.data.columns(problem.usable, problem.data.train).T
    model = LogisticRegression(C=1.0 / problem.lam, tol=1e-12, max_iter=5000, solver="newton-cg")
    model.fit(Z, problem.y, sample_weight=problem.weights)
    best = problem.objective(problem.usable, model.coef_[0], float(model.intercept_[0]))
    assert found.objective == pytest.approx(best, rel=1e-6)
    np.testing.assert_allclose(found.beta[problem.usable], model.coef_[0], atol=1e-3)
    assert not found.beta[problem.data.by.constant].any()
    again = problem.objective(problem.usable, found.beta[problem.usable], found.intercept)
    assert found.objective == pytest.approx(again, rel=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_dense_fits_of_some_columns_reach_the_optimum(seed):
    problem = random_problem(seed)
    columns = problem.usable[1:]
    found = fit_dense(problem.matrix, problem.rows, columns)
    exact = fit_support(problem.matrix.columns(columns), problem.rows)
    slack = HUBER[-1] / 2 if problem.loss_name == "hinge" else 1e-7 * exact.primal[0]
    assert exact.lower[0] - 1e-12 <= found.objective <= exact.primal[0] + slack
    again = problem.objective(columns, found.beta, found.intercept)
    assert found.objective == pytest.approx(again, rel=1e-12)


def test_dense_fits_agree_whatever_holds_the_activations():
    problem = random_problem(0, "logistic")
    data = problem.data
    X = data.on_host()
    matrices = (
        StreamedMatrix(X, data.train, data.by, np.arange(problem.d)),
        DeviceMatrix.standardised(torch.tensor(X), data.train, data.by),
    )
    dense = fit_dense(problem.matrix, problem.rows)
    for matrix in matrices:
        other = fit_dense(matrix, problem.rows)
        assert other.objective == pytest.approx(dense.objective, rel=1e-6)


def test_the_dense_fit_ends_on_separable_data_and_with_a_tiny_ridge():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 60))
    problem = Problem.of(X, X[:, 0] > 0, k=1, lam=1e-4)
    exact = fit_support(problem.matrix.columns(problem.usable), problem.rows)
    found = fit_dense(problem.matrix, problem.rows)
    assert found.objective == pytest.approx(exact.primal[0], rel=1e-7)
