"""The k-sparse probe as an immutable object.

    minimise over beta in R^d, b in R:
        f(beta, b) = sum_i w_i l(y_i (z_i . beta + b)) + (lam/2) ||beta||^2
        subject to ||beta||_0 <= k                                            [BPV21, (1)]

z_i are the rows of X standardised on the training rows; sum_i w_i = 1; b is free. y_i is the class,
-1 or +1; with squared error it is a number and the loss is (y_i - z_i . beta - b)^2 / 2.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Bool, Float64, Int

from optprobe import inputs
from optprobe.losses import SQUARED_ERROR, Loss, SquaredError, get_loss
from optprobe.matrix import (
    DenseMatrix,
    DesignMatrix,
    NotFiniteError,
    RowSource,
    Standardisation,
    StreamedMatrix,
)
from optprobe.matrix.dense import DOUBLE_BYTES
from optprobe.matrix.standardise import row_slices, standardise
from optprobe.rows import Rows

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
        on_disk = isinstance(self.X, np.memmap | RowSource)
        double = self.X.dtype == np.float64
        limit = STREAM_BYTES if on_disk else STREAM_DOUBLE_BYTES
        if (on_disk or double) and 4 * self.X.size > limit:
            columns = np.arange(self.X.shape[1])
            return StreamedMatrix(self.X, self.train, self.by, columns)
        return DenseMatrix.standardised(self.X, self.train, self.by)

    def columns(self, columns: Int[Array, "p"], rows: Int[Array, "r"]) -> Float64[Array, "p r"]:
        """Standardised columns of X in float64 straight from the source, for any rows."""
        if isinstance(self.X, np.ndarray | RowSource):
            raw = self.X[np.ix_(rows, columns)]  # never whole rows: X may be larger than memory
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
        centred = _centred(self.y[self.train], self.weights)
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
        hashed.update(np.ascontiguousarray(self.y, "<f8").data)
        hashed.update(np.ascontiguousarray(self.train, "<i8").data)
        hashed.update(np.ascontiguousarray(self.weights, "<f8").data)
        return hashed.hexdigest()


def _centred(y: Float64[Array, "n"], w: Float64[Array, "n"]) -> Float64[Array, "n"]:
    """w_i (y_i - mean of y)."""
    return w * (y - w @ y)


@dataclass(frozen=True)
class Problem:
    """One k-sparse probe: data, loss, ridge and cardinality. Make it with `Problem.of`.

    `replace(problem, k=4)` (dataclasses) shares the data: nothing is read or scaled again.
    """

    data: Data = field(repr=False)
    k: int
    lam: float = 0.1
    loss_name: str = "logistic"

    def __post_init__(self) -> None:
        if (self.loss_name == SQUARED_ERROR) != (self.data.labels is None):
            raise ValueError(
                f"loss {self.loss_name!r} on data that were checked for another kind of y; make "
                f"the problem with Problem.of(X, y, loss={self.loss_name!r})"
            )
        if self.loss_name != SQUARED_ERROR:
            get_loss(self.loss_name)
        if not np.isfinite(self.lam) or self.lam <= 0:
            raise ValueError(
                f"lam={self.lam}: the ridge must be positive and finite; every bound divides "
                "by it, so nothing can be certified without it (try lam=0.1)"
            )
        if not np.isfinite(self.k) or self.k != int(self.k) or self.k < 1:
            raise ValueError(
                f"k={self.k}: a probe needs at least one column, and a whole number of them; "
                "pass k >= 1"
            )
        # One type each, so that 1, 1.0 and np.int64(1) are the same problem with the same digest.
        object.__setattr__(self, "k", int(self.k))
        object.__setattr__(self, "lam", float(self.lam))
        usable = int((~self.data.by.constant).sum())
        if not usable:
            raise ValueError("every column of X is constant on the training rows: nothing to probe")
        if self.k > usable:
            raise ValueError(
                f"k={self.k} exceeds the {usable} usable columns "
                f"({len(self.constant_names)} of {self.d} are constant); pass k <= {usable}"
            )

    @classmethod
    def of(
        cls,
        X: Array | RowSource | torch.Tensor,
        y: Sequence[Any] | Array,
        *,
        k: int,
        lam: float = 0.1,
        loss: str = "logistic",
        weights: Literal["balanced", "uniform"] | Array | None = None,
        names: Sequence[str] | None = None,
        test: Bool[Array, "rows"] | None = None,
        groups: Array | None = None,
        scale_floor: float = 1e-3,
    ) -> Problem:
        """Check the input once and standardise it.

        Args:
            X: rows x d activations, float16/32/64: a NumPy array, memory-mapped or not, the
                array of a store, or a torch tensor on any device.
            y: one label per row; any two values. The larger one is the positive class. For
                squared error one number per row, which is neither centred nor scaled.
            k: at most this many columns in the support.
            lam: ridge strength, > 0 (the sparse probe of TransformerLens takes 0.01).
            loss: "logistic", "hinge" or "squared_hinge"; "squared_error" for numbers.
            weights: "balanced" (each class weighs 1/2), "uniform", or one weight >= 0 per row; by
                default "balanced" for classes and "uniform" for numbers.
            names: one per column; default "0", "1", ...
            test: True on held-out rows; they take no part in scaling or fitting.
            groups: one per row, e.g. the document; no group may lie on both sides of `test`.
            scale_floor: smallest scale a column is divided by.

        Raises:
            ValueError: shapes that disagree, NaN, infinity or a number past 1e150 (row and column
                named), other than two classes, a class without training rows or weight, targets
                that hardly vary, negative weights, a group on both sides of the split, k or lam
                out of range.
            TypeError: X (or y for squared error) does not hold real numbers, or y is an object
                array.
        """
        X = inputs.checked_matrix(X)
        rows, d = int(X.shape[0]), int(X.shape[1])
        held = inputs.mask(test, rows)
        train, left = np.flatnonzero(~held), np.flatnonzero(held)
        if loss == SQUARED_ERROR:
            checked, labels = inputs.targets(y, rows), None
            values, weighting, given = inputs.target_weights(weights, checked, train)
        else:
            checked, labels = inputs.signs(y, rows)
            values, weighting, given = inputs.weights(weights, checked, train, labels)
        column_names = inputs.names(names, d)
        if groups is not None:
            groups = inputs.groups(groups, held, rows)
        if not np.isfinite(scale_floor) or scale_floor <= 0:
            raise ValueError(f"scale_floor={scale_floor}: pass a positive number such as 1e-3")
        seen: dict[str, Array] = {}  # on the way
        try:
            if isinstance(X, np.ndarray | RowSource):
                centred = _centred(checked[train], values)
                by, seen["covariance"] = standardise(X, train, scale_floor, centred)
            else:
                from optprobe.matrix.device import standardise_tensor

                by = standardise_tensor(X, train, scale_floor)
        except NotFiniteError as error:
            half = "float16" in str(X.dtype) and "b" not in str(X.dtype)
            hint = "; float16 overflows past 65504: cache in float32" if half else ""
            raise ValueError(
                f"X holds {error.value} at row {error.row}, column {error.column} "
                f"({column_names[error.column]!r}); remove or replace it{hint}"
            ) from error
        for own in (checked, train, left, values, by.mean, by.variance, by.scale, by.constant):
            own.flags.writeable = False
        data = Data(
            X,
            checked,
            labels,
            column_names,
            train,
            left,
            values,
            weighting,
            given,
            groups,
            by,
            float(scale_floor),
        )
        vars(data).update(seen)
        return cls(data, k, lam, loss)

    @property
    def loss(self) -> Loss:
        """The loss of the training rows."""
        if self.data.labels is None:
            return SquaredError(self.data.y[self.data.train])
        return get_loss(self.loss_name)

    @property
    def d(self) -> int:
        """Number of columns of X, constant ones included."""
        return len(self.data.names)

    @property
    def y(self) -> Float64[Array, "n"]:
        """-1/+1 of the training rows; ValueError for squared error, which has targets."""
        return self.data.signs[self.data.train]

    @property
    def weights(self) -> Float64[Array, "n"]:
        """Weights of the training rows, sum 1."""
        return self.data.weights

    @property
    def rows(self) -> Rows:
        """Signs, weights, loss and ridge: what fits and relaxations need of the rows."""
        signs = self.y if self.data.labels else np.ones(len(self.weights))
        return Rows(signs, self.weights, self.loss, self.lam)

    @property
    def matrix(self) -> DesignMatrix:
        """Standardised training rows."""
        return self.data.matrix

    @property
    def usable(self) -> Int[Array, "p"]:
        """Columns that vary on the training rows, the only ones a support may hold."""
        return np.flatnonzero(~self.data.by.constant)

    @property
    def constant_names(self) -> tuple[str, ...]:
        """Names of the columns left out because they are constant on the training rows."""
        return tuple(self.data.names[j] for j in np.flatnonzero(self.data.by.constant))

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the data digest and the settings."""
        settings = {
            "data": self.data.digest,
            "k": self.k,
            "lam": self.lam,
            "loss": self.loss_name,
            "scale_floor": self.data.floor,
        }
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()

    def with_k(self, k: int) -> Problem:
        """The same probe with another cardinality, sharing the data."""
        return replace(self, k=k)

    def relabelled(self, y: Float64[Array, "n"]) -> Problem:
        """The same activations with other labels -1/+1 on the training rows, sharing the matrix.

        Balanced weights follow the labels; the caller's own stay with their rows.

        Raises:
            ValueError: a class without training rows or weight, or a problem with targets.
        """
        data = self.data
        sign, labels = data.signs.copy(), data.labels or (-1, 1)
        sign[data.train] = y
        chosen = data.weighting if data.given is None else data.given
        weights, _, _ = inputs.weights(chosen, sign, data.train, labels)
        for own in (sign, weights):
            own.flags.writeable = False
        other = replace(data, y=sign, weights=weights)
        vars(other)["matrix"] = data.matrix  # cached: labels do not enter it
        return replace(self, data=other)

    def objective(
        self, support: Int[Array, "s"], beta: Float64[Array, "s"], intercept: float
    ) -> float:
        """f(beta, b) in float64 from the source columns."""
        scores = beta @ self.data.columns(support, self.data.train) + intercept
        rows = self.rows
        value = rows.w @ rows.loss.value(rows.y * scores)
        return float(value + 0.5 * self.lam * (beta @ beta))
