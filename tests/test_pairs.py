"""Sums over pairs: each is met by a dual point, and no support that exceeds is lost on the way."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from nodes import (
    alone,
    bracket,
    centre_of,
    dual_value,
    maker,
    moved,
    node,
    over,
    over_pairs,
    unproven,
)

from optprobe.bounds import repair_intercept
from optprobe.checker import covering
from optprobe.checker import pairs as checked
from optprobe.engine import filter, pairs, support_costs
from optprobe.engine.filter import Quadratic
from optprobe.engine.pair_costs import dearer
from optprobe.engine.support_costs import costs
from optprobe.support import fit_supports, signed

LOSSES = ("logistic", "squared_hinge", "squared_error")

Sums = Callable[[Quadratic, float, int], np.ndarray]


@pytest.fixture(autouse=True)
def from_pairs_upwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """No node is so small that its supports are met one by one."""
    monkeypatch.setattr(pairs, "EVERY", 0)


CHILD = 1e6
"""What a child of a node would take, in fits: no column is worth one, unless said otherwise."""


def engine_sums(at: Quadratic, lam: float, size: int) -> np.ndarray:
    return pairs.pair_costs(at, lam, size)


@np.errstate(all="ignore")
def checker_sums(at: Quadratic, lam: float, size: int) -> np.ndarray:
    return checked.Pairs(centre_of(at, lam), size).E


SUMS: dict[str, Sums] = {"engine": engine_sums, "checker": checker_sums}


# The bound


def faults(sums: Sums, seeds: range, name: str) -> Iterator[bool]:
    """Of every support tried: whether its sum is below the cost of its single steps, or its bound
    above the dual value of a + delta or the optimum on S + T."""
    rng = np.random.default_rng(0)
    for seed in seeds:
        at = node(seed, name)
        rows, lam, s = at.rows, at.rows.lam, len(at.forced)
        made = filter.quadratic(at.forced, at.free, at.margin, rows)
        omega = filter.moves(rows.loss, at.point, filter.limits(rows).reach).omega
        block = signed(np.concatenate([at.forced, at.free]), rows)
        for size in range(2, 7):
            E, d = sums(made, lam, size), alone(made, lam, size)
            for _ in range(4):
                T = rng.choice(len(at.free), size, replace=False)
                total = float(over_pairs(E, T[:, None])[0])
                a = moved(at, T, d[T], omega)
                a = repair_intercept(a[None], rows.y, rows.w, rows.loss)[0]
                value = dual_value(at, T, a)
                support = np.concatenate([np.arange(s), s + T])
                optimum = float(fit_supports(block, support[None], rows).primal[0])
                scale = 1e-9 * (1.0 + rows.spread * rows.size + abs(value))
                yield bool(
                    total < bracket(made, T, d[T], lam) - scale
                    or made.value - total > value + scale
                    or value > optimum + scale
                )


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("sums", SUMS)
def test_every_sum_has_its_dual_point(sums: str, name: str) -> None:
    assert list(faults(SUMS[sums], range(30), name)) == [False] * 600


def without_cauchy(sums: Sums) -> Sums:
    """The square of a sum taken for the sum of the squares: the factor r - 1 left out."""

    def broken(at: Quadratic, lam: float, size: int) -> np.ndarray:
        A = at.M * alone(at, lam, size)
        return sums(at, lam, size) - (size - 2) / (2.0 * lam) * (A * A + A.T * A.T)

    return broken


def shared_once_more(sums: Sums) -> Sums:
    """What each column costs, divided by r and not by the r - 1 pairs that it is in."""

    def broken(at: Quadratic, lam: float, size: int) -> np.ndarray:
        d = alone(at, lam, size)
        every = np.arange(len(d))
        single = [bracket(at, every[p : p + 1], d[p : p + 1], lam) for p in every]
        return sums(at, lam, size) - np.add.outer(single, single) / (size * (size - 1))

    return broken


def longer_steps(sums: Sums) -> Sums:
    """Every column takes all of the reach."""
    return lambda at, lam, size: sums(at._replace(reach=at.reach / size), lam, size)


def other_side(sums: Sums) -> Sums:
    """M transposed."""
    return lambda at, lam, size: sums(at._replace(M=at.M.T), lam, size)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("sums", SUMS)
@pytest.mark.parametrize("broken", [without_cauchy, shared_once_more, longer_steps, other_side])
def test_broken_sums_are_caught(broken: Callable[[Sums], Sums], sums: str, name: str) -> None:
    assert any(faults(broken(SUMS[sums]), range(15), name))


# Which supports exceed


def sets_of(f: int, size: int) -> np.ndarray:
    """Every subset of `size` of f positions, [size, ...]."""
    return np.concatenate(list(support_costs.subsets(f, size)), axis=1)


@pytest.mark.parametrize("size", [2, 3, 5])
@pytest.mark.parametrize("name", LOSSES)
def test_supports_are_dearer_where_their_pairs_sum_to_more(name: str, size: int) -> None:
    told: list[bool] = []
    for seed in range(12):
        at = node(seed, name)
        made = filter.quadratic(at.forced, at.free, at.margin, at.rows)
        every = sets_of(len(at.free), size)
        sums = over_pairs(pairs.pair_costs(made, at.rows.lam, size), every)
        need = float(np.quantile(sums, 0.6))
        scale = 1e-8 * (abs(need) + abs(made.value))
        found = dearer(made, size, at.rows.lam, made.value - need)(every)
        assert found[sums > need + scale].all()
        if need > 0.0:
            assert not found[sums < need - scale].any()
        told += found.tolist()
    assert 0 < sum(told) < len(told)


def only_once(sets: np.ndarray) -> set[tuple[int, ...]]:
    """The columns of `sets`, none of which may come twice."""
    found = {tuple(sorted(T)) for T in sets.T.tolist()}
    assert len(found) == sets.shape[1]
    return found


def above(at: Quadratic, size: int, lam: float, cutoff: float) -> np.ndarray:
    found = pairs.above(at, size, lam, cutoff, CHILD, lambda: False)
    assert found is not None
    assert len(found.hubs) == 0
    return found.sets.T


def engine_found(
    E: np.ndarray, size: int, need: float, monkeypatch: pytest.MonkeyPatch
) -> np.ndarray:
    """What the engine finds to sum to more than `need`."""
    monkeypatch.setattr(pairs, "pair_costs", lambda *_: E)
    return above(unproven(len(E), need), size, 1.0, 0.0)


def met(made: checked.Pairs, lower: float) -> np.ndarray:
    return np.concatenate([np.empty((made.r, 0), np.int64), *made.left(lower)], axis=1)


@np.errstate(all="ignore")
def checker_found(
    E: np.ndarray, size: int, need: float, monkeypatch: pytest.MonkeyPatch
) -> np.ndarray:
    """What the checker finds to."""
    made = checked.Pairs(centre_of(unproven(len(E), need), 1.0), size)
    made.E, made.slack = E, 0.0
    found = met(made, 0.0)
    return found[:, made.exceed(found, 0.0)]


FINDERS = {"engine": engine_found, "checker": checker_found}


def whole_numbers(rng: np.random.Generator, f: int) -> np.ndarray:
    """Small ones, of either sign: most sets have several columns that add as little."""
    E = np.triu(rng.integers(-1, 4, (f, f)).astype(float), 1)
    E += E.T
    np.fill_diagonal(E, -np.inf)
    return E


@pytest.mark.parametrize("find", FINDERS)
@pytest.mark.parametrize("size", [2, 3, 4, 5, 6])
def test_every_set_is_found_from_its_pairs(
    find: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once each, whatever the ties, in pieces of work and blocks of any size."""
    rng = np.random.default_rng(size)
    many = 0
    for f, piece in ((size, 1), (9, 1), (12, 7), (40 if size < 5 else 14, 64)):
        monkeypatch.setattr(pairs, "APART", piece)
        monkeypatch.setattr(pairs, "ROOM", piece - 1)
        monkeypatch.setattr(checked, "BLOCK", f * piece)
        E = whole_numbers(rng, f)
        every = sets_of(f, size)
        totals = over_pairs(E, every)
        for share in (0.0, 0.5, 0.9, 0.99):
            need = max(1.0, np.floor(np.quantile(totals, share))) - 1e-6  # just exceeded
            found = only_once(FINDERS[find](E, size, need, monkeypatch))
            assert found == only_once(every[:, totals > need])
            many += len(found)
    assert many > 500


