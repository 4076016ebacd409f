"""The problem behind a fit: class weights, sample weights, and what weighted rows do to the scale.

A row of weight 2 counts as two rows, one of weight 0 as none, in the loss and in the deviations
s_j that the ridge refers to. A `Problem` scales by unweighted deviations, so with unequal sample
weights it is given the columns in other units and the ridge that belongs to them:

    x_ij t / s_j  and  ridge t^2,   t = min(1, min_j s_j / (unweighted deviation of column j)).

No deviation passes 1 then, which is the floor of the problem's own scale: it divides by 1. The
objective of every probe is the same, and so is its optimum.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Float64, Shaped

from optprobe.problem import Problem

Array = np.ndarray
ClassWeight = str | Mapping[Any, float] | None

SCALE_FLOOR = 1e-3
"""Smallest deviation a column is divided by, as in `Problem.of`."""


@dataclass(frozen=True)
class Training:
    """A problem with the units of its columns.

    Attributes:
        problem: holds X * units.
        units: what each column of X is multiplied by; 1 without unequal sample weights.
        ridge_unit: the problem's ridge is so many times the caller's.
    """

    problem: Problem
    units: Float64[Array, "d"]
    ridge_unit: float

    @property
    def mean(self) -> Float64[Array, "d"]:
        """What standardisation takes off the columns of X."""
        return self.problem.data.by.mean / self.units

    @property
    def scale(self) -> Float64[Array, "d"]:
        """What it divides them by."""
        return self.problem.data.by.scale / self.units

    def at(self, ridge: float) -> Problem:
        """The same problem with another ridge, in the caller's units."""
        return replace(self.problem, lam=ridge * self.ridge_unit)


def training(
    X: Float[Array, "rows d"],
    y: Shaped[Array, "rows"],
    *,
    k: int,
    ridge: float,
    loss: str,
    class_weight: ClassWeight = None,
    sample_weight: Float64[Array, "rows"] | None = None,
    names: Sequence[str] | None = None,
    test: Bool[Array, "rows"] | None = None,
) -> Training:
    """What an estimator's `fit` solves, for instance to check its certificate against.

    Args:
        X: activations.
        y: two labels, or targets of the loss "squared_error".
        k, ridge, loss, names: as in `Problem.of`.
        class_weight: "balanced" (each class weighs one half), one weight per label, or None.
        sample_weight: one number >= 0 per row.
        test: True on rows that take no part.

    Raises:
        ValueError: see `Problem.of`.
    """
    held = np.zeros(len(y), bool) if test is None else test
    if sample_weight is not None:
        held = held | (sample_weight == 0.0)
        kept = sample_weight[~held]
        if (kept == kept[:1]).all():
            sample_weight = None
    weights = _weights(y, held, class_weight, sample_weight)
    units, ridge_unit, floor = np.ones(X.shape[1]), 1.0, SCALE_FLOOR
    if sample_weight is not None:
        units, step = _units(X[~held], sample_weight[~held])
        X, ridge_unit, floor = X * units, step * step, 1.0
    problem = Problem.of(
        X,
        y,
        k=k,
        lam=ridge * ridge_unit,
        loss=loss,
        weights=weights,
        names=names,
        test=held,
        scale_floor=floor,
    )
    return Training(problem, units, ridge_unit)


def _weights(
    y: Shaped[Array, "rows"],
    held: Bool[Array, "rows"],
    class_weight: ClassWeight,
    sample_weight: Float64[Array, "rows"] | None,
) -> Literal["balanced", "uniform"] | Float64[Array, "rows"]:
    """Class weights times sample weights; balanced: the weights of each class sum to the same.

    Raises:
        ValueError: class_weight is neither "balanced", None nor weights of the labels.
    """
    if class_weight is None:
        return "uniform" if sample_weight is None else sample_weight
    if class_weight != "balanced":
        from sklearn.utils.class_weight import compute_sample_weight

        weights = compute_sample_weight(class_weight, y)
        return weights if sample_weight is None else weights * sample_weight
    if sample_weight is None:
        return "balanced"
    weights = np.where(held, 0.0, sample_weight)
    _, label = np.unique(y, return_inverse=True)
    return weights / np.bincount(label, weights)[label]


def _units(
    X: Float[Array, "n d"], weights: Float64[Array, "n"]
) -> tuple[Float64[Array, "d"], float]:
    """t / s_j for every column, and t; constant columns have the floor as their deviation."""
    X = X.astype(np.float64)
    centred = X - np.average(X, axis=0, weights=weights)
    weighted = np.sqrt(np.average(centred * centred, axis=0, weights=weights))
    scale = np.maximum(weighted, SCALE_FLOOR)
    t = 1.0 / max(1.0, float((X.std(axis=0) / scale).max()))
    return t / scale, t
