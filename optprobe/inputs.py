"""What a caller hands in, checked once: every refusal says what is wrong and what to do.

Raises, throughout: ValueError for shapes and values, TypeError for types (see `Problem.of`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Bool, Float64, Int

from optprobe.matrix.source import RowSource

if TYPE_CHECKING:
    import torch

Array = np.ndarray
Weights = Literal["balanced", "uniform", "given"]

LARGEST_TARGET = 1e140
"""Squares of targets must stay far from overflow."""

LEAST_SPREAD, LEAST_RATIO = 1e-5, 1e-6
"""Smallest standard deviation of targets, and the same relative to their mean. Below the first
a relative gap means little (`Bounds.gap` divides by 1e-12 at least), below the second rounding is
felt."""


def checked_matrix(X: Any) -> Array | RowSource | torch.Tensor:
    """X as a two-dimensional float array, source or tensor, or an error that says what it is."""
    if not isinstance(X, np.ndarray) and hasattr(X, "detach"):
        if X.ndim != 2 or not X.dtype.is_floating_point:
            raise TypeError(
                f"X is a {X.ndim}-dimensional {X.dtype} tensor; pass rows x columns of floats"
            )
        if 0 in X.shape:
            raise ValueError(
                f"X has shape {tuple(X.shape)}; pass a non-empty array, rows x columns"
            )
        on_host = X.device.type == "cpu" and str(X.dtype) != "torch.bfloat16"
        return X.detach().numpy() if on_host else X.detach()
    X = X if isinstance(X, np.ndarray | RowSource) else np.asarray(X)
    if X.dtype == object:
        raise TypeError("X is an object array (ragged or mixed); pass rows x columns of floats")
    if isinstance(X, np.ndarray) and X.dtype.kind in "biu":
        X = X.astype(np.float64 if X.dtype.itemsize > 2 else np.float32)
    if X.dtype.kind != "f" or X.dtype.itemsize > 8:
        raise TypeError(f"X has type {X.dtype}; pass float16, float32 or float64")
    if X.ndim != 2 or 0 in X.shape:
        raise ValueError(f"X has shape {X.shape}; pass a non-empty array, rows x columns")
    return X


def _one_a_row(y: Any, rows: int) -> Array:
    """y as an array of one type with an entry per row, finite where it holds numbers."""
    labels = np.asarray(y.detach().cpu() if hasattr(y, "detach") else y)
    if labels.dtype == object:
        raise TypeError("y is an object array; pass numbers, booleans or strings of one type")
    if labels.ndim != 1 or len(labels) != rows:
        raise ValueError(f"y has shape {labels.shape} but X has {rows} rows; pass one label a row")
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        raise ValueError(f"y holds NaN or infinity at row {int(np.argmin(np.isfinite(labels)))}")
    return labels


def signs(y: Any, rows: int) -> tuple[Float64[Array, "rows"], tuple[Any, Any]]:
    """Labels as -1/+1 and the caller's two labels, the larger being positive."""
    labels = _one_a_row(y, rows)
    found = np.unique(labels)
    if len(found) != 2:
        shown = ", ".join(repr(v) for v in found[:5].tolist())
        raise ValueError(f"y holds {len(found)} distinct label(s) ({shown}); a probe needs two")
    return np.where(labels == found[1], 1.0, -1.0), (found[0].item(), found[1].item())


def targets(y: Any, rows: int) -> Float64[Array, "rows"]:
    """The numbers that squared error is to predict, in float64."""
    numbers = _one_a_row(y, rows)
    if numbers.dtype.kind not in "fiu":
        raise TypeError(
            f"y has type {numbers.dtype}; squared_error predicts numbers, for two classes choose "
            "another loss"
        )
    numbers = numbers.astype(np.float64)
    if np.abs(numbers).max() > LARGEST_TARGET:
        row = int(np.argmax(np.abs(numbers)))
        raise ValueError(f"y is {numbers[row]:.3g} at row {row}; divide y by a constant")
    return numbers


