"""Which supports a filtered node leaves: the compiled loop, the checker's lines, one by one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from nodes import bracket, node

from optprobe.checker import lines
from optprobe.checker.centre import Centre, Head
from optprobe.checker.covering import uncovered
from optprobe.engine import damping, filter, triples


def test_subsets_are_all_there_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filter, "BLOCK", 7)
    for f, size in itertools.product(range(1, 9), range(1, 5)):
        expected = set(itertools.combinations(range(f), size))
        found = [tuple(sorted(T)) for block in filter.subsets(f, size) for T in block.T.tolist()]
        assert len(found) == len(expected)
        assert set(found) == expected


def centre_of(at: filter.Quadratic, lam: float) -> Centre:
    """The engine's numbers as the checker would hold them."""
    return Centre(at.value, at.v, at.M, at.K, at.h, at.reach, damping.REACH, lam)


def best_beside(at: filter.Quadratic, head: Head, P: np.ndarray, third: int, lam: float) -> float:
    """The best bound of P + l with d_P as it is: a parabola in d_l, from three of its values."""

    def value(step: float) -> float:
        return bracket(at, np.append(P, third), np.append(head.d[:, 0], step), lam)

    far = (damping.REACH - float(head.length[0])) / max(float(at.reach[third]), 1e-300)
    low, middle, high = value(-1.0), value(0.0), value(1.0)
    bend, slope = (low + high) / 2 - middle, (high - low) / 2
    step = np.clip(-slope / (2 * bend) if bend > 0 else 0.0, -far, far)
    return at.value - value(float(step))


def heads_of(f: int, r: int) -> list[np.ndarray]:
    """Every (r-1)-subset that something comes after, a few at a time and in no order of its own."""
    everything = list(itertools.combinations(range(f - 1), r - 1))
    return [np.array(everything[t : t + 7]).T for t in range(0, len(everything), 7)]


@np.errstate(all="ignore")
def test_lines_take_the_best_step_beside_their_head() -> None:
    checked_lines = 0
    for seed in range(40):
        n = node(seed, ("logistic", "squared_hinge", "squared_error")[seed % 3])
        made = filter.quadratic(n.forced, n.free, n.margin, n.rows)
        lam, f = n.rows.lam, len(made.v)
        at = centre_of(made, lam)
        made_lines = lines.Lines(at)
        for r in (2, 3, 4):
            for heads in heads_of(f, r):
                beside = lines.Beside(made_lines, heads)
                found = np.concatenate([beside.bounds(part) for part in beside.slices()])
                for t, last in itertools.product(range(heads.shape[1]), range(beside.after, f)):
                    P = heads[:, t]
                    if made.reach[last] == 0.0 or last <= P[-1]:
                        continue
                    head = at.head(P[:, None], lines.HEAD)
                    expected = best_beside(made, head, P, last, lam)
                    bound = found[t, last - beside.after]
                    assert bound == pytest.approx(expected, rel=1e-7, abs=1e-8)
                    checked_lines += 1
    assert checked_lines > 3000


@np.errstate(all="ignore")
@pytest.mark.parametrize("block", [1, 50, 2**14])
@pytest.mark.parametrize("r", [1, 2, 3, 4])
def test_uncovered_is_what_no_bound_of_a_single_support_covers(
    block: int, r: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one centre or two, in blocks of any size."""
    n = node(4, "logistic")
    made = filter.quadratic(n.forced, n.free, n.margin, n.rows)
    other = filter.quadratic(n.forced, n.free, 0.9 * n.margin, n.rows)
    lam = n.rows.lam
    centres = [centre_of(made, lam), centre_of(other, lam)]
    monkeypatch.setattr(lines, "BLOCK", block)
    everything = list(itertools.combinations(range(len(made.v)), r))
    first, second = (np.fmax(at.bounds(np.array(everything).T), -np.inf) for at in centres)
    for t, (*head, last) in enumerate(everything if r > 1 else ()):
        P = np.array(head)
        beside = best_beside(made, centres[0].head(P[:, None], lines.HEAD), P, last, lam)
        first[t] = np.fmax(first[t], beside)
    for bounds, used in ((first, centres[:1]), (np.maximum(first, second), centres)):
        for share in (0.1, 0.5, 0.9):
            below = np.sort(bounds)[int(share * len(bounds)) :][:2]
            cutoff = float(below.mean())
            found = [tuple(T) for part in uncovered(used, r, cutoff) for T in part.tolist()]
            assert len(found) == len(set(found))
            assert set(found) == {everything[t] for t in np.flatnonzero(bounds < cutoff)}


@np.errstate(all="ignore")
def test_compiled_triples_are_those_that_no_step_bounds() -> None:
    for seed in range(30):
        n = node(seed, ("squared_hinge", "logistic", "squared_error")[seed % 3])
        free = np.concatenate([n.free, 0.5 * n.free[::-1] + n.free])
        made = filter.quadratic(n.forced, free, n.margin, n.rows)
        lam = n.rows.lam
        at = centre_of(made, lam)
        everything = np.concatenate(list(filter.subsets(len(free), 3)), axis=1)
        full = made.value - filter.costs(made, everything, lam)
        simple = np.empty(len(full))
        for t, (i, j, last) in enumerate(everything.T):
            P = np.array([i, j])
            simple[t] = best_beside(made, at.head(P[:, None], triples.PAIR), P, int(last), lam)
        best = np.fmax(full, simple)
        cutoff = float(np.quantile(best[np.isfinite(best)], 0.3)) + 1e-9
        left = triples.triples_below(made, lam, cutoff, 10**6, lambda: False)
        assert left is not None
        sure = np.abs(best - cutoff) > 1e-7
        expected = {tuple(T) for T in everything[:, sure & ~(best >= cutoff)].T.tolist()}
        unsure = {tuple(T) for T in everything[:, ~sure].T.tolist()}
        assert {tuple(T) for T in left.tolist()} - unsure == expected
        assert triples.triples_below(made, lam, np.inf, 50, lambda: False) is None
        assert triples.triples_below(made, lam, cutoff, 10**6, lambda: True) is None
