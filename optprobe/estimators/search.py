"""One way to choose supports for every estimator: an exact method or a heuristic, by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast, get_args

import numpy as np
from jaxtyping import Float64, Int

from optprobe.heuristics import HEURISTICS, get_heuristic
from optprobe.prefilter import best_columns
from optprobe.problem import Problem
from optprobe.result import Limit, Limits, Result
from optprobe.run import Method
from optprobe.solver import solve_path
from optprobe.support import fit_support
from optprobe.threads import single_threaded_blas, threads_limited

Array = np.ndarray


@dataclass(frozen=True)
class Found:
    """The probe for one k.

    Attributes:
        k: the cardinality.
        support: columns of X, increasing.
        beta, intercept: coefficients on the standardised columns.
        objective: f(beta, b).
        result: with bounds and certificate; None for a heuristic.
    """

    k: int
    support: Int[Array, "s"]
    beta: Float64[Array, "s"]
    intercept: float
    objective: float
    result: Result | None

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended the search."""
        return self.result is not None and self.result.limit is Limit.INTERRUPTED


@dataclass(frozen=True)
class Search:
    """How supports are chosen; `solve_path` explains the settings."""

    method: str
    backend: str | None
    formulation: str | None
    candidates: int | None
    gap: float
    time_limit: float | None
    threads: int | None
    seed: int

    def path(
        self,
        problem: Problem,
        ks: Sequence[int],
        *,
        start: Sequence[Int[Array, "s"]] = (),
        certify: bool = True,
    ) -> list[Found]:
        """The probe for every k, in increasing order; Ctrl-C ends the path after the current k.

        Args:
            problem: its own k is not used.
            ks: cardinalities.
            start: supports that an exact method begins from.
            certify: rebuild and check the proof of an exact method.

        Raises:
            ValueError: an unknown method, or settings that it does not take.
        """
        if self.method not in get_args(Method):
            return self._heuristic(problem, ks)
        results = solve_path(
            problem,
            ks,
            method=cast(Method, self.method),
            backend=self.backend,
            formulation=self.formulation,
            candidates=self.candidates,
            limits=Limits(
                gap=self.gap, time_s=np.inf if self.time_limit is None else self.time_limit
            ),
            start=start,
            seed=self.seed,
            threads=self.threads,
            proof=certify,
            check=certify,
        )
        return [
            Found(result.k, result.support, result.beta, result.intercept, result.objective, result)
            for result in results
        ]

    def _heuristic(self, problem: Problem, ks: Sequence[int]) -> list[Found]:
        """The heuristic's supports, each fitted exactly."""
        if self.method.partition("@")[0] not in HEURISTICS:
            raise ValueError(
                f"unknown method {self.method!r}; choose an exact one "
                f"({', '.join(get_args(Method))}) or a heuristic ({', '.join(HEURISTICS)})"
            )
        if self.backend is not None or self.formulation is not None:
            raise ValueError(
                f"backend and formulation belong to exact methods, {self.method} is a heuristic; "
                "leave them out"
            )
        columns = None
        if self.candidates is not None:
            columns = best_columns(problem.with_k(max(ks)), self.candidates)
        with single_threaded_blas(), threads_limited(self.threads):
            path = get_heuristic(self.method).path(problem, ks, columns=columns, seed=self.seed)
            return [fitted(problem.with_k(choice.k), choice.support) for choice in path]


def fitted(problem: Problem, support: Int[Array, "s"]) -> Found:
    """The best coefficients on a support, at the problem's loss and ridge."""
    columns = problem.data.columns(support, problem.data.train)
    solution = fit_support(columns, problem.rows).solution[0]
    beta, intercept = solution[:-1], float(solution[-1])
    objective = problem.objective(support, beta, intercept)
    return Found(problem.k, support, beta, intercept, objective, None)
