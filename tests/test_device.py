"""The passes over the rows in torch, on a GPU where there is one, against NumPy and numba."""

from __future__ import annotations

import functools
import math
from itertools import combinations
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from instances import random_problem
from nodes import Node, bracket, crowded, node
from test_filter import LOSSES, hard_problem
from test_pruning import instance

from optprobe import Limits, Problem, solve
from optprobe.certificate import Kind
from optprobe.checker import verify
from optprobe.engine import compiled, filter, leaves, pairs, pruning, support_costs, tree
from optprobe.engine.damping import REACH
from optprobe.engine.device import pairs as device_pairs
from optprobe.engine.device import pruning as device_pruning
from optprobe.engine.device import sums as device_sums
from optprobe.engine.expansion import expansion, fitted_margin
from optprobe.engine.filter import Quadratic
from optprobe.engine.support_costs import costs
from optprobe.matrix import resident
from optprobe.matrix.device import DeviceMatrix, accelerator
from optprobe.matrix.resident import Resident
from optprobe.support import fit_supports
from optprobe.support.rows import dual_value

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture(autouse=True)
def from_pairs_upwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the host too, however small a node is."""
    monkeypatch.setattr(pairs, "EVERY", 0)


@pytest.mark.parametrize("size", [1, 3, 100])
def test_resident_columns_are_an_array_elsewhere(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resident, "GRAM_COLUMNS", size)
    rng = np.random.default_rng(0)
    X, w, beta = rng.standard_normal((7, 40)), rng.standard_normal(40), rng.standard_normal(7)
    held, at = Resident.of(X, DEVICE), np.array([5, 0, 5])
    assert (len(held), held.shape) == (7, (7, 40))
    np.testing.assert_array_equal(np.asarray(held[at]), X[at])
    np.testing.assert_array_equal(np.concatenate([X[:1], held[2:4]]), X[[0, 2, 3]])
    np.testing.assert_array_equal(held[at].after(X[:2]), X[[0, 1, 5, 0, 5]])
    np.testing.assert_allclose(held @ w, X @ w, rtol=1e-12)
    np.testing.assert_allclose(beta @ held, beta @ X, rtol=1e-12)
    gram = held.weighted(w, held[2:]).cpu().numpy()
    np.testing.assert_allclose(gram, (X * w) @ X[2:].T, rtol=1e-12, atol=1e-12)
    host = np.asarray(held)
    host[:] = 0.0
    np.testing.assert_array_equal(np.asarray(held), X)
    with pytest.raises(ValueError, match="a copy is needed"):
        np.array(held, copy=False)


def on_device(at: Node) -> tuple[Quadratic, Quadratic]:
    """A node's quadratic by NumPy and by torch."""
    given = at.margin, at.rows
    free = Resident.of(at.free, DEVICE)
    return filter.quadratic(at.forced, at.free, *given), filter.quadratic(at.forced, free, *given)


@pytest.mark.parametrize("name", LOSSES)
def test_a_quadratic_is_the_same_on_the_device(name: str) -> None:
    dead = 0
    for seed in range(60):
        at = node(seed, name)
        host, device = on_device(at)
        for mine, theirs in zip(device, host, strict=True):
            scale = 1e-11 * np.abs(theirs).max() + 1e-14 * at.rows.size
            np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=scale)
        np.testing.assert_array_equal(device.reach > 0.0, host.reach > 0.0)
        dead += int((host.reach == 0.0).sum())
    assert dead > 0


@pytest.mark.parametrize("name", LOSSES[:2])
def test_what_is_not_orthogonal_is_paid_for_on_the_device(name: str) -> None:
    for seed in range(20):
        host, device = on_device(crowded(seed, name))
        assert device.value == pytest.approx(host.value, rel=1e-9)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(device_sums, "residual", lambda forced, *_: np.zeros(len(forced) + 1))
            free = on_device(crowded(seed, name))[1]
        assert device.value < free.value - 1e-6


