"""A fitted probe for new rows: score = sum_j beta_j (x_j - mean_j) / scale_j + b.

The score's sign predicts a class; where the loss was squared error, the score predicts the target.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int

from optprobe.problem import Problem

Array = np.ndarray


@dataclass(frozen=True)
class Probe:
    """A linear predictor on a few columns of X, in the caller's labels or targets.

    Attributes:
        columns, names: the support.
        beta, intercept: coefficients on the columns standardised by `mean` and `scale`, which are
            those of the training rows.
        labels: of the negative and the positive class; None for squared error.
    """

    columns: Int[Array, "s"]
    names: tuple[str, ...]
    beta: Float64[Array, "s"]
    intercept: float
    mean: Float64[Array, "s"]
    scale: Float64[Array, "s"]
    width: int
    labels: tuple[Any, Any] | None

    @classmethod
    def of(
        cls,
        problem: Problem,
        support: Int[Array, "s"],
        beta: Float64[Array, "s"],
        intercept: float,
    ) -> Probe:
        """The probe with these coefficients on the problem's standardised columns."""
        data = problem.data
        return cls(
            support,
            tuple(data.names[j] for j in support),
            beta,
            intercept,
            data.by.mean[support],
            data.by.scale[support],
            problem.d,
            data.labels,
        )

    def decision_function(self, X: Array) -> Float64[Array, "rows"]:
        """Scores of new rows in float64; positive means the positive class.

        Raises:
            ValueError: X has another number of columns than the training data.
        """
        if X.ndim != 2 or X.shape[1] != self.width:
            raise ValueError(f"X has shape {tuple(X.shape)}; pass rows x {self.width} columns")
        block = np.asarray(X[:, self.columns], np.float64)
        return (block - self.mean) / self.scale @ self.beta + self.intercept

    def predict(self, X: Array) -> Array:
        """The caller's label of every row, the positive one where the score is above 0.

        For squared error, the score: the predicted target itself.
        """
        score = self.decision_function(X)
        if self.labels is None:
            return score
        negative, positive = self.labels
        return np.where(score > 0.0, positive, negative)
