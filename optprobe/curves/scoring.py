"""The refit of a support, its objective on the training rows, its scores on the test rows."""

from __future__ import annotations

import time
from dataclasses import astuple, dataclass, field, fields
from typing import Any

import numpy as np
from jaxtyping import Float64, Int

from optprobe.curves.records import Estimate, Point, Settings
from optprobe.metrics import Metrics, evaluate
from optprobe.problem import Problem
from optprobe.statistics import Bootstrap, bootstrap, bootstrap_difference, refit

Array = np.ndarray

METRICS = tuple(entry.name for entry in fields(Metrics))
"""Names of the test metrics."""

CHUNK = 1024
"""Columns that are scored at once: the dense control has them all."""


@dataclass(frozen=True)
class Scored:
    """A support as it is recorded; see `Point`."""

    beta: Float64[Array, "s"]
    intercept: float
    objective: float
    seconds: float
    test: dict[str, Estimate] | None


@dataclass
class Scorer:
    """Fits and scores supports; methods that agree are fitted once.

    Attributes:
        problem: objectives are at its ridge.
        settings: of the refit and the bootstrap.
    """

    problem: Problem
    settings: Settings
    _known: dict[bytes, Scored] = field(default_factory=dict, repr=False)
    _compared: dict[tuple[tuple[int, ...], ...], Estimate] = field(default_factory=dict, repr=False)

    @property
    def no_test(self) -> str | None:
        """Why there are no test metrics, or None."""
        data = self.problem.data
        y = data.signs[data.test]
        if not len(y):
            return "there are no test rows"
        for value, label in zip((-1.0, 1.0), data.labels or (-1, 1), strict=True):
            if not (y == value).any():
                return f"no test row has the label {label!r}"
        return None

    def support(self, support: Int[Array, "s"]) -> Scored:
        """The exact refit of a support."""
        key = np.asarray(support, np.int64).tobytes()
        if key not in self._known:
            self._known[key] = self._fit(support)
        return self._known[key]

    def _fit(self, support: Int[Array, "s"]) -> Scored:
        begun = time.perf_counter()
        fit = refit(self.problem, support)
        objective = fit.objective
        if self.settings.refit_lam is not None:
            fit = refit(self.problem, support, lam=self.settings.refit_lam)
        seconds = time.perf_counter() - begun
        test = self.test(support, fit.beta, fit.intercept)
        return Scored(fit.beta, fit.intercept, objective, seconds, test)

    def test(
        self, support: Int[Array, "s"], beta: Float64[Array, "s"], intercept: float
    ) -> dict[str, Estimate] | None:
        """Every metric on the test rows with its interval over documents."""
        if self.no_test is not None:
            return None
        y, score = self._labels, self._scores(support, beta, intercept)
        if self._groups is not None and len(np.unique(self._groups)) < 2:
            return {
                name: Estimate(value, None, None)
                for name, value in zip(METRICS, astuple(evaluate(y, score)), strict=True)
            }
        return _estimates(bootstrap(y, score, self._groups, **self._resampling))

    def difference(self, best: Point, other: Point) -> Estimate | None:
        """Test F1 of one support less that of another, on the same resamples."""
        if self.no_test is not None:
            return None
        if best.support == other.support:
            return Estimate(0.0, 0.0, 0.0)
        if best.test is None or other.test is None or best.test["f1"].low is None:
            return None
        pair = best.support, other.support
        if pair not in self._compared:
            a, b = (
                self._scores(np.array(point.support, int), np.array(point.beta), point.intercept)
                for point in (best, other)
            )
            found = bootstrap_difference(self._labels, a, b, self._groups, **self._resampling)
            self._compared[pair] = _estimates(found)["f1"]
        return self._compared[pair]

    @property
    def _resampling(self) -> dict[str, Any]:
        settings = self.settings
        return {"resamples": settings.resamples, "level": settings.level, "seed": settings.seed}

    @property
    def _labels(self) -> Float64[Array, "m"]:
        return self.problem.data.y[self.problem.data.test]

    @property
    def _groups(self) -> Array | None:
        groups = self.problem.data.groups
        return None if groups is None else groups[self.problem.data.test]

    def _scores(
        self, support: Int[Array, "s"], beta: Float64[Array, "s"], intercept: float
    ) -> Float64[Array, "m"]:
        data, score = self.problem.data, np.full(len(self.problem.data.test), intercept)
        for first in range(0, len(support), CHUNK):
            part = slice(first, first + CHUNK)
            score += beta[part] @ data.columns(support[part], data.test)
        return score


def _estimates(found: Bootstrap) -> dict[str, Estimate]:
    """Every metric with its interval."""
    return {
        name: Estimate(
            getattr(found.estimate, name), getattr(found.low, name), getattr(found.high, name)
        )
        for name in METRICS
    }
