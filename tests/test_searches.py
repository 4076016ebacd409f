"""The second-order model against exact fits, and the searches against brute force."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from instances import brute_force, random_problem, random_targets

from optprobe.heuristics import HEURISTICS
from optprobe.heuristics.beam import beam
from optprobe.heuristics.fits import best_of, fit_many
from optprobe.heuristics.local_search import descend
from optprobe.heuristics.model import additions, pair_gains
from optprobe.heuristics.pair_swaps import pair_swap
from optprobe.heuristics.splicing import splice
from optprobe.heuristics.swaps import swap
from optprobe.matrix import StreamedMatrix
from optprobe.matrix.device import DeviceMatrix
from optprobe.problem import Problem

SEEDS = range(15)


def value(problem: Problem, support: np.ndarray) -> float:
    fits = fit_many(problem.matrix.columns, problem.rows, np.sort(support)[None])
    return float(fits.primal[0])


def distinct(seed: int) -> Problem:
    """A regression problem whose columns differ: the model divides by what they add."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((40, 7)) @ (np.eye(7) + 0.4 * rng.standard_normal((7, 7)))
    y = X @ rng.standard_normal(7) + rng.standard_normal(40)
    return Problem.of(X, y, k=2, lam=0.05, loss="squared_error")


def suppressors() -> Problem:
    """Columns 0 and 1 tell the classes apart by their difference, and alone by nothing."""
    rng = np.random.default_rng(0)
    n = 200
    y = rng.random(n) < 0.5
    shared, hint = 3.0 * rng.standard_normal(n), np.where(y, 1.0, -1.0)
    weak = [0.7 * hint + rng.standard_normal(n) for _ in range(4)]
    X = np.stack([shared + hint, shared - hint, *weak], axis=1)
    return Problem.of(X, y, k=2, lam=1e-3)


@pytest.mark.parametrize("seed", SEEDS)
def test_for_the_squared_loss_the_model_is_the_truth(seed):
    problem = distinct(seed)
    matrix, rows, usable = problem.matrix, problem.rows, problem.usable
    supports = np.array(list(combinations(usable.tolist(), 2)))
    fits = fit_many(matrix.columns, rows, supports)
    model = additions(matrix, rows, supports, fits)
    for i in range(0, len(supports), 5):
        others = np.setdiff1d(usable, supports[i])
        drop = [fits.primal[i] - value(problem, np.append(supports[i], j)) for j in others]
        np.testing.assert_allclose(model.gain[i, others], drop, rtol=1e-7, atol=1e-10)
        assert not model.gain[i, supports[i]].any()
        pairs = pair_gains(matrix, rows, model, i, others)
        for a, b in combinations(range(len(others)), 2):
            both = fits.primal[i] - value(problem, np.append(supports[i], others[[a, b]]))
            assert pairs[a, b] == pytest.approx(both, rel=1e-7, abs=1e-10)
            assert pairs[b, a] == pytest.approx(pairs[a, b], rel=1e-12)
        assert not pairs.diagonal().any()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_model_is_a_newton_step_of_any_loss(seed):
    """gain = g' H^-1 g / 2 on S + j, with gradient and Hessian written out."""
    problem = random_problem(seed)
    matrix, rows, usable = problem.matrix, problem.rows, problem.usable
    support = usable[:1]
    fits = fit_many(matrix.columns, rows, support[None])
    model = additions(matrix, rows, support[None], fits)
    smooth = rows.loss.smoothed(0.1)
    Z = matrix.columns(np.arange(problem.d)).T
    score = Z[:, support] @ fits.beta[0] + fits.intercept[0]
    terms = smooth.terms((score * rows.y)[None])
    D, u = terms.curvature[0] * rows.w, terms.dual[0] * rows.w * rows.y
    assert np.all(model.gain[0] <= (Z.T @ u) ** 2 / (2.0 * rows.lam) + 1e-12)
    if problem.loss_name == "hinge" or D.sum() < 1e-6:
        return  # the fit is stationary for the hinge, not for its smoothing
    for j in usable[1:]:
        B = np.column_stack([Z[:, support], Z[:, j], np.ones(len(Z))])
        H = (B * D[:, None]).T @ B + np.diag([rows.lam, rows.lam, 0.0]) + 1e-12 * np.eye(3)
        g = np.array([0.0, Z[:, j] @ u, 0.0])  # the fit is stationary in S and the intercept
        assert model.gain[0, j] == pytest.approx(0.5 * g @ np.linalg.solve(H, g), rel=1e-5)


@pytest.mark.parametrize("seed", range(40))
def test_local_search_finds_the_optimum_of_small_problems(seed):
    problem = random_targets(seed) if seed % 4 == 3 else random_problem(seed)
    (choice,) = HEURISTICS["local_search"].path(problem, [problem.k])
    optimum = brute_force(problem)
    assert value(problem, choice.support) == pytest.approx(optimum.value, rel=1e-7)


def test_local_search_depends_on_its_seed_only():
    problem = random_problem(3).with_k(3)
    for seed in (0, 1):
        one, two = (HEURISTICS["local_search"].path(problem, [2, 3], seed=seed) for _ in range(2))
        for a, b in zip(one, two, strict=True):
            np.testing.assert_array_equal(a.support, b.support)