def mask(test: Any, rows: int) -> Bool[Array, "rows"]:
    """The held-out mask, all False without one."""
    if test is None:
        return np.zeros(rows, bool)
    held = np.asarray(test)
    if held.shape != (rows,):
        raise ValueError(f"test has shape {held.shape} but X has {rows} rows; one flag a row")
    if held.dtype != bool:
        if held.dtype.kind not in "iu" or not np.isin(held, (0, 1)).all():
            raise ValueError("test must be True (held out) or False for every row")
        held = held.astype(bool)
    if held.all():
        raise ValueError("test holds out every row; leave some to train on")
    return held


def names(names: Sequence[str] | None, d: int) -> tuple[str, ...]:
    """Column names, by default the column numbers."""
    if names is None:
        return tuple(str(j) for j in range(d))
    given = tuple(str(name) for name in names)
    if len(given) != d:
        raise ValueError(f"{len(given)} names for {d} columns; pass one name a column")
    return given


def groups(groups: Any, held: Bool[Array, "rows"], rows: int) -> Array:
    """Group of each row; no group may straddle the split."""
    groups = np.asarray(groups)
    if groups.shape != (rows,):
        raise ValueError(f"groups has shape {groups.shape} but X has {rows} rows; one per row")
    both = np.intersect1d(groups[held], groups[~held])
    if len(both):
        raise ValueError(
            f"group {both.tolist()[0]!r} has rows on both sides of the split ({len(both)} groups "
            "do): the test score would leak; split by group"
        )
    return groups


def weights(
    weights: Any, y: Float64[Array, "rows"], train: Int[Array, "n"], labels: tuple[Any, Any]
) -> tuple[Float64[Array, "n"], Weights, Float64[Array, "rows"] | None]:
    """Weights of the training rows (sum 1), where they come from, and the caller's own.

    "balanced" is the default: each class weighs 1/2.
    """
    sign = y[train]
    for value, label in zip((-1.0, 1.0), labels, strict=True):
        if not (sign == value).any():
            raise ValueError(
                f"no training row has the label {label!r}; a probe needs both classes there"
            )
    if weights is None or (isinstance(weights, str) and weights == "balanced"):
        positive = sign > 0
        count = np.where(positive, positive.sum(), (~positive).sum())
        return 0.5 / count, "balanced", None
    values, weighting, given = _uniform_or_given(weights, len(y), train)
    for value, label in zip((-1.0, 1.0), labels, strict=True):
        if not (values[sign == value] > 0).any():
            raise ValueError(f"the training rows of label {label!r} weigh nothing in all")
    return values, weighting, given


def target_weights(
    weights: Any, y: Float64[Array, "rows"], train: Int[Array, "n"]
) -> tuple[Float64[Array, "n"], Weights, Float64[Array, "rows"] | None]:
    """The same for targets, which must vary; "uniform" is the default."""
    if isinstance(weights, str) and weights == "balanced":
        raise ValueError(
            "weights='balanced' weighs two classes and squared_error has none; pass 'uniform' or "
            "one number a row"
        )
    found = _uniform_or_given("uniform" if weights is None else weights, len(y), train)
    mean = float(found[0] @ y[train])
    spread = math.sqrt(found[0] @ (y[train] - mean) ** 2)
    if not spread >= max(LEAST_SPREAD, LEAST_RATIO * abs(mean)):
        raise ValueError(
            f"y varies by only {spread:.3g} about its mean {mean:.6g} on the training rows; probes "
            f"of constants are not told apart, shift or scale y (standard deviation at least "
            f"{LEAST_SPREAD:g}, and {LEAST_RATIO:g} of the mean)"
        )
    return found


def _uniform_or_given(
    weights: Any, rows: int, train: Int[Array, "n"]
) -> tuple[Float64[Array, "n"], Weights, Float64[Array, "rows"] | None]:
    """Weights that no class has a part in."""
    if isinstance(weights, str):
        if weights == "uniform":
            return np.full(len(train), 1.0 / len(train)), "uniform", None
        raise ValueError(f"weights={weights!r}; pass 'balanced', 'uniform' or one number a row")
    whole = np.asarray(weights, np.float64).copy()
    if whole.shape != (rows,):
        raise ValueError(f"weights has shape {whole.shape} but X has {rows} rows; one per row")
    given = whole[train]
    if not np.isfinite(given).all() or (given < 0).any():
        raise ValueError("weights must be finite and not negative")
    total = math.fsum(given)
    if total == 0.0:
        raise ValueError("the training rows weigh nothing in all")
    return given / total, "given", whole
