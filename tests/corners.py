"""Thousands of tiny problems at the corners: few rows, copies, ties, heavy tails, separable."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from optprobe.engine import native
from optprobe.heuristics.fits import Incumbent
from optprobe.problem import Problem

Kind = Callable[[np.random.Generator, np.ndarray], np.ndarray]
"""Makes a matrix of one kind out of correlated normal columns."""


def plain(rng: np.random.Generator, X: np.ndarray) -> np.ndarray:
    return X


def few_rows(rng: np.random.Generator, X: np.ndarray) -> np.ndarray:
    """Fewer rows than columns."""
    return X[: rng.integers(6, X.shape[1])]


def copies(rng: np.random.Generator, X: np.ndarray) -> np.ndarray:
    """The same column three times, of either sign and any scale, and a sum of two others."""
    X[:, 3] = rng.choice([1.0, -1.0, 1e-2]) * X[:, 0]
    X[:, 4] = X[:, 0]
    X[:, 5] = X[:, 1] + X[:, 2]
    return X


def near_copies(rng: np.random.Generator, X: np.ndarray) -> np.ndarray:
    """Copies but for noise of any size."""
    far = 10.0 ** rng.uniform(-9, -1)
    X[:, 3:6] = X[:, [0, 0, 1]] + far * X[:, 3:6]
    return X


def ties(rng: np.random.Generator, X: np.ndarray) -> np.ndarray:
    """Few values in a column, two at times."""
    return np.sign(X) if rng.random() < 0.5 else np.round(X)


def mostly_zero(rng: np.random.Generator, X: np.ndarray) -> np.ndarray:
    """Positive entries above a high threshold, as many neurons have them."""
    return np.maximum(X - rng.uniform(0.0, 1.5), 0.0)


def heavy_columns(rng: np.random.Generator, X: np.ndarray) -> np.ndarray:
    """Cauchy tails, values up to 1e3."""
    heavy = np.clip(rng.standard_cauchy(X.shape), -1e3, 1e3)
    few = rng.random(X.shape[1]) < 0.5
    return np.where(few, heavy, X)


def heavy_rows(rng: np.random.Generator, X: np.ndarray) -> np.ndarray:
    """A few rows out to 1e3 in every column."""
    return X * np.minimum(np.exp(2.0 * rng.standard_normal((len(X), 1))), 1e3)


KINDS: tuple[Kind, ...] = (
    plain,
    few_rows,
    copies,
    near_copies,
    ties,
    mostly_zero,
    heavy_columns,
    heavy_rows,
)


def corner(seed: int, loss: str) -> Problem:
    """Every kind in turn, 6 to 40 rows, 6 to 14 columns; separable half of the time.

    Ridge from 1e-3 to 1, both ends included; k of 1 to 5, mostly 3 and 4.
    """
    rng = np.random.default_rng(seed)
    kind = KINDS[seed % len(KINDS)]
    n, d = int(rng.integers(8, 41)), int(rng.integers(6, 13))
    if kind is few_rows:
        n, d = d, int(rng.integers(9, 15))
    X = rng.standard_normal((n, 2)) @ rng.standard_normal((2, d)) * rng.uniform(0.0, 2.0)
    X = kind(rng, X + rng.standard_normal((n, d)))
    n = len(X)
    X[0] += X[0] == X[-1]  # no column is constant
    scale = np.maximum(np.abs(X).max(axis=0), 1e-9)
    noise = rng.choice([0.0, 1.0])
    score = (X / scale)[:, :3] @ rng.standard_normal(3) + noise * rng.standard_normal(n)
    y = score > np.quantile(score, rng.uniform(0.1, 0.9))
    if y.all() or not y.any():
        y[0] = not y[0]
    weights = ("balanced", "uniform", rng.integers(0, 4, n) + 1e-3)[int(rng.integers(3))]
    if loss == "squared_error":
        y = np.round(score, int(rng.integers(0, 4)))  # ties
        y[0] = y.max() + (20.0 if rng.random() < 0.2 else 1.0)  # never constant
        y = rng.choice([1e-2, 1.0, 50.0]) * (y + rng.choice([0.0, -3.0, 100.0]))
        weights = "uniform" if isinstance(weights, str) else weights
    lam = float(10.0 ** np.clip(rng.uniform(-3.5, 0.5), -3.0, 0.0))
    k = min(int(rng.choice([1, 2, 3, 4, 5], p=[0.05, 0.2, 0.35, 0.3, 0.1])), d - 1)
    X = X.astype(rng.choice(["float32", "float64"]))
    return Problem.of(X, y, k=k, lam=lam, loss=loss, weights=weights)


def poor_start(problem: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let searches begin from the last columns, whatever the heuristics would find."""
    support = problem.usable[-problem.k :]
    start = Incumbent(support, np.zeros(problem.k), 0.0, 1e9)
    monkeypatch.setattr(native, "rounded", lambda *_: start)
    monkeypatch.setattr(native, "first_incumbent", lambda *_: start)
