"""Problems, masters and oracles for every test of a backend, and how one is called."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from declared import DECLARED

from optprobe.mip.backends import get_backend
from optprobe.mip.backends.base import (
    Cut,
    Evaluation,
    Master,
    MipResult,
    Oracle,
    Progress,
)
from optprobe.problem import Problem
from optprobe.result import Limits


def needs(name: str) -> None:
    """Skip the test by name where the backend's package is missing."""
    try:
        importlib.import_module(DECLARED[name].package)
    except ImportError:
        pytest.skip(f"backend not installed: {name}")


def hard_problem(k: int = 8, d: int = 60) -> Problem:
    """Weakly regularised noise: far from closed after a few seconds."""
    rng = np.random.default_rng(7)
    X = rng.standard_normal((200, d))
    y = X[:, :10].sum(axis=1) + 2.0 * rng.standard_normal(200) > 0.0
    return Problem.of(X, y, k=k, lam=1e-3)


class Table:
    """An oracle over a list of cuts: P(s) is their maximum. It counts what it is asked."""

    def __init__(self, seed: int = 0, p: int = 12, k: int = 3) -> None:
        rng = np.random.default_rng(seed)
        self.value, self.gain = rng.uniform(1, 2, 30), rng.uniform(0, 0.5, (30, p))
        self.optimum = min(
            float((self.value - self.gain[:, list(S)].sum(axis=1)).max())
            for S in combinations(range(p), k)
        )
        self.supports = self.fractions = 0

    def at_fraction(self, s: np.ndarray) -> Cut:
        """The largest cut at s."""
        self.fractions += 1
        return self.largest(s)

    def at_support(self, support: np.ndarray) -> Evaluation:
        """The largest cut at a support."""
        self.supports += 1
        s = np.isin(np.arange(self.gain.shape[1]), support).astype(float)
        cut = self.largest(s)
        return Evaluation(cut, cut.at(s))

    def largest(self, s: np.ndarray) -> Cut:
        """The cut that is tight at s."""
        row = int(np.argmax(self.value - self.gain @ s))
        return Cut(float(self.value[row]), self.gain[row])


def master_of(table: Table, *, fractional: bool = True) -> Master:
    """A master with one cut of the table's thirty."""
    upper = table.at_support(np.array([0, 1, 2])).objective
    return Master(3, table.value[:1], table.gain[:1], upper, 1e-7, fractional)


def run_backend(
    backend: str,
    master: Master,
    oracle: Oracle,
    *,
    start: np.ndarray | None = None,
    limits: Limits | None = None,
    stop: Callable[[float], bool] = lambda lower: False,
    on_progress: Callable[[Progress], None] = lambda now: None,
) -> MipResult:
    """Call a backend as the core does."""
    return get_backend(backend).solve(
        master,
        oracle,
        mip_start=np.array([0, 1, 2]) if start is None else start,
        limits=limits or Limits(),
        seed=0,
        threads=1,
        stop=stop,
        on_progress=on_progress,
    )


def wide_master(p: int) -> Master:
    """A master over p columns with one cut."""
    gain = np.linspace(0.0, 0.1, p)[None]
    return Master(3, np.ones(1), gain, 1.0, 1e-4, fractional=False)


class Flat:
    """An oracle that knows only the cut the master has."""

    def __init__(self, p: int) -> None:
        self.cut = Cut(1.0, wide_master(p).gain[0])

    def at_fraction(self, s: np.ndarray) -> Cut:
        """The same cut everywhere."""
        return self.cut

    def at_support(self, support: np.ndarray) -> Evaluation:
        """Its value."""
        s = np.isin(np.arange(len(self.cut.gain)), support).astype(float)
        return Evaluation(self.cut, self.cut.at(s))
