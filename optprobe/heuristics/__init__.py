"""Heuristics that choose a support: what everybody uses, and the engine's first incumbents."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Int

from optprobe.heuristics.l1 import l1_logistic
from optprobe.heuristics.local_search import greedy, swap
from optprobe.heuristics.rankings import f_statistic, mean_difference
from optprobe.problem import Problem

Array = np.ndarray


def _top(score: Callable[[Problem], Array], problem: Problem) -> Int[Array, "k"]:
    values = score(problem)[problem.usable]
    best = np.argsort(-values, kind="stable")[: problem.k]
    return np.sort(problem.usable[best])


def _greedy(problem: Problem) -> Int[Array, "k"]:
    rows = problem.rows
    return greedy(problem.matrix, rows, problem.k, problem.usable).support


def _greedy_swaps(problem: Problem) -> Int[Array, "k"]:
    rows = problem.rows
    start = greedy(problem.matrix, rows, problem.k, problem.usable)
    return swap(problem.matrix, rows, start, problem.usable).support


HEURISTICS: dict[str, Callable[[Problem], Int[Array, "k"]]] = {
    "mean difference": lambda problem: _top(mean_difference, problem),
    "F statistic": lambda problem: _top(f_statistic, problem),
    "L1 logistic": l1_logistic,
    "greedy": _greedy,
    "greedy + swaps": _greedy_swaps,
}
"""Every heuristic by name: problem -> support. A new one is one line here."""


def heuristic_supports(problem: Problem) -> dict[str, Int[Array, "k"]]:
    """The support that every registered heuristic chooses."""
    return {name: choose(problem) for name, choose in HEURISTICS.items()}