def test_what_needs_nothing_is_all_listed() -> None:
    at = unproven(9, -1.0)
    for size in (2, 3, 4):
        assert only_once(above(at, size, 1.0, 0.0)) == only_once(sets_of(9, size))


@functools.cache
def wide(seed: int, name: str, f: int, copies: int) -> tuple[Quadratic, float]:
    """The quadratic of a node with f columns, the last `copies` of which repeat the first."""
    rng = np.random.default_rng(seed)
    at = node(seed, name)
    free = rng.standard_normal((f - copies, len(at.free))) @ at.free
    free += free.std() * rng.standard_normal(free.shape)
    free /= free.std(axis=1, keepdims=True)
    made = filter.quadratic(at.forced, free, at.margin, at.rows)
    return over(made, np.arange(f) % (f - copies)), at.rows.lam


@functools.cache
def brute_of(seed: int, size: int, f: int, copies: int) -> Brute:
    """Of `wide`, whose loss goes with the seed."""
    return Brute(*wide(seed, LOSSES[seed % 3], f, copies), size)


class Brute:
    """Every support of `size`: its sum, the bound of its own step, the best of those beside."""

    @np.errstate(all="ignore")
    def __init__(self, at: Quadratic, lam: float, size: int) -> None:
        self.every = sets_of(len(at.v), size)
        self.sums = over_pairs(pairs.pair_costs(at, lam, size), self.every)
        self.own = at.value - costs(at, self.every, lam)
        centre = centre_of(at, lam)
        beside = [centre.beside(self.every, place) for place in range(size)]
        self.beside = np.fmax.reduce([np.full(len(self.own), -np.inf), *beside])

    def needs(self) -> list[float]:
        """Some that a few supports, half of them or most exceed."""
        return [x for x in np.quantile(self.sums, (0.05, 0.5, 0.95, 0.999)) if x > 1e-3]


