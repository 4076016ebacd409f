"""Which supports a filtered node leaves: the checker's lines and sums over pairs, one by one."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest
from nodes import bracket, centre_of, maker, node, over_pairs

from optprobe.checker import covering, lines, pairs, products
from optprobe.checker.centre import Head
from optprobe.checker.covering import uncovered
from optprobe.engine import damping, filter, support_costs
from optprobe.engine.pair_costs import pair_costs


def test_subsets_are_all_there_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(support_costs, "SUBSETS", 7)
    for f, size in itertools.product(range(1, 9), range(1, 5)):
        expected = set(itertools.combinations(range(f), size))
        found = [
            tuple(sorted(T)) for block in support_costs.subsets(f, size) for T in block.T.tolist()
        ]
        assert len(found) == len(expected)
        assert set(found) == expected


def best_beside(at: filter.Quadratic, head: Head, P: np.ndarray, last: int, lam: float) -> float:
    """The best bound of P + l with d_P as it is: a parabola in d_l, from three of its values."""

    def value(step: float) -> float:
        return bracket(at, np.append(P, last), np.append(head.d[:, 0], step), lam)

    far = (damping.REACH - float(head.length[0])) / max(float(at.reach[last]), 1e-300)
    low, middle, high = value(-1.0), value(0.0), value(1.0)
    bend, slope = (low + high) / 2 - middle, (high - low) / 2
    step = np.clip(-slope / (2 * bend) if bend > 0 else 0.0, -far, far)
    return at.value - value(float(step))


def heads_of(f: int, r: int) -> list[np.ndarray]:
    """Every (r-1)-subset that something comes after, a few at a time and in no order of its own."""
    everything = list(itertools.combinations(range(f - 1), r - 1))
    return [np.array(everything[t : t + 7]).T for t in range(0, len(everything), 7)]


def test_heads_are_every_subset_that_something_comes_after(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each once, however many are taken together."""
    for few in (3, 50, lines.HEADS):
        monkeypatch.setattr(lines, "HEADS", few)
        for f, r in itertools.product((2, 3, 7, 10), (2, 3, 4, 5)):
            groups = list(lines._heads(f, r))
            found = [tuple(head) for group in groups for head in group.T.tolist()]
            assert sorted(found) == list(itertools.combinations(range(f - 1), r - 1))
            assert all(group.shape[1] < 2 * few for group in groups)


def test_products_in_slices_are_the_plain_ones() -> None:
    rng = np.random.default_rng(0)
    for p, q in ((1, 1), (products.SLICE, 3), (3 * products.SLICE + 1, 5)):
        A, B = rng.standard_normal((p, 40)), rng.standard_normal((q, 40))
        assert products.product(A, B) == pytest.approx(A @ B.T, rel=1e-12, abs=1e-12)
        assert products.gram(A) == pytest.approx(A @ A.T, rel=1e-12, abs=1e-12)
        assert (products.gram(A) == products.gram(A).T).all()


@np.errstate(all="ignore")
def test_lines_take_the_best_step_beside_their_head() -> None:
    """From any column on, of those that are not in the head."""
    checked_lines = 0
    for seed in range(15):
        n = node(seed, ("logistic", "squared_hinge", "squared_error")[seed % 3])
        made = filter.quadratic(n.forced, n.free, n.margin, n.rows)
        lam, f = n.rows.lam, len(made.v)
        at = centre_of(made, lam)
        made_lines = lines.Lines(at)
        for r in (2, 3, 4):
            for number, heads in enumerate(heads_of(f, r)):
                after = number % f
                beside = lines.Beside(made_lines, heads, after)
                found = np.concatenate([beside.bounds(part) for part in beside.slices()])
                assert found.shape == (heads.shape[1], f - after)
                for t, last in itertools.product(range(heads.shape[1]), range(after, f)):
                    P = heads[:, t]
                    if made.reach[last] == 0.0 or last in P:
                        continue
                    head = at.head(P[:, None], lines.HEAD)
                    expected = best_beside(made, head, P, last, lam)
                    bound = found[t, last - after]
                    assert bound == pytest.approx(expected, rel=1e-7, abs=1e-8)
                    checked_lines += 1
    assert checked_lines > 3000


