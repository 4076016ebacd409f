"""What was observed: activations, labels or targets, the split and the weights, checked once.

Every problem on the same data shares one `Data`, so nothing is read or scaled again for another
k, ridge or loss.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64, Int

from optprobe import inputs
from optprobe.losses import SQUARED_ERROR
from optprobe.matrix import (
    DenseMatrix,
    DesignMatrix,
    RowSource,
    Standardisation,
    StreamedMatrix,
)
from optprobe.matrix.dense import DOUBLE_BYTES
from optprobe.matrix.standardise import release, row_slices

if TYPE_CHECKING:
    import torch

Array = np.ndarray

STREAM_BYTES = 2**31
"""X on disk, mapped or in a store, beyond this size in float32 is never copied."""

STREAM_DOUBLE_BYTES = 2**28
"""Float64 X in memory beyond this size in float32 is never copied: it is twice that already."""


@dataclass(frozen=True, eq=False)
class Data:
    """Activations, labels or targets, and weights after every check, for all problems on them.

    Two are equal only if they are the same object; `digest` compares contents.

    Attributes:
        X: rows x d, as given and not copied: a NumPy array (possibly memory-mapped), the array of
            a store or a torch tensor. Do not change it while the problem is in use.
        y: -1 or +1 per row of X; the targets as given where the loss is squared error.
        labels: the caller's labels of -1 and +1, None for targets.
        names: one per column.
        train, test: row numbers of X, disjoint and increasing.
        weights: one per training row, sum 1; `weighting` says where they come from.
        given: the caller's weight of every row of X when weighting is "given".
        groups: one per row of X (the document, say), or None.
        by: the standardisation, from the training rows.
    """

    X: Array | RowSource | torch.Tensor
    y: Float64[Array, "rows"]
    labels: tuple[Any, Any] | None
    names: tuple[str, ...]
    train: Int[Array, "n"]
    test: Int[Array, "m"]
    weights: Float64[Array, "n"]
    weighting: inputs.Weights
    given: Float64[Array, "rows"] | None
    groups: Array | None
    by: Standardisation
    floor: float

    @property
    def signs(self) -> Float64[Array, "rows"]:
        """-1 or +1 per row of X; ValueError where y holds targets."""
        if self.labels is None:
            raise ValueError(
                f"{SQUARED_ERROR} has targets and no two classes; for what compares classes choose "
                "another loss, for targets a method that needs none (bnb, greedy, greedy_swaps)"
            )
        return self.y

    @cached_property
    def matrix(self) -> DesignMatrix:
        """Z behind the design-matrix interface: dense, streamed or on its device."""
        if not isinstance(self.X, np.ndarray | RowSource):
            from optprobe.matrix.device import DeviceMatrix

            return DeviceMatrix.standardised(self.X, self.train, self.by)
        return self.streamed or DenseMatrix.standardised(self.X, self.train, self.by)

    @cached_property
    def streamed(self) -> StreamedMatrix | None:
        """Z where X is too large to copy."""
        if not isinstance(self.X, np.ndarray | RowSource):
            return None
        on_disk = isinstance(self.X, np.memmap | RowSource)
        limit = STREAM_BYTES if on_disk else STREAM_DOUBLE_BYTES
        if (on_disk or self.X.dtype == np.float64) and 4 * self.X.size > limit:
            return StreamedMatrix(self.X, self.train, self.by, np.arange(self.X.shape[1]))
        return None

    def columns(self, columns: Int[Array, "p"], rows: Int[Array, "r"]) -> Float64[Array, "p r"]:
        """Standardised columns of X in float64 straight from the source, for any rows."""
        held = self.streamed.held if self.streamed else None
        if held is not None and held.fits(len(columns)):
            with held.kept(columns) as (values, places):
                raw = values[np.ix_(places, rows)].T
        elif isinstance(self.X, np.ndarray | RowSource):
            raw = self.X[np.ix_(rows, columns)]  # never whole rows: X may be larger than memory
            release(self.X)
        else:
            import torch

            device = self.X.device
            some = self.X[:, torch.tensor(columns, device=device)]
            raw = some[torch.tensor(rows, device=device)].double().cpu().numpy()
        return np.ascontiguousarray(self.by.apply(raw, columns).T)

    def restricted(self, columns: Int[Array, "p"]) -> DesignMatrix:
        """Some columns of Z, in float64 where they are few enough to be held so."""
        fits = 8 * len(columns) * len(self.train) <= DOUBLE_BYTES
        if fits and isinstance(self.X, np.ndarray | RowSource):
            return DenseMatrix(self.columns(columns, self.train))
        return self.matrix.restrict(columns)

    def on_host(self) -> Array | RowSource:
        """X on the host, with the same values (bfloat16 widens to float32)."""
        if isinstance(self.X, np.ndarray | RowSource):
            return self.X
        X = self.X.float() if str(self.X.dtype) == "torch.bfloat16" else self.X
        return X.cpu().numpy()

    @cached_property
    def covariance(self) -> Float64[Array, "d"]:
        """sum_i w_i (y_i - mean of y) z_ij of each column, the mean of y weighted.

        `Problem.of` takes it in the pass that standardises X.
        """
        centred = weighted_deviation(self.y[self.train], self.weights)
        return self.matrix.correlations(centred[None])[0]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of X (type, shape, bytes in C order), y, training rows and weights."""
        hashed = hashlib.sha256()
        X = self.on_host()
        little = X.dtype.newbyteorder("<")
        hashed.update(f"{little.str}{X.shape}".encode())
        for part in row_slices(*X.shape):
            hashed.update(np.ascontiguousarray(X[part], little).data)
            release(X)
        hashed.update(np.ascontiguousarray(self.y, "<f8").data)
        hashed.update(np.ascontiguousarray(self.train, "<i8").data)
        hashed.update(np.ascontiguousarray(self.weights, "<f8").data)
        return hashed.hexdigest()


def weighted_deviation(y: Float64[Array, "n"], w: Float64[Array, "n"]) -> Float64[Array, "n"]:
    """w_i (y_i - mean of y)."""
    return w * (y - w @ y)
