"""Random small problems and their optimum by brute force."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pytest

from optprobe.heuristics import Heuristic, get_heuristic
from optprobe.problem import Problem
from optprobe.support import fit_supports, signed


def random_problem(seed: int, loss: str | None = None) -> Problem:
    """A small problem of a random kind: correlated, duplicated, imbalanced, weighted, heavy."""
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(25, 90)), int(rng.integers(5, 9))
    factors = rng.standard_normal((n, 2))
    X = factors @ rng.standard_normal((2, d)) * rng.uniform(0, 2) + rng.standard_normal((n, d))
    if rng.random() < 0.3:
        X[:, 1] = X[:, 0]  # duplicate columns
    if rng.random() < 0.2:
        X[:, 2] = 3.0  # a constant one
    if rng.random() < 0.2:
        X *= np.exp(rng.standard_normal((n, 1)))  # heavy rows
    score = X[:, :3] @ rng.standard_normal(3) + rng.standard_normal(n) * rng.choice([0.0, 1.0])
    y = score > np.quantile(score, rng.uniform(0.1, 0.9))
    if y.all() or not y.any():
        y[0] = not y[0]
    weights = ("balanced", "uniform", rng.integers(0, 4, n) + 1e-3)[int(rng.integers(3))]
    names = ("logistic", "hinge", "squared_hinge")
    return Problem.of(
        X.astype(rng.choice(["float32", "float64"])),
        y,
        k=int(rng.integers(1, min(5, d - 1) + 1)),
        lam=float(10.0 ** rng.uniform(-3, 0)),
        loss=loss or names[seed % 3],
        weights=weights,
    )


def random_targets(seed: int) -> Problem:
    """A small problem with squared error: few rows, ties, duplicates, heavy tails, an offset."""
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(5, 60)), int(rng.integers(4, 10))
    X = rng.standard_normal((n, d)) + rng.uniform(0, 2) * rng.standard_normal((n, 1))
    X[:, 1] = X[:, 0] if rng.random() < 0.3 else X[:, 1]
    X *= np.exp(rng.standard_normal((n, 1))) if rng.random() < 0.2 else 1.0
    y = X[:, :3] @ rng.standard_normal(3) + rng.choice([0.0, 0.3, 2.0]) * rng.standard_normal(n)
    y = np.round(y) if rng.random() < 0.3 else y  # ties
    y[0] += 1.0 + (20.0 if rng.random() < 0.2 else 0.0)  # never constant, at times an outlier
    y = rng.choice([1e-2, 1.0, 50.0]) * (y + rng.choice([0.0, -3.0, 100.0]))
    return Problem.of(
        X.astype(rng.choice(["float32", "float64"])),
        y,
        k=int(rng.integers(1, min(4, d - 1) + 1)),
        lam=float(10.0 ** rng.uniform(-3, 0)),
        loss="squared_error",
        weights=None if rng.random() < 0.5 else rng.integers(0, 4, n) + 1e-3,
    )


@dataclass(frozen=True)
class Optimum:
    """The best support, its objective, and a lower bound on every support's optimum."""

    value: float
    lower: float
    support: tuple[int, ...]


_known: dict[str, Optimum] = {}


def brute_force(problem: Problem) -> Optimum:
    """Fit every support of size k (smaller ones cannot be better); once per problem."""
    if problem.digest not in _known:
        _known[problem.digest] = _brute_force(problem)
    return _known[problem.digest]


def _brute_force(problem: Problem) -> Optimum:
    rows = problem.rows
    columns = problem.usable
    block = signed(problem.data.columns(columns, problem.data.train), rows)
    supports = np.array(list(combinations(range(len(columns)), problem.k)))
    fits = fit_supports(block, supports, rows)
    best = int(np.argmin(fits.primal))
    lower = float(fits.lower.min())
    return Optimum(float(fits.primal[best]), lower, tuple(columns[supports[best]].tolist()))


def installed(name: str) -> Heuristic:
    """The heuristic of that name; the test is skipped where its package is missing."""
    heuristic = get_heuristic(name)
    try:
        heuristic.load()
    except ImportError as error:
        pytest.skip(str(error))
    return heuristic
