"""Which supports a filtered node leaves: the compiled loop, the checker's lines, one by one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from nodes import bracket, node

from optprobe.checker import covering
from optprobe.engine import damping, filter, triples


def test_subsets_are_all_there_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filter, "BLOCK", 7)
    monkeypatch.setattr(covering, "BLOCK", 7)
    for f, size in itertools.product(range(1, 9), range(1, 5)):
        expected = set(itertools.combinations(range(f), size))
        for subsets in (filter.subsets, covering.subsets):
            found = [tuple(sorted(T)) for block in subsets(f, size) for T in block.T.tolist()]
            assert len(found) == len(expected)
            assert set(found) == expected


def centre_of(at: filter.Quadratic, lam: float) -> covering.Centre:
    """The engine's numbers as the checker would hold them."""
    return covering.Centre(at.value, at.v, at.M, at.K, at.h, at.reach, damping.REACH, lam)


def best_beside(
    at: filter.Quadratic, head: covering.Head, P: np.ndarray, third: int, lam: float
) -> float:
    """The best bound of P + l with d_P as it is: a parabola in d_l, from three of its values."""

    def value(step: float) -> float:
        return bracket(at, np.append(P, third), np.append(head.d[:, 0], step), lam)

    far = (damping.REACH - float(head.length[0])) / max(float(at.reach[third]), 1e-300)
    low, middle, high = value(-1.0), value(0.0), value(1.0)
    bend, slope = (low + high) / 2 - middle, (high - low) / 2
    step = np.clip(-slope / (2 * bend) if bend > 0 else 0.0, -far, far)
    return at.value - value(float(step))


@np.errstate(all="ignore")
def test_lines_take_the_best_step_beside_their_head() -> None:
    checked_lines = 0
    for seed in range(40):
        n = node(seed, ("logistic", "squared_hinge", "squared_error")[seed % 3])
        made = filter.quadratic(n.forced, n.free, n.margin, n.rows)
        lam, f = n.rows.lam, len(made.v)
        at = centre_of(made, lam)
        for r in (2, 3, 4):
            for j in range(r - 2, f - 1):
                leads = list(itertools.combinations(range(j), r - 2))
                lead = np.array(leads, int).reshape(len(leads), r - 2).T
                heads = np.concatenate([lead, np.full((1, lead.shape[1]), j)])
                bounds = at.beside(heads, slice(j + 1, None))
                for t, last in itertools.product(range(0, lead.shape[1], 3), range(j + 1, f)):
                    if made.reach[last] == 0.0:
                        continue
                    P = np.append(lead[:, t], j).astype(int)
                    head = at.head(P[:, None], covering.HEAD)
                    expected = best_beside(made, head, P, last, lam)
                    assert bounds[t, last - j - 1] == pytest.approx(expected, rel=1e-7, abs=1e-8)
                    alone = at.beside(P[:, None], np.array([last]))[0]
                    assert alone == pytest.approx(expected, rel=1e-7, abs=1e-8)
                    checked_lines += 1
    assert checked_lines > 3000


@np.errstate(all="ignore")
@pytest.mark.parametrize("block", [1, 50, 2**14])
@pytest.mark.parametrize("r", [2, 3, 4])
def test_lines_leave_what_single_supports_leave(
    block: int, r: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taken by lines or one by one, with one centre or two: the same supports are uncovered."""
    n = node(4, "logistic")
    made = filter.quadratic(n.forced, n.free, n.margin, n.rows)
    other = filter.quadratic(n.forced, n.free, 0.9 * n.margin, n.rows)
    centres = [centre_of(made, n.rows.lam), centre_of(other, n.rows.lam)]
    monkeypatch.setattr(covering, "BLOCK", block)
    for cutoff in (made.value - 0.3, made.value - 0.05, made.value - 0.01):
        for used in (centres[:1], centres):
            found = []
            for lined in (1, 1000):
                monkeypatch.setattr(covering, "LINED", lined)
                blocks = list(covering.uncovered(used, r, cutoff))
                found.append(sorted(tuple(sorted(T)) for part in blocks for T in part.tolist()))
            assert found[0] == found[1]


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
