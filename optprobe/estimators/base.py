"""What the estimators share: checked rows, the search by its parameters, the fitted attributes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64, Shaped
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from optprobe.estimators.search import Found, Search, fitted
from optprobe.estimators.training import Training
from optprobe.losses import SQUARED_ERROR

if TYPE_CHECKING:
    from optprobe.certificate import Certificate
    from optprobe.result import Result

Array = np.ndarray

FLOATS = (np.float64, np.float32, np.float16)
"""Types that X keeps; everything else becomes float64."""


class LinearProbe(BaseEstimator):
    """x . coef + intercept on few columns.

    Attributes:
        support_: column numbers of X, increasing.
        coef_: coefficients on the columns of X as they came, 0 outside the support.
        intercept_: what is added.
        objective_: f(beta, b) of the chosen support at `ridge`, the smallest one that was found.
        gap_: (objective - bound) / objective as the checker verified it; nan where nothing was
            proven (a heuristic, or a proof that failed).
        status_: "optimal", "claimed optimal" or "feasible", see `optprobe.Status`.
        certificate_: the proof, or None.
        result_: what `optprobe.solve` returned, None for a heuristic.
        n_features_in_, feature_names_in_: as in scikit-learn.
    """

    method: str
    backend: str | None
    formulation: str | None
    candidates: int | None
    gap: float
    time_limit: float | None
    refit_ridge: float | None
    threads: int | None
    random_state: Any
    n_features_in_: int
    feature_names_in_: Shaped[Array, "d"]

    def _search(self) -> Search:
        """How the parameters say that supports are chosen."""
        seed = self.random_state
        if not isinstance(seed, int | np.integer):
            seed = check_random_state(seed).randint(2**31 - 1)
        return Search(
            self.method,
            self.backend,
            self.formulation,
            self.candidates,
            self.gap,
            self.time_limit,
            self.threads,
            int(seed),
        )

    def _names(self) -> list[str] | None:
        """The column names of the frame that was fitted."""
        names = getattr(self, "feature_names_in_", None)
        return None if names is None else names.tolist()

    def _keep(self, task: Training, found: Found) -> tuple[Float64[Array, "d"], float]:
        """Set what every estimator has; returns coefficients and intercept for X as it came."""
        used, result = found.support, found.result
        mean, scale = task.mean[used], task.scale[used]
        self.support_, self.objective_ = used, found.objective
        self.result_: Result | None = None
        self.certificate_: Certificate | None = None
        self.gap_, self.status_ = np.nan, "feasible"
        if result is not None:
            probe = replace(result.probe, mean=mean, scale=scale)
            self.result_, self.certificate_ = replace(result, probe=probe), result.certificate
            self.status_ = result.status.value
            if result.verified is not None:
                self.gap_ = result.verified.gap
        if self.refit_ridge is not None:
            found = fitted(task.at(self.refit_ridge), used)
        coef = np.zeros(task.problem.d)
        coef[used] = found.beta / scale
        return coef, found.intercept - float(mean @ coef[used])

    def _scores(
        self, X: Any, coef: Float64[Array, "d"], intercept: float
    ) -> Float64[Array, "rows"]:
        """x . coef + intercept in float64, from the columns of the support alone."""
        X = validate_data(self, X, dtype=FLOATS, reset=False)
        used = self.support_
        return X[:, used].astype(np.float64) @ coef[used] + intercept


def checked_sample_weight(sample_weight: Any, rows: int) -> Float64[Array, "rows"] | None:
    """One number >= 0 per row, or None.

    Raises:
        ValueError: another shape, negative or not finite, or zero on every row.
    """
    if sample_weight is None:
        return None
    weights = np.asarray(sample_weight, np.float64)
    if weights.shape != (rows,):
        raise ValueError(
            f"sample_weight has shape {weights.shape} but X has {rows} rows; pass one number a row"
        )
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError("sample_weight must be finite and not negative")
    if not weights.any():
        raise ValueError("every sample_weight is zero; leave some rows to fit to")
    return weights


def _with_logistic_loss(estimator: BinaryProbe) -> bool:
    """Whether scores are log-odds.

    Raises:
        AttributeError: they are not.
    """
    if estimator.loss != "logistic":
        raise AttributeError(
            f"predict_proba needs loss='logistic', not {estimator.loss!r}, whose scores are no "
            "log-odds; wrap the estimator in sklearn.calibration.CalibratedClassifierCV"
        )
    return True


class BinaryProbe(ClassifierMixin, LinearProbe):
    """A linear classifier of two classes; a positive score means `classes_[1]`.

    Attributes:
        classes_: the two labels, sorted.
        coef_: 1 x n_features.
        intercept_: one number.
    """

    loss: str
    classes_: Shaped[Array, "2"]

    def _checked(
        self, X: Any, y: Any, sample_weight: Any
    ) -> tuple[Array, Shaped[Array, "rows"], Float64[Array, "rows"] | None]:
        """X, the class number of every row, and its weight; sets `classes_`.

        Raises:
            ValueError: X or y is not what scikit-learn takes, there are not two classes with rows
                of positive weight, or the loss is none of two classes.
        """
        if self.loss == SQUARED_ERROR:
            raise ValueError(f"loss={self.loss!r} predicts numbers; use SparseProbeRegressor")
        X, y = validate_data(self, X, y, dtype=FLOATS, ensure_min_samples=2)
        check_classification_targets(y)
        weights = checked_sample_weight(sample_weight, len(y))
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) > 2:
            raise ValueError(
                "Only binary classification is supported. The type of the target is multiclass: "
                f"{len(self.classes_)} classes; wrap the estimator in "
                "sklearn.multiclass.OneVsRestClassifier"
            )
        present = np.unique(codes if weights is None else codes[weights > 0])
        if len(present) < 2:
            only = self.classes_[present].tolist()[0]
            raise ValueError(f"one class only ({only!r}) has rows to fit to; a probe needs two")
        return X, codes, weights

    def _labels(self, codes: Shaped[Array, "rows"]) -> Shaped[Array, "rows"]:
        """The caller's labels of class numbers, in a type of their own where y held objects."""
        return np.array(self.classes_.tolist())[codes]

    def _keep_probe(self, task: Training, found: Found) -> None:
        """Set the fitted attributes."""
        coef, intercept = self._keep(task, found)
        self.coef_, self.intercept_ = coef[None], np.array([intercept])

    def decision_function(self, X: Any) -> Float64[Array, "rows"]:
        """X coef_' + intercept_; positive means `classes_[1]`. With the logistic loss log-odds."""
        check_is_fitted(self)
        return self._scores(X, self.coef_[0], float(self.intercept_[0]))

    def predict(self, X: Any) -> Shaped[Array, "rows"]:
        """The label of every row, of the type that y had."""
        positive = self.decision_function(X) > 0.0
        return self.classes_[positive.astype(int)]

    @available_if(_with_logistic_loss)
    def predict_proba(self, X: Any) -> Float64[Array, "rows 2"]:
        """1 / (1 + e^-score) for `classes_[1]`, last. With class_weight="balanced" these are the
        probabilities where both classes are equally frequent."""
        score = self.decision_function(X)
        return np.column_stack([expit(-score), expit(score)])

    def __sklearn_tags__(self) -> Tags:
        """Two classes only: a certificate is about one pair of them."""
        tags = super().__sklearn_tags__()
        assert tags.classifier_tags is not None
        tags.classifier_tags.multi_class = False
        return tags