CASES = [(2, 18), (3, 18), (4, 18), (5, 14), (3, 45), (4, 38)]
"""Columns of a support, and of a node: with 38 and more some sets are bounded along lines."""


@pytest.mark.parametrize("copies", [0, 6], ids=["distinct", "tied"])
@pytest.mark.parametrize(("size", "f"), CASES)
def test_above_lists_what_neither_sums_nor_steps_prove(size: int, f: int, copies: int) -> None:
    """All of it, perhaps less what a line proves."""
    listed = lined = 0
    for seed in range(6 if f < 30 else 3):
        at, lam = wide(seed, LOSSES[seed % 3], f, copies)
        brute = brute_of(seed, size, f, copies)
        for need in brute.needs():
            cutoff, near = at.value - need, 1e-8 * (1.0 + need)
            may = (brute.sums > need - near) & ~(brute.own >= cutoff + near)
            must = (brute.sums > need + near) & ~(brute.own >= cutoff - near)
            must &= ~(brute.beside >= cutoff - near)
            found = only_once(above(at, size, lam, cutoff))
            assert only_once(brute.every[:, must]) <= found <= only_once(brute.every[:, may])
            listed += len(found)
            lined += int(may.sum()) - len(found)
    assert listed > 50
    assert f < 30 or lined > 0


@np.errstate(all="ignore")
@pytest.mark.parametrize("copies", [0, 6], ids=["distinct", "tied"])
@pytest.mark.parametrize(("size", "f"), CASES)
def test_the_checker_meets_what_neither_sums_nor_lines_bound(
    size: int, f: int, copies: int
) -> None:
    count = 0
    for seed in range(6 if f < 30 else 3):
        at, lam = wide(seed, LOSSES[seed % 3], f, copies)
        brute = brute_of(seed, size, f, copies)
        made = checked.Pairs(centre_of(at, lam), size)
        assert made.slack < 1e-8 * (1.0 + np.abs(brute.sums).max())
        for need in brute.needs():
            lower, near = at.value - need, 1e-8 * (1.0 + need)
            may, must = brute.sums > need - near, brute.sums > need + near
            must &= ~(brute.beside >= lower - near)
            left = only_once(met(made, lower))
            assert only_once(brute.every[:, must]) <= left <= only_once(brute.every[:, may])
            assert made.exceed(brute.every[:, must], lower).all()
            assert not made.exceed(brute.every[:, ~may], lower).any()
            count += len(left)
    assert count > 50


