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
from optprobe.matrix import DesignMatrix, NotFiniteError, RowSource
from optprobe.matrix.standardise import standardise
from optprobe.observations import Data, weighted_deviation
from optprobe.rows import Rows

if TYPE_CHECKING:
    import torch

Array = np.ndarray


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
                centred = weighted_deviation(checked[train], values)
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
        # Cached: labels do not enter them.
        vars(other).update(matrix=data.matrix, streamed=data.streamed)
        return replace(self, data=other)

    def objective(
        self, support: Int[Array, "s"], beta: Float64[Array, "s"], intercept: float
    ) -> float:
        """f(beta, b) in float64 from the source columns."""
        scores = beta @ self.data.columns(support, self.data.train) + intercept
        rows = self.rows
        value = rows.w @ rows.loss.value(rows.y * scores)
        return float(value + 0.5 * self.lam * (beta @ beta))
