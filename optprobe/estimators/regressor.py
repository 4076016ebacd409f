"""The k-sparse probe of a number as a scikit-learn regressor."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from jaxtyping import Float64
from sklearn.base import RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from optprobe.estimators.base import FLOATS, LinearProbe, checked_sample_weight
from optprobe.estimators.training import training
from optprobe.losses import SQUARED_ERROR

Array = np.ndarray


class SparseProbeRegressor(RegressorMixin, LinearProbe):
    """Ridge regression on the best k columns, with a certificate.

        minimise over beta in R^d, b in R:
            sum_i w_i (y_i - z_i . beta - b)^2 / 2 + (ridge/2) ||beta||^2   s.t. ||beta||_0 <= k

    z_i are the rows of X standardised; sum_i w_i = 1; y is neither centred nor scaled. On given
    columns this is scikit-learn's Ridge with alpha = n ridge. Source: Bertsimas and Van Parys 2020,
    "Sparse high-dimensional regression".

    Args:
        k: at most this many columns.
        ridge: > 0, for columns of unit variance.
        method: an exact method ("bnb", ...) or a heuristic that needs no classes ("greedy",
            "greedy_swaps"), whose support is fitted exactly and proves nothing.
        backend, formulation, candidates, gap, time_limit, refit_ridge, threads, random_state: as in
            `SparseProbeClassifier`; candidates are kept by covariance.

    Attributes:
        support_, coef_ (n_features, for X as it came), intercept_ (a number), objective_, gap_,
        status_, certificate_, result_: see `optprobe.estimators.base`.
    """

    def __init__(
        self,
        k: int = 1,
        *,
        ridge: float = 0.1,
        method: str = "bnb",
        backend: str | None = None,
        formulation: str | None = None,
        candidates: int | None = None,
        gap: float = 1e-4,
        time_limit: float | None = None,
        refit_ridge: float | None = None,
        threads: int | None = None,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.k = k
        self.ridge = ridge
        self.method = method
        self.backend = backend
        self.formulation = formulation
        self.candidates = candidates
        self.gap = gap
        self.time_limit = time_limit
        self.refit_ridge = refit_ridge
        self.threads = threads
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Choose and fit.

        Args:
            X: rows x columns of numbers: an array or a frame. float16 and float32 are not copied.
            y: one number per row.
            sample_weight: as in `SparseProbeClassifier`.

        Raises:
            ValueError: targets that hardly vary, k beyond the columns that vary, parameters out of
                range.
            KeyboardInterrupt: Ctrl-C; the best support so far is kept all the same.
        """
        X, y = validate_data(self, X, y, dtype=FLOATS, y_numeric=True, ensure_min_samples=2)
        task = training(
            X,
            y,
            k=self.k,
            ridge=self.ridge,
            loss=SQUARED_ERROR,
            sample_weight=checked_sample_weight(sample_weight, len(y)),
            names=self._names(),
        )
        (found,) = self._search().path(task.problem, [task.problem.k])
        self.coef_, self.intercept_ = self._keep(task, found)
        if found.interrupted:
            raise KeyboardInterrupt
        return self

    def predict(self, X: Any) -> Float64[Array, "rows"]:
        """X coef_ + intercept_."""
        check_is_fitted(self)
        return self._scores(X, self.coef_, self.intercept_)