def first_bounds(at: filter.Quadratic, r: int, lam: float) -> np.ndarray:
    """The best bound of every r-subset: its own step's, each column beside the others, its sum."""
    every = np.array(list(itertools.combinations(range(len(at.v)), r))).T
    centre = centre_of(at, lam)
    best = np.fmax(centre.bounds(every), -np.inf)
    if r == 1:
        return best
    best = np.fmax(best, at.value - over_pairs(pair_costs(at, lam, r), every))
    for t, T in enumerate(every.T):
        for place in range(r):
            P = np.delete(T, place)
            head = centre.head(P[:, None], lines.HEAD)
            best[t] = np.fmax(best[t], best_beside(at, head, P, int(T[place]), lam))
    return best


@functools.cache
def two_centres() -> tuple[filter.Quadratic, filter.Quadratic, float]:
    """Of one node, and its ridge."""
    n = node(4, "logistic")
    made = filter.quadratic(n.forced, n.free, n.margin, n.rows)
    other = filter.quadratic(n.forced, n.free, 0.9 * n.margin, n.rows)
    return made, other, n.rows.lam


@functools.cache
def bounds_of_both(r: int) -> tuple[np.ndarray, np.ndarray]:
    """The best bounds of the first centre, those of the own steps of the second."""
    made, other, lam = two_centres()
    every = np.array(list(itertools.combinations(range(len(made.v)), r))).T
    return first_bounds(made, r, lam), np.fmax(centre_of(other, lam).bounds(every), -np.inf)


def between(bounds: np.ndarray, share: float) -> float:
    """A number that no bound is near to."""
    ranked = np.sort(bounds)
    first = int(share * (len(ranked) - 1))
    wide = first + int(np.argmax(np.diff(ranked[first : first + 5])))
    return float(ranked[wide : wide + 2].mean())


@np.errstate(all="ignore")
@pytest.mark.parametrize("along", [0, 2**25], ids=["pairs", "lines"])
@pytest.mark.parametrize("block", [1, 50, 2**14])
@pytest.mark.parametrize("r", [1, 2, 3, 4, 5])
def test_uncovered_is_what_no_bound_of_a_single_support_covers(
    along: int, block: int, r: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one centre or two, in blocks of any size, whether lines or sums come first."""
    made, other, lam = two_centres()
    f, centres = len(made.v), [maker(made, lam), maker(other, lam)]
    for module, name, value in (
        (lines, "BLOCK", block),
        (pairs, "BLOCK", block),
        (covering, "BLOCK", block),
        (pairs, "MANY", block % 7),
        (covering, "ALONG", along),
    ):
        monkeypatch.setattr(module, name, value)
    everything = list(itertools.combinations(range(f), r))
    first, second = bounds_of_both(r)
    for bounds, used in ((first, centres[:1]), (np.maximum(first, second), centres)):
        for share in (0.1, 0.5, 0.9):
            cutoff = between(bounds, share)
            found = [tuple(T) for T in uncovered(used, f, r, cutoff).tolist()]
            assert len(found) == len(set(found))
            assert set(found) == {everything[t] for t in np.flatnonzero(bounds < cutoff)}


@pytest.mark.parametrize("block", [1, 50, 2**17])
@pytest.mark.parametrize("distinct", [1, 3, 1000])
def test_a_set_is_met_once_whichever_of_its_columns_add_as_little(
    distinct: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Costs of pairs that are whole numbers, so that sums tie exactly or differ by 1 at least."""
    monkeypatch.setattr(pairs, "BLOCK", block)
    made, _, lam = two_centres()
    f = len(made.v)
    costs = np.random.default_rng(distinct).integers(0, distinct, (f, f)).astype(float)
    costs += costs.T
    np.fill_diagonal(costs, -np.inf)
    at = pairs.Pairs(centre_of(made, lam), 4)
    at.E = costs
    for size in (2, 3):
        sets = np.array(list(itertools.combinations(range(f), size))).T
        longer = list(itertools.combinations(range(f), size + 1))
        total = over_pairs(costs, np.array(longer).T)
        bar = float(np.median(total)) - 0.5
        found = [tuple(T) for part in at._longer(sets, bar) for T in part.T.tolist()]
        assert sorted(found) == [longer[t] for t in np.flatnonzero(total > bar)]
