"""Heuristic against exact on packaged activations of a real language model.

    regret of a heuristic = f(its support, refitted) / f(exact probe) - 1

with f the training objective; both see the same training rows, loss and ridge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources

import numpy as np
from jaxtyping import Int

from optprobe import metrics
from optprobe.files import Activations, read
from optprobe.heuristics import get_heuristic
from optprobe.metrics import Metrics
from optprobe.problem import Problem
from optprobe.result import Limits, Result, Status
from optprobe.solver import solve_path
from optprobe.statistics import refit

Array = np.ndarray

NAME = "digit_L01"
KS = (1, 2, 3, 4, 5)
RIDGE = 0.03
"""Weak enough that the rankings miss the best supports by far, and proven within seconds."""
RIVALS = ("mean_difference", "f_statistic", "l1_logistic", "greedy", "greedy_swaps")
LIMITS = Limits(gap=1e-4, time_s=120.0)
"""Per k: seconds are enough, but the first run compiles the engine's loops inside it."""

ABOUT = (
    "Activations of the 1536 MLP neurons in layer 1 of SmolLM2-135M-Instruct on English tokens: "
    "which neurons tell tokens that contain a digit? Training and test tokens share no document."
)


@dataclass(frozen=True)
class Rival:
    """What a heuristic found: its support refitted by the same loss and ridge.

    `regret` is None where the exact solve stopped early, so that there is no optimum to regret.
    """

    name: str
    support: Int[Array, "s"]
    objective: float
    regret: float | None
    test: Metrics | None


@dataclass(frozen=True)
class Step:
    """One k: the exact result, its scores on the test rows, and the heuristics."""

    result: Result
    test: Metrics | None
    rivals: tuple[Rival, ...]


def activations() -> Activations:
    """The packaged activations."""
    with resources.as_file(resources.files("optprobe") / "data" / f"{NAME}.npz") as path:
        return read(path)


def problem() -> Problem:
    """The packaged probing task at the largest k."""
    return activations().problem(k=KS[-1], lam=RIDGE)


def run(
    problem: Problem,
    ks: Sequence[int],
    limits: Limits,
    log: Callable[[str], None] | None = None,
) -> Iterator[Step]:
    """Solve the path over k and compare every heuristic with it."""
    for result in solve_path(problem, list(ks), limits=limits, log=log):
        at_k = problem.with_k(result.k)
        test = metrics.held_out(at_k, result.support, result.beta, result.intercept)
        rivals = tuple(_rival(at_k, result, name) for name in RIVALS)
        yield Step(result, test, rivals)


def _rival(problem: Problem, result: Result, name: str) -> Rival:
    """Refit a heuristic's support and compare it with the exact probe."""
    heuristic = get_heuristic(name)
    fit = refit(problem, heuristic.path(problem, [problem.k])[0].support)
    return Rival(
        heuristic.label,
        fit.support,
        fit.objective,
        fit.objective / result.objective - 1.0 if result.status is Status.OPTIMAL else None,
        metrics.held_out(problem, fit.support, fit.beta, fit.intercept),
    )