@np.errstate(all="ignore")
@pytest.mark.parametrize(("size", "f"), CASES)
def test_the_checker_leaves_the_same_along_lines_and_by_pairs(
    size: int, f: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(3):
        at, lam = wide(seed, LOSSES[seed % 3], f, 0)
        brute = brute_of(seed, size, f, 0)
        for need in brute.needs():
            left = []
            for along in (0.0, np.inf):
                monkeypatch.setattr(covering, "ALONG", along)
                found = covering.uncovered([maker(at, lam)], f, size, at.value - need)
                left.append(only_once(found.T))
            assert left[0] == left[1]


@pytest.mark.parametrize("copies", [0, 6], ids=["distinct", "tied"])
@pytest.mark.parametrize("size", [3, 4, 5])
def test_without_the_hubs_nothing_is_lost(
    size: int, copies: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Room for a few sets only: columns that many of them have are set aside and told."""
    f = 18 if size < 5 else 14
    monkeypatch.setattr(pairs, "SAMPLED", 40)
    aside = 0
    for seed in range(12):
        monkeypatch.setattr(pairs, "SUMS", f * (60, 2**29)[seed % 2] / CHILD)
        monkeypatch.setattr(pairs, "MET", (2**25, 60)[seed % 2] / CHILD)
        at, lam = wide(seed, LOSSES[seed % 3], f, copies)
        brute = brute_of(seed, size, f, copies)
        for need in brute.needs():
            cutoff, near = at.value - need, 1e-8 * (1.0 + need)
            found = pairs.above(at, size, lam, cutoff, CHILD, lambda: False)
            assert found is not None
            hubs = set(found.hubs.tolist())
            assert len(hubs) == len(found.hubs)
            must = (brute.sums > need + near) & ~(brute.own >= cutoff - near)
            must &= ~(brute.beside >= cutoff - near) & ~np.isin(brute.every, found.hubs).any(axis=0)
            left = only_once(found.sets.T)
            assert only_once(brute.every[:, must]) <= left
            assert not any(hubs & set(T) for T in left)
            aside += 0 < len(hubs) < f
    assert aside > 10


def test_a_long_search_can_tell_where_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    """After every piece of work, whether a node is climbed or all its supports are met."""
    monkeypatch.setattr(pairs, "APART", 1)
    at, lam = wide(0, "logistic", 18, 0)
    for every in (0, 1):
        monkeypatch.setattr(pairs, "EVERY", every)
        ticks: list[int] = []
        asked = at, 3, lam, at.value - 1e-3, CHILD, lambda: False
        assert pairs.above(*asked, lambda of=ticks: of.append(1)) is not None
        assert len(ticks) >= (100, pairs.PARTS)[every]


def test_a_search_that_is_told_to_stop_finds_nothing() -> None:
    at, lam = wide(0, "logistic", 18, 0)
    for size in (3, 4):
        assert pairs.above(at, size, lam, at.value - 1e-3, CHILD, lambda: True) is None


@pytest.mark.parametrize("copies", [0, 6], ids=["distinct", "tied"])
@pytest.mark.parametrize(("size", "f"), [(3, 18), (4, 18), (5, 14), (6, 12), (3, 45)])
def test_small_nodes_list_what_no_step_proves(
    size: int, f: int, copies: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the pairs sum to; one by one or those of a line together."""
    monkeypatch.setattr(pairs, "EVERY", 2**14)
    monkeypatch.setattr(pairs, "ROOM", 1)
    listed = 0
    for seed in range(6):
        at, lam = wide(seed, LOSSES[seed % 3], f, copies)
        brute = brute_of(seed, size, f, copies)
        for need in np.quantile(at.value - brute.own, (0.05, 0.5, 0.95, 0.999)):
            cutoff, near = at.value - need, 1e-8 * (1.0 + abs(need))
            may = ~(brute.own >= cutoff + near)
            must = ~(brute.own >= cutoff - near) & ~(brute.beside >= cutoff - near)
            found = only_once(above(at, size, lam, cutoff))
            assert only_once(brute.every[:, must]) <= found <= only_once(brute.every[:, may])
            listed += len(found)
    assert listed > 50
