"""A small task for sparsity curves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from optprobe.heuristics import Heuristic
from optprobe.problem import Problem
from optprobe.result import Bounds
from optprobe.solver import solve_path

FAST = {"resamples": 40, "random_seeds": 2}
RULES = ("mean_difference", "greedy")


def task(**changes: object) -> dict[str, object]:
    """Arrays of a small task: three columns of seven matter, documents of three rows."""
    rng = np.random.default_rng(5)
    X = rng.standard_normal((120, 7)).astype(np.float32)
    y = X[:, 0] - X[:, 2] + 0.5 * X[:, 4] + rng.standard_normal(120) > 0
    documents = np.arange(120) // 3
    held: dict[str, object] = {
        "X": X, "y": y, "groups": documents, "test": documents % 3 == 2,
        "names": [f"L3N{j}" for j in range(7)],
    }  # fmt: skip
    return held | changes


def problem(**changes: object) -> Problem:
    return Problem.of(k=1, lam=0.1, **task(**changes))  # pyright: ignore[reportArgumentType]


def stub(supports: dict[int, list[int]], error: BaseException | None = None) -> Heuristic:
    """A heuristic that chooses these supports, then raises."""

    def choose(*_: object) -> Iterator[tuple[int, np.ndarray]]:
        for k, support in supports.items():
            yield k, np.array(support)
        if error is not None:
            raise error

    return Heuristic("stub", "stub", choose)


def too_high(*arguments: object, **settings: object) -> Iterator[object]:
    """Results whose verified lower bound is false."""
    for result in solve_path(*arguments, **settings):  # pyright: ignore[reportArgumentType]
        upper = result.objective
        yield replace(result, verified=Bounds(1.01 * upper, 1.02 * upper))
