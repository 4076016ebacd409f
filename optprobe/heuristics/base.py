"""What every heuristic is: (problem, path of k) -> supports, each with its time.

A heuristic promises nothing about its supports; every one of them can start an exact solve
(`solve_path(start=...)`) and is judged by the objective of its exact refit.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64, Int

from optprobe.problem import Problem
from optprobe.threads import single_threaded_blas

Array = np.ndarray


@dataclass(frozen=True)
class Choice:
    """What a heuristic chose for one k.

    Attributes:
        k: the cardinality.
        support: exactly k columns of X, increasing.
        seconds: from the start of the path until this support was known; work that the path
            shares (one ranking serves every k) is counted once.
    """

    k: int
    support: Int[Array, "k"]
    seconds: float


@runtime_checkable
class Method(Protocol):
    """The function behind a heuristic."""

    def __call__(
        self,
        problem: Problem,
        ks: Sequence[int],
        columns: Int[Array, "p"],
        rng: np.random.Generator,
        /,
    ) -> Iterator[tuple[int, Int[Array, "k"]]]:
        """Yield (k, support) once for every k, in whatever order they become known.

        Args:
            problem: data, loss and ridge; its own k is not used.
            ks: cardinalities, increasing, at most as many as there are columns.
            columns: usable columns of X to choose from, increasing.
            rng: the only source of random numbers.
        """
        ...


INSTALL = {"fasterrisk": "pip install requests && pip install --no-deps fasterrisk"}
"""Packages that are no extra of optprobe: FasterRisk asks for numpy < 2 without needing it."""


@dataclass(frozen=True)
class Heuristic:
    """A registered heuristic.

    Attributes:
        name: key in the registry and on the command line.
        label: in tables and figures.
        choose: the function behind it.
        losses: the losses it can serve, None for all.
        package: the optional package it needs, an extra of optprobe unless `INSTALL` says
            otherwise, or None.
        imports: modules that are loaded before its clock starts.
    """

    name: str
    label: str
    choose: Method
    losses: tuple[str, ...] | None = None
    package: str | None = None
    imports: tuple[str, ...] = ()

    def load(self) -> None:
        """Import the modules it needs.

        Raises:
            ImportError: its package is not installed; the message has the pip command.
        """
        for module in self.imports:
            try:
                importlib.import_module(module)
            except ImportError as error:
                if self.package is None:
                    raise
                command = INSTALL.get(self.package, f'pip install "optprobe[{self.package}]"')
                raise ImportError(
                    f"{self.name} needs a package that is not installed: {command}"
                ) from error

    def path(
        self,
        problem: Problem,
        ks: Sequence[int],
        *,
        columns: Int[Array, "p"] | None = None,
        seed: int = 0,
    ) -> list[Choice]:
        """The chosen supports in the order of increasing k; the arguments are those of `choices`.

        Raises:
            ValueError, ImportError: as `choices`.
        """
        found = self.choices(problem, ks, columns=columns, seed=seed)
        return sorted(found, key=lambda choice: choice.k)

    def choices(
        self,
        problem: Problem,
        ks: Sequence[int],
        *,
        columns: Int[Array, "p"] | None = None,
        seed: int = 0,
    ) -> Iterator[Choice]:
        """The chosen supports as they become known.

        Args:
            problem: data, loss and ridge; its own k is not used.
            ks: cardinalities in any order.
            columns: columns of X to choose from; by default all that vary on the training rows.
            seed: of every random choice.

        Raises:
            ValueError: no k, a k beyond the columns, or a loss that the heuristic does not serve.
            ImportError: its package is not installed; the message has the pip command.
        """
        if self.losses is not None and problem.loss_name not in self.losses:
            raise ValueError(
                f"{self.name} serves the loss {', '.join(self.losses)} only, not "
                f"{problem.loss_name}; leave it out or change the loss"
            )
        columns = problem.usable if columns is None else np.intersect1d(columns, problem.usable)
        wanted = sorted({int(k) for k in ks})
        if not wanted:
            raise ValueError("no k to choose supports for; pass at least one")
        if wanted[0] < 1 or wanted[-1] > len(columns):
            wrong = wanted[0] if wanted[0] < 1 else wanted[-1]
            raise ValueError(
                f"k={wrong}: {self.name} chooses among {len(columns)} columns; "
                f"pass 1 <= k <= {len(columns)}"
            )
        self.load()
        return _timed(self.choose, problem, wanted, columns, seed)


def _timed(
    choose: Method, problem: Problem, ks: Sequence[int], columns: Int[Array, "p"], seed: int
) -> Iterator[Choice]:
    """Choices with the time that the method spent; what the caller does between two is not its.

    BLAS keeps to one thread meanwhile, as in the engine: see `threads.py`.
    """
    begun = time.perf_counter()
    with single_threaded_blas():
        found = iter(choose(problem, ks, columns, np.random.default_rng(seed)))
    spent = time.perf_counter() - begun
    while True:
        begun = time.perf_counter()
        with single_threaded_blas():
            pair = next(found, None)
        spent += time.perf_counter() - begun
        if pair is None:
            return
        yield Choice(pair[0], np.sort(pair[1]), spent)


def ranked(
    scores: Float64[Array, "d"], ks: Sequence[int], columns: Int[Array, "p"]
) -> Iterator[tuple[int, Int[Array, "k"]]]:
    """For every k the k columns of largest score; ties go to the lower column number."""
    order = columns[np.argsort(-scores[columns], kind="stable")]
    for k in ks:
        yield k, order[:k]