def made_up(seed: int, least: int = 3, most: int = 40) -> tuple[Quadratic, float]:
    """A quadratic with the signs and sizes of real ones, at times with columns that are dead, that
    repeat or that no reach is left for; and a ridge."""
    rng = np.random.default_rng(seed)
    f, lam = int(rng.integers(least, most)), float(10.0 ** rng.uniform(-3, 0))
    X = rng.standard_normal((f, 60)) + rng.standard_normal(60)
    X[f // 2] = X[0] if seed % 4 == 1 else X[f // 2]
    weight = rng.uniform(0.0, 0.01, 60)
    M = (X * weight) @ np.clip(X, -1.0, 1.0).T
    K = (np.clip(X, -1.0, 1.0) * weight) @ np.clip(X, -1.0, 1.0).T
    reach = rng.uniform(0.1, 3.0, f) * (100.0 if seed % 4 == 3 else 1.0)
    if seed % 4 == 2:
        dead = rng.choice(f, 2, replace=False)
        M[:, dead], K[dead], K[:, dead], reach[dead] = 0.0, 0.0, 0.0, 0.0
    h = 0.01 * rng.standard_normal(f) * (reach > 0.0)
    return Quadratic(0.6, 0.1 * rng.standard_normal(f), M, K, h, reach, weight.sum()), lam


def cutoff_of(at: Quadratic, lam: float, size: int, share: float) -> float:
    """That leaves about a share of the supports, between two bounds."""
    every = np.array(list(combinations(range(len(at.v)), size))).T
    bounds = np.sort(at.value - costs(at, every, lam))
    place = min(int(share * len(bounds)), len(bounds) - 1)
    return float(bounds[place] + 1e-6)


def both(at: Quadratic, size: int, lam: float, cutoff: float, child: float) -> leaves.Found:
    """What the tensors find, which is what the compiled loops do, in the same order."""
    asked = at, size, lam, cutoff, child, lambda: False
    host, device = pairs.above(*asked), device_pairs.above(*asked, DEVICE)
    assert host is not None
    assert device is not None
    np.testing.assert_array_equal(device.sets, host.sets)
    np.testing.assert_array_equal(device.hubs, host.hubs)
    return device


@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize(("block", "most"), [(99, 9), (1001, 14), (2**22, 25)])
def test_supports_are_those_of_the_compiled_loops(
    block: int, most: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_pairs, "BLOCK", block)
    monkeypatch.setattr(device_pairs, "LISTED", max(7, block // 8))
    counts: list[int] = []
    for seed in range(12):
        at, lam = made_up(seed, size, most)
        for share in (0.0, 0.1, 0.9):
            found = both(at, size, lam, cutoff_of(at, lam, size, share), np.inf)
            assert len(found.hubs) == 0
            counts.append(len(found.sets))
    assert sum(count > 5 for count in counts) > 10


def test_lines_are_bounded_by_the_best_step_of_their_last_column() -> None:
    """d of the head, at 0.8 of the reach, and the best step in what reach is left."""
    far, near = 0, 0
    for seed in range(8):
        at, lam = made_up(seed, 4, 12)
        levels = device_pairs.Tensors(at, 3, lam, 0.5, lambda: False, DEVICE)
        heads = torch.tensor(list(combinations(range(len(at.v)), 2)), device=DEVICE)
        bound = levels.beside(heads).cpu().numpy()
        for row, P in enumerate(heads.cpu().numpy()):
            A = at.M[np.ix_(P, P)].copy()
            pivot, target = support_costs.elimination(at, lam)
            A[[0, 1], [0, 1]] = pivot[P]
            d = np.linalg.solve(A, target[P])
            d *= min(1.0, 0.8 * REACH / max(np.abs(d) @ at.reach[P], 1e-300))
            for t in np.setdiff1d(np.flatnonzero(at.reach), P):
                T = np.append(P, t)
                at0, up, down = (bracket(at, T, np.append(d, s), lam) for s in (0.0, 1.0, -1.0))
                most = (REACH - np.abs(d) @ at.reach[P]) / at.reach[t]
                best = (down - up) / (2.0 * (up + down - 2.0 * at0))
                s = np.clip(best, -most, most)
                expected = at.value - bracket(at, T, np.append(d, s), lam)
                assert bound[row, t] == pytest.approx(expected, rel=1e-7, abs=1e-9)
                far, near = far + int(abs(best) > most), near + int(abs(best) < most)
    assert min(far, near) > 10


def test_what_long_lines_bound_is_not_tried_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else is lost."""
    undecided, tried = device_pairs.Tensors.undecided, [0, 0]

    def watched(levels: device_pairs.Tensors, sets: torch.Tensor) -> torch.Tensor:
        tried[0] += len(sets)
        return undecided(levels, sets)

    monkeypatch.setattr(device_pairs.Tensors, "undecided", watched)
    for seed in range(6):
        at, lam = made_up(seed, 50, 60)
        cutoff = cutoff_of(at, lam, 3, 0.3)
        found = both(at, 3, lam, cutoff, np.inf)
        tried.reverse()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(device_pairs, "MANY", len(at.v))
            every = device_pairs.above(at, 3, lam, cutoff, np.inf, lambda: False, DEVICE)
        assert every is not None
        assert {*map(tuple, found.sets)} <= {*map(tuple, every.sets)}
        tried.reverse()
    assert tried[0] < tried[1]


@pytest.mark.parametrize("size", [3, 4, 5])
def test_hubs_are_those_of_the_compiled_loops(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    hubs = 0
    monkeypatch.setattr(pairs, "MET", 100)
    monkeypatch.setattr(pairs, "SAMPLED", 20)
    for seed in range(12):
        at, lam = made_up(seed, least=size, most=25)
        monkeypatch.setattr(pairs, "SUMS", 50 * len(at.v))
        found = both(at, size, lam, cutoff_of(at, lam, size, 0.3), 1.0)
        assert not np.isin(found.sets, found.hubs).any()
        hubs += len(found.hubs)
    assert hubs > 10


def test_supports_of_no_need_are_all_left() -> None:
    """A centre below the cutoff bounds none."""
    at, lam = made_up(1, most=12)
    for size in (2, 3, 4):
        found = both(at, size, lam, at.value + 1.0, np.inf)
        assert len(found.sets) == math.comb(len(at.v), size)


def test_levels_end_where_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_pairs, "BLOCK", 100)
    at, lam = made_up(0)
    cutoff = cutoff_of(at, lam, 3, 0.5)
    for last in range(4):
        looks = iter([False] * last + [True])
        assert (
            device_pairs.above(at, 3, lam, cutoff, np.inf, lambda of=looks: next(of), DEVICE)
            is None
        )


@functools.cache
def exact_of(seed: int) -> np.ndarray:
    """The optimum on every support."""
    rows, block, _, supports = instance(seed)
    return fit_supports(block, supports, rows).primal


@pytest.mark.parametrize("numbers", [1, 500, 2**23])
@pytest.mark.parametrize("seed", range(30))
def test_dual_values_are_those_of_their_coefficients(
    seed: int, numbers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_pruning, "NUMBERS", numbers)
    rows, block, forced, supports = instance(seed)
    held = Resident.of(block, DEVICE)
    at = expansion(held, fitted_margin(held, forced, rows), rows)
    exact = exact_of(seed)
    full = np.column_stack([supports, np.full(len(supports), len(block) - 1)])
    for cutoff in (np.inf, float(np.median(exact)), -np.inf):
        found = device_pruning.prune(held, supports, rows, at, cutoff)
        assert (found.dual <= exact * (1.0 + 1e-10) + 1e-12).all()
        gathered = block[full]
        margin = np.einsum("mk,mkn->mn", found.theta, gathered)
        again = dual_value(gathered, rows.loss.dual(margin), rows)
        assert (found.dual <= again + 1e-11 * (1.0 + np.abs(again))).all()
        if cutoff == np.inf:
            solved = exact - again < 1e-6
            assert (again - found.dual)[solved].max(initial=0.0) < 1e-6
        if cutoff == -np.inf:
            compiled = pruning.prune(block, supports, rows, at, cutoff)
            np.testing.assert_allclose(found.theta, compiled.theta, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("seed", range(10))
def test_an_expansion_is_the_same_on_the_device(seed: int) -> None:
    rows, block, forced, _ = instance(seed)
    host, device = (
        expansion(held, fitted_margin(held, forced, rows), rows)
        for held in (block, Resident.of(block, DEVICE))
    )
    for mine, theirs in zip(device, host, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-12 * np.abs(theirs).max())


def tensor_problem(k: int, loss: str) -> tuple[Problem, np.ndarray, np.ndarray]:
    """`hard_problem` with X a tensor that stays one."""
    problem, X, y = hard_problem(k, loss=loss)
    held = torch.tensor(X).bfloat16()
    tensors = Problem.of(held, y, k=k, lam=problem.lam, loss=loss)
    assert isinstance(tensors.matrix, DeviceMatrix)
    return tensors, held.float().numpy(), y


def count(patch: pytest.MonkeyPatch, module: ModuleType, name: str, calls: list[str]) -> None:
    """Note every call of a function."""
    work = getattr(module, name)

    def counted(*given: Any) -> Any:
        calls.append(name)
        return work(*given)

    patch.setattr(module, name, counted)


@pytest.mark.parametrize("k", [3, 4])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_solve_on_the_device_is_the_ordinary_one(
    loss: str, k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree, "FILTER_FROM", 0)
    monkeypatch.setattr(tree, "ENUMERATE", 1)
    problem, X, y = tensor_problem(k, loss)
    assert accelerator(problem.matrix) is None
    ordinary = solve(problem, limits=Limits(gap=1e-4))
    monkeypatch.setattr(tree, "accelerator", lambda matrix: DEVICE)
    worked: list[str] = []
    count(monkeypatch, device_pairs, "above", worked)
    count(monkeypatch, device_pruning, "prune", worked)
    found = solve(problem, limits=Limits(gap=1e-4))
    assert "above" in worked
    assert ("prune" in worked) is (loss == "logistic")
    assert found.support.tolist() == ordinary.support.tolist()
    assert found.objective == pytest.approx(ordinary.objective, rel=1e-12)
    assert found.certificate is not None
    assert ordinary.certificate is not None
    kinds = [made.arrays["node_kind"] for made in (found.certificate, ordinary.certificate)]
    assert (kinds[0] == Kind.FILTERED).sum() == (kinds[1] == Kind.FILTERED).sum() > 0
    verdict = verify(found.certificate, X, y)
    assert verdict.valid
    assert verdict.gap <= 1.1e-4


def test_nodes_of_one_filter_are_the_same_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaves, "ENOUGH", 0)
    monkeypatch.setattr(leaves, "USEFUL", 1.0)
    monkeypatch.setattr(compiled, "LOADING", 0.0)
    problem, _, _ = hard_problem(3)
    fetched: list[int] = []

    def exact(columns: np.ndarray) -> np.ndarray:
        fetched.append(len(columns))
        return problem.matrix.columns(columns)

    filters = [leaves.Filter(exact, problem.rows, lambda: False, at) for at in (None, DEVICE)]
    for chosen, members in (([], range(16)), ([2], range(3, 16)), ([0, 5], range(6, 16))):
        forced, free = np.array(chosen, int), np.array(members)
        theta, offset = np.zeros(len(forced) + 1), np.full(len(free), 0.02)
        size = max(2, 3 - len(forced))
        cutoff = solve(problem).objective
        host, device = (held(forced, free, theta, offset, size, cutoff) for held in filters)
        assert host.left is not None
        assert device.left is not None
        assert {*map(tuple, device.left)} == {*map(tuple, host.left)}
        assert len(device.centres) == len(host.centres)
    assert fetched == [16, 16]  # each filter fetched its first node, which holds all others


def test_the_hinge_stays_on_the_host() -> None:
    """Whose nodes the filter does not serve."""
    problem = random_problem(1, loss="hinge")
    held = leaves.Filter(problem.matrix.columns, problem.rows, lambda: False, DEVICE)
    assert isinstance(held.columns(problem.usable), np.ndarray)