def test_pair_swaps_find_what_single_swaps_cannot():
    problem = suppressors()
    matrix, rows, usable = problem.matrix, problem.rows, problem.usable
    optimum = brute_force(problem)
    assert optimum.support == (0, 1)
    start = np.array([[2, 3]])
    stuck = swap(matrix, rows, best_of(start, fit_many(matrix.columns, rows, start)), usable)
    assert stuck.objective > 1.5 * optimum.value
    found = pair_swap(matrix, rows, stuck, usable)
    assert found.support.tolist() == [0, 1]
    assert found.objective == pytest.approx(optimum.value, rel=1e-9)
    assert pair_swap(matrix, rows, found, usable) is found
    assert descend(matrix, rows, stuck, usable).support.tolist() == [0, 1]


def test_pair_swaps_need_two_columns_to_leave_and_two_to_enter():
    problem = random_problem(3)
    matrix, rows = problem.matrix, problem.rows
    for support, usable in (([0], [0, 1, 2, 3]), ([0, 1], [0, 1, 2])):
        chosen = np.array([support])
        found = best_of(chosen, fit_many(matrix.columns, rows, chosen))
        assert pair_swap(matrix, rows, found, np.array(usable)) is found


@pytest.mark.parametrize("seed", SEEDS)
def test_a_wide_beam_is_an_enumeration(seed):
    problem = random_problem(seed)
    rows, usable = problem.rows, problem.usable
    for level in beam(problem.matrix, rows, problem.k, usable, width=100):
        size = level.supports.shape[1]
        every = {tuple(support) for support in combinations(usable.tolist(), size)}
        assert {tuple(support) for support in level.supports.tolist()} == every
        assert np.all(np.diff(level.fits.primal) >= -1e-4 * level.fits.primal[0])
        optimum = brute_force(problem.with_k(size))
        assert value(problem, level.supports[0]) <= optimum.value * (1.0 + 3e-4)


@pytest.mark.parametrize("seed", SEEDS)
def test_splicing_only_descends(seed):
    problem = random_problem(seed)
    matrix, rows, usable = problem.matrix, problem.rows, problem.usable
    start = np.sort(np.random.default_rng(seed).choice(usable, (1, problem.k), replace=False))
    first = best_of(start, fit_many(matrix.columns, rows, start))
    found = splice(matrix, rows, first, usable)
    assert found.objective <= first.objective
    assert found.objective == pytest.approx(value(problem, found.support), rel=1e-8)
    assert len(found.support) == problem.k


def test_hard_thresholding_of_orthogonal_columns_is_exact():
    """With orthogonal columns and the squared loss the largest correlations are the optimum."""
    rng = np.random.default_rng(1)
    Q, _ = np.linalg.qr(rng.standard_normal((64, 9)) - 0.0)
    Q -= Q.mean(axis=0)
    Q, _ = np.linalg.qr(Q)
    y = Q @ np.array([5.0, -4.0, 3.0, 2.0, 1.0, 0.5, 0.2, 0.1, 0.0])
    problem = Problem.of(Q, y, k=3, lam=0.1, loss="squared_error")
    for choice in HEURISTICS["hard_thresholding"].path(problem, [1, 2, 3, 5]):
        assert choice.support.tolist() == list(range(choice.k))


def test_pruning_removes_the_best_neuron_of_a_probe_and_goes_on():
    """Copies of one column: pruning takes them one by one, a probe of two needs the other."""
    rng = np.random.default_rng(0)
    n = 300
    y = rng.random(n) < 0.5
    strong = np.where(y, 1.0, -1.0) + 0.8 * rng.standard_normal(n)
    other = np.where(y, 1.0, -1.0) + rng.standard_normal(n)
    X = np.stack([strong, strong + 1e-3 * rng.standard_normal(n), other], axis=1)
    problem = Problem.of(X, y, k=2, lam=0.01)
    pruned = HEURISTICS["pruning"].path(problem, [1, 2])
    assert {*pruned[1].support.tolist()} == {0, 1}
    (solved,) = HEURISTICS["local_search"].path(problem, [2])
    assert 2 in solved.support
    assert value(problem, solved.support) < value(problem, pruned[1].support)


OWN = [name for name, heuristic in HEURISTICS.items() if heuristic.package is None]


@pytest.mark.parametrize("name", OWN)
def test_a_heuristic_sees_the_activations_only_through_their_interface(name):
    """The same supports whether Z is in memory, streamed, or a tensor on a device."""
    rng = np.random.default_rng(6)
    X = rng.standard_normal((120, 12)) @ (np.eye(12) + 0.3 * rng.standard_normal((12, 12)))
    y = X[:, :3] @ np.array([1.5, -1.0, 0.8]) + rng.standard_normal(120) > 0
    problem = Problem.of(X.astype(np.float32), y, k=3, lam=0.05)
    data, heuristic = problem.data, HEURISTICS[name]
    expected = [choice.support.tolist() for choice in heuristic.path(problem, [1, 2, 3])]
    streamed = StreamedMatrix(data.on_host(), data.train, data.by, np.arange(problem.d))
    vars(data)["matrix"] = streamed
    assert [choice.support.tolist() for choice in heuristic.path(problem, [1, 2, 3])] == expected
    on_device = torch.tensor(data.on_host())
    vars(data)["matrix"] = DeviceMatrix.standardised(on_device, data.train, data.by)
    assert [choice.support.tolist() for choice in heuristic.path(problem, [1, 2, 3])] == expected
