"""The data a certificate is checked against: digest, labels and standardisation.

Everything is computed here from X, y, the split and the weights; only the stored mean and scale are
taken over, after they are found to agree with the training rows:

    |mean - mean(x)| <= 1e-9 scale + rounding,   |scale / max(std(x), floor) - 1| <= 1e-9

(the intercept is free, so the optimum does not depend on the mean at all).
"""

from __future__ import annotations

import hashlib
import math
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from optprobe.checker.form import Claim, RefusedError
from optprobe.checker.rounding import gamma

if TYPE_CHECKING:
    from jaxtyping import Bool, Float64, Int, Shaped

Array = np.ndarray

BLOCK_BYTES = 2**21
"""Size of a block of rows in float64, which fits a processor's own cache."""

AGREE = 1e-9
"""Relative agreement asked of mean and scale."""


def row_slices(rows: int, columns: int) -> Iterator[slice]:
    """Consecutive slices of rows whose float64 block takes about BLOCK_BYTES."""
    step = max(1, BLOCK_BYTES // (8 * max(1, columns)))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def release(X: Shaped[Array, "rows d"]) -> None:
    """Let go of the pages of a mapped file: a pass shall not leave all of it in memory."""
    mapped = getattr(X, "_mmap", None)
    if mapped is not None and getattr(X, "mode", "c") != "c" and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


@dataclass(frozen=True)
class Source:
    """X and its labels as -1/+1 or its targets; the training rows and their weights, sum 1.

    Attributes:
        y: -1 or +1 per row of X, the targets for squared error.
        positive: which training rows have the sign +1: the positive class, all of them for targets.
    """

    X: Shaped[Array, "rows d"]
    y: Float64[Array, "rows"]
    train: Int[Array, "n"]
    weights: Float64[Array, "n"]
    positive: Bool[Array, "n"]

    def digest(self) -> str:
        """SHA-256 of X (type, shape, bytes in C order), y, training rows and weights."""
        hashed = hashlib.sha256()
        little = self.X.dtype.newbyteorder("<")
        hashed.update(f"{little.str}{self.X.shape}".encode())
        for part in row_slices(*self.X.shape):
            hashed.update(np.ascontiguousarray(self.X[part], little).data)
            release(self.X)
        hashed.update(np.ascontiguousarray(self.y, "<f8").data)
        hashed.update(np.ascontiguousarray(self.train, "<i8").data)
        hashed.update(np.ascontiguousarray(self.weights, "<f8").data)
        return hashed.hexdigest()


def source_of(X: Any, y: Any, test: Any, weights: Any, claim: Claim) -> Source:
    """X, y, split and weights as arrays; the certificate's weighting where none is passed.

    Whether y should hold two classes or targets is for the certificate's loss to say.

    Raises:
        ValueError: X, y, test or weights cannot be what a probe is fitted to.
        RefusedError: the certificate was made with weights that are not passed, or is for y of
            the other kind.
    """
    X = _matrix(X)
    labels = np.asarray(y.detach().cpu() if hasattr(y, "detach") else y)
    if labels.shape != (len(X),):
        raise ValueError(f"y has shape {labels.shape} but X has {len(X)} rows; one label a row")
    targets = claim.loss == "squared_error"
    numbers = (_numbers if targets else _signs)(labels)
    held = np.zeros(len(X), bool) if test is None else np.asarray(test)
    if held.shape != (len(X),) or (held.dtype != bool and not np.isin(held, (0, 1)).all()):
        raise ValueError(f"test must be True (held out) or False for each of the {len(X)} rows")
    train = np.flatnonzero(~held.astype(bool))
    positive = np.ones(len(train), bool) if targets else numbers[train] > 0
    if not targets and (not positive.any() or positive.all()):
        raise ValueError("the training rows hold one class only; check y and test")
    found = _weights(weights, claim.weighting, positive, train, len(X))
    return Source(X, numbers, train, found, positive)


def _signs(labels: Shaped[Array, "rows"]) -> Float64[Array, "rows"]:
    found = np.unique(labels)
    if len(found) > 2:
        raise RefusedError(f"the certificate is for two classes, y holds {len(found)} labels")
    if len(found) < 2:
        raise ValueError("y holds one label only; a probe needs two")
    return np.where(labels == found[1], 1.0, -1.0)


def _numbers(labels: Shaped[Array, "rows"]) -> Float64[Array, "rows"]:
    if labels.dtype.kind not in "fiu":
        raise RefusedError(f"the certificate is for numbers, y holds {labels.dtype}")
    if not np.isfinite(labels).all():
        raise ValueError("y holds NaN or infinity")
    return labels.astype(np.float64)


def _matrix(X: Any) -> Shaped[Array, "rows d"]:
    if hasattr(X, "detach"):
        X = X.detach().cpu()
        X = (X.float() if str(X.dtype) == "torch.bfloat16" else X).numpy()
    X = X if _is_array(X) else np.asarray(X)
    if X.dtype.kind in "biu":
        X = X.astype(np.float64 if X.dtype.itemsize > 2 else np.float32)
    if X.dtype.kind != "f" or X.dtype.itemsize > 8 or X.ndim != 2 or 0 in X.shape:
        raise ValueError(f"X is {X.dtype}{X.shape}; pass rows x columns of float16, 32 or 64")
    return X


def _is_array(X: Any) -> bool:
    """An array, or what is indexed as one and reads its rows from disk: neither is copied."""
    if isinstance(X, np.ndarray):
        return True
    typed = isinstance(getattr(X, "dtype", None), np.dtype) and hasattr(X, "__array__")
    return typed and getattr(X, "ndim", 0) == 2 and X.dtype.kind == "f"


def _weights(
    weights: Any, weighting: str, positive: Bool[Array, "n"], train: Int[Array, "n"], rows: int
) -> Float64[Array, "n"]:
    if weights is None:
        if weighting == "given":
            raise RefusedError(
                "the certificate was made with given weights; pass the same weights="
            )
        weights = weighting
    if isinstance(weights, str):
        if weights != weighting:
            raise RefusedError(f"the certificate's weighting is {weighting!r}, not {weights!r}")
        if weights == "balanced":
            return 0.5 / np.where(positive, positive.sum(), (~positive).sum())
        if weights == "uniform":
            return np.full(len(train), 1.0 / len(train))
        raise ValueError("weights='given' is no weighting; pass one number a row")
    given = np.asarray(weights, np.float64)
    if given.shape != (rows,):
        raise ValueError(f"weights has shape {given.shape} but X has {rows} rows; one per row")
    given = given[train]
    total = math.fsum(given)
    if not np.isfinite(total) or (given < 0).any() or total <= 0:
        raise ValueError("weights must be finite, not negative, and not all zero")
    return given / total


def check_standardisation(
    source: Source, claim: Claim, mean: Float64[Array, "d"], scale: Float64[Array, "d"]
) -> Bool[Array, "d"]:
    """Compare mean and scale with the training rows; returns which columns are constant there.

    With e = x - mean of the certificate: mean(x) - mean = mean(e), var(x) = mean(e^2) - mean(e)^2.

    Raises:
        RefusedError: naming the first column that disagrees.
    """
    d, n = len(mean), len(source.train)
    first, second = np.zeros(d), np.zeros(d)
    low, high = np.full(d, np.inf), np.full(d, -np.inf)
    for part in row_slices(n, d):
        block = source.X[source.train[part]].astype(np.float64)
        release(source.X)
        low, high = np.minimum(low, block.min(axis=0)), np.maximum(high, block.max(axis=0))
        block -= mean
        first += block.sum(axis=0)
        second += np.einsum("ij,ij->j", block, block)
    if not (np.isfinite(low) & np.isfinite(high)).all():
        raise RefusedError("X holds NaN or infinity in its training rows")
    constant = low == high
    shift = first / n
    expected = np.maximum(np.sqrt(np.maximum(second / n - shift**2, 0.0)), claim.scale_floor)
    # A mean summed in float64 may be off by this much, whoever sums it; squared in the scale.
    noise = gamma(n) * np.maximum(np.abs(low), np.abs(high))
    agree = np.abs(shift) <= AGREE * scale + noise
    agree &= np.abs(scale - expected) <= AGREE * expected + noise**2 / expected
    if not (agree | constant).all():
        column = int(np.argmin(agree | constant))
        raise RefusedError(
            f"mean and scale of column {column} do not agree with the training rows: "
            f"scale {scale[column]:.12g} against {expected[column]:.12g}, mean off by "
            f"{shift[column]:.3g}"
        )
    return constant


def check_scope(scope: Int[Array, "p"], claim: Claim, constant: Bool[Array, "d"]) -> None:
    """No constant column in scope; "all columns" means every other one."""
    if constant[scope].any():
        column = int(scope[np.argmax(constant[scope])])
        raise RefusedError(f"column {column} is in the scope but constant on the training rows")
    missing = int((~constant).sum()) - len(scope)
    if claim.scope == "all columns" and missing:
        raise RefusedError(f"the scope is called 'all columns' but leaves out {missing} that vary")
