"""Small nodes of the search, for the tests of its filter and of the checker's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from optprobe.bounds import repair_intercept
from optprobe.checker.centre import Centre
from optprobe.engine import centres, damping, filter
from optprobe.losses import Logistic, Loss, SquaredError, SquaredHinge
from optprobe.rows import Rows


@dataclass(frozen=True)
class Node:
    """A small node: columns of S and F, and the margins of a centre that need not be a fit."""

    rows: Rows
    forced: np.ndarray
    free: np.ndarray
    margin: np.ndarray

    @property
    def point(self) -> np.ndarray:
        dual = self.rows.loss.dual(self.margin)[None]
        return repair_intercept(dual, self.rows.y, self.rows.w, self.rows.loss)[0]


def node(seed: int, name: str) -> Node:
    """Correlated, skewed or heavy-tailed columns; offsets of any size; S of 0 to 2 columns."""
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(60, 200)), 9
    X = rng.standard_normal((n, 3)) @ rng.standard_normal((3, d)) + rng.standard_normal((n, d))
    if seed % 3 == 0:
        X *= np.exp(rng.standard_normal((n, 1)))
    if seed % 3 == 1:
        X /= 1.0 + np.exp(-1.7 * X)
    if seed % 7 == 0:
        X[:, 5] = X[:, 0] * 2.0  # the same column twice
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    score = X[:, :4] @ rng.standard_normal(4) + rng.standard_normal(n)
    y = np.where(score > np.quantile(score, rng.uniform(0.1, 0.9)), 1.0, -1.0)
    w = np.where(y > 0, 0.5 / (y > 0).sum(), 0.5 / (y < 0).sum())
    loss: Loss = Logistic() if name == "logistic" else SquaredHinge()
    if name == "squared_error":
        y, loss = np.ones(n), SquaredError(rng.choice([1.0, 100.0]) * (score + rng.integers(-9, 9)))
    rows = Rows(y, w, loss, float(10.0 ** rng.uniform(-3, -0.5)))
    order, s = rng.permutation(d), int(rng.integers(0, 3))
    forced, free = X.T[order[:s]], X.T[order[s:]]
    size = rows.spread * rng.uniform(0, 0.3) * rng.integers(0, 2)
    offset = (rng.standard_normal(len(free)) * size) @ free
    theta = centres.refit(forced, offset, np.zeros(s + 1), rows)
    theta = theta + rng.choice([0.0, 1e-6, 0.1]) * rng.standard_normal(s + 1)
    return Node(rows, forced, free, y * (offset + theta[:-1] @ forced + theta[-1]))


def crowded(seed: int, name: str) -> Node:
    """Few rows that can move, and on all of them a forced column beyond where it is clipped."""
    rng = np.random.default_rng(seed)
    n = 40
    moves = np.arange(n) < 6
    y = np.where(np.arange(n) % 2 == 0, 1.0, -1.0)
    forced = np.where(moves, 1.0 + rng.random(n), rng.standard_normal(n))
    loss: Loss = Logistic() if name == "logistic" else SquaredHinge()
    margin = np.where(moves, rng.uniform(-1.0, 1.0, n), 60.0)
    rows = Rows(y, np.full(n, 1.0 / n), loss, float(10.0 ** rng.uniform(-3, -0.5)))
    return Node(rows, forced[None], rng.standard_normal((5, n)), margin)


def moved(at: Node, T: np.ndarray, d: np.ndarray, omega: np.ndarray) -> np.ndarray:
    """a + delta, the dual point of the step d on the free columns T."""
    G = filter.directions(at.forced, at.free, at.rows.w * omega, filter.limits(at.rows).clip)
    return at.point - omega * at.rows.y * (d @ G[T])


def dual_value(at: Node, T: np.ndarray, a: np.ndarray) -> float:
    """sum w H(a) - ||X_ST' (w a y)||^2 / (2 lam)."""
    rows = at.rows
    v = np.concatenate([at.forced, at.free[T]]) @ (rows.w * a * rows.y)
    entropy = rows.loss.conjugate(np.clip(a, rows.loss.lower, rows.loss.upper)) @ rows.w
    return float(entropy - v @ v / (2.0 * rows.lam))


def bracket(at: filter.Quadratic, T: np.ndarray, d: np.ndarray, lam: float) -> float:
    """||v_T - M_TT d||^2 / (2 lam) + d' K_TT d / 2 + h_T' d."""
    block = np.ix_(T, T)
    rest = at.v[T] - at.M[block] @ d
    return float(rest @ rest / (2.0 * lam) + 0.5 * d @ at.K[block] @ d + at.h[T] @ d)


def centre_of(at: filter.Quadratic, lam: float) -> Centre:
    """The engine's numbers as the checker would hold them."""
    return Centre(at.value, at.v, at.M, at.K, at.h, at.reach, damping.REACH, lam)


def over(at: filter.Quadratic, columns: np.ndarray) -> filter.Quadratic:
    """The quadratic over some of the free columns, one of them several times maybe."""
    block = np.ix_(columns, columns)
    reach = at.reach[columns]
    return filter.Quadratic(
        at.value, at.v[columns], at.M[block], at.K[block], at.h[columns], reach, at.mass
    )


def maker(at: filter.Quadratic, lam: float) -> Callable[[np.ndarray], Centre]:
    """Makes the centre over some of the columns."""
    return lambda used: centre_of(over(at, used), lam)


def unproven(f: int, value: float) -> filter.Quadratic:
    """No column of it can move, and no step proves anything."""
    none = np.zeros((f, f))
    return filter.Quadratic(value, np.full(f, 1e3), none, none, np.zeros(f), np.zeros(f), 1.0)


def alone(at: filter.Quadratic, lam: float, size: int) -> np.ndarray:
    """The best step of every column alone, the parabola's vertex, within its part of the reach."""
    d = np.zeros(len(at.v))
    for p in np.flatnonzero(at.reach > 0.0):
        only, unit = np.array([p]), np.ones(1)
        low, middle, high = (bracket(at, only, step * unit, lam) for step in (-1.0, 0.0, 1.0))
        bend, slope = (low + high) / 2 - middle, (high - low) / 2
        most = filter.REACH / (size * at.reach[p])
        d[p] = np.clip(-slope / (2 * bend) if bend > 0 else 0.0, -most, most)
    return d


def over_pairs(E: np.ndarray, sets: np.ndarray) -> np.ndarray:
    """The sum of E over the pairs of every column of `sets`."""
    p, q = np.triu_indices(len(sets), 1)
    return E[sets[p], sets[q]].sum(axis=0)
