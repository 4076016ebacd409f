"""k and ridge of a sparse probe by cross-validation, one path of exact solves per fold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
from jaxtyping import Float, Float64, Int
from scipy.stats import rankdata
from sklearn.metrics import get_scorer

from optprobe.estimators.base import BinaryProbe
from optprobe.estimators.classifier import SparseProbeClassifier
from optprobe.estimators.folds import folds
from optprobe.estimators.search import Found
from optprobe.estimators.training import ClassWeight, Training, training

Array = np.ndarray
Score = Callable[..., float]


class SparseProbeCV(BinaryProbe):
    """`SparseProbeClassifier` with k and ridge chosen by cross-validation.

        (k, ridge) = argmax of the mean over folds of the score on held-out rows;
        among equals the smallest k, then the strongest ridge.

    Columns are standardised on the training rows of each fold. Each fold solves its whole path
    over k in one go, every k starting from the one before and every ridge from the stronger one.
    Only the final fit on all rows is certified. Folds that hold out one class only are left out,
    with a warning.

    Args:
        ks: cardinalities to try. Those beyond the columns that vary in every fold are left out.
        ridges: ridges to try.
        cv: number of folds (stratified; with groups no group is split), a splitter of
            scikit-learn, or an iterable of (training rows, held-out rows).
        scoring: name of a scorer of scikit-learn, or a callable (estimator, X, y) -> number. A
            named one takes the larger label for the positive class.
        one_standard_error: take the smallest k, then the strongest ridge, whose mean is within one
            standard error of the best mean (Breiman et al. 1984), instead of the best itself.
        loss, method, backend, formulation, candidates, gap, time_limit, class_weight, refit_ridge,
        threads, random_state: as in `SparseProbeClassifier`; time_limit is per k and fold.

    Attributes:
        best_k_, best_ridge_, best_score_, best_index_: the choice, and its place in `cv_results_`.
        best_estimator_: the `SparseProbeClassifier` with them, fitted to all rows.
        cv_results_: dict of arrays, one entry per candidate, as `GridSearchCV` has it: params,
            param_k, param_ridge, split<i>_test_score, mean_test_score, std_test_score,
            rank_test_score; open_folds counts the folds whose support is not claimed optimal.
        n_splits_: number of folds that have a score.
        classes_, support_, coef_, intercept_, objective_, gap_, status_, certificate_, result_:
            those of `best_estimator_`.
    """

    def __init__(
        self,
        ks: Sequence[int] = (1, 2, 4),
        ridges: Sequence[float] = (0.1,),
        *,
        cv: Any = 5,
        scoring: str | Score = "average_precision",
        one_standard_error: bool = False,
        loss: str = "logistic",
        method: str = "bnb",
        backend: str | None = None,
        formulation: str | None = None,
        candidates: int | None = None,
        gap: float = 1e-4,
        time_limit: float | None = None,
        class_weight: ClassWeight = "balanced",
        refit_ridge: float | None = None,
        threads: int | None = None,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.ks = ks
        self.ridges = ridges
        self.cv = cv
        self.scoring = scoring
        self.one_standard_error = one_standard_error
        self.loss = loss
        self.method = method
        self.backend = backend
        self.formulation = formulation
        self.candidates = candidates
        self.gap = gap
        self.time_limit = time_limit
        self.class_weight = class_weight
        self.refit_ridge = refit_ridge
        self.threads = threads
        self.random_state = random_state

    def fit(self, X: Any, y: Any, groups: Any = None, sample_weight: Any = None) -> Self:
        """Cross-validate, then fit the chosen probe to all rows.

        Args:
            X, y: as in `SparseProbeClassifier`.
            groups: one per row, say its document; no fold may split one.
            sample_weight: one number >= 0 per row, for the fits and for the scorer.

        Raises:
            ValueError: as the classifier does; a class without training rows (of positive weight)
                in some fold, a group on both sides of one, no k or ridge to try, no fold that
                holds out both classes, a score that is no number.
            KeyboardInterrupt: Ctrl-C.
        """
        given = X
        X, codes, weights = self._checked(X, y, sample_weight)
        counted = np.ones(len(codes), bool) if weights is None else weights > 0
        splits = folds(self.cv, X, codes, counted=counted, groups=groups, classes=self.classes_)
        if self.one_standard_error and len(splits) == 1:
            raise ValueError(
                "one fold has no standard error; pass more, or one_standard_error=False"
            )
        # Made again below, one at a time: each holds its fold's columns once it is solved.
        tasks = (self._training(X, codes, weights, train) for train, _ in splits)
        candidates = self._candidates(min(len(task.problem.usable) for task in tasks))
        scores = np.empty((len(candidates), len(splits)))
        is_open = np.empty(scores.shape, bool)
        for number, (train, test) in enumerate(splits):
            task = self._training(X, codes, weights, train)
            found = self._paths(task, candidates)
            held_out = X[test], codes[test], None if weights is None else weights[test]
            for place, candidate in enumerate(candidates):
                probe = self._probe(candidate, task, found[candidate])
                scores[place, number] = self._score(probe, *held_out)
                result = found[candidate].result
                is_open[place, number] = result is None or result.limit is not None
        self._choose(candidates, scores)
        self.cv_results_["open_folds"] = is_open.sum(axis=1)
        best = self._classifier(self.best_k_, self.best_ridge_)
        self.best_estimator_ = best.fit(given, y, sample_weight)
        self.support_, self.coef_, self.intercept_ = best.support_, best.coef_, best.intercept_
        self.objective_, self.gap_, self.status_ = best.objective_, best.gap_, best.status_
        self.certificate_, self.result_ = best.certificate_, best.result_
        return self

    def _training(
        self,
        X: Array,
        codes: Int[Array, "rows"],
        weights: Float64[Array, "rows"] | None,
        train: Int[Array, "n"],
    ) -> Training:
        """The problem on one fold's training rows."""
        held = np.ones(len(codes), bool)
        held[train] = False
        return training(
            X,
            self._labels(codes),
            k=1,
            ridge=1.0,
            loss=self.loss,
            class_weight=self.class_weight,
            sample_weight=weights,
            test=held,
        )

    def _candidates(self, usable: int) -> list[tuple[int, float]]:
        """Pairs of k and ridge, simplest first."""
        ks = [k for k in sorted(set(self.ks)) if k <= usable]
        ridges = sorted(set(self.ridges), reverse=True)
        if not ks or not ridges:
            raise ValueError(
                f"ks={self.ks}, ridges={self.ridges}: nothing to try; {usable} columns vary in "
                f"every fold, pass some 1 <= k <= {usable} and a ridge"
            )
        return [(k, ridge) for k in ks for ridge in ridges]

    def _paths(
        self, task: Training, candidates: list[tuple[int, float]]
    ) -> dict[tuple[int, float], Found]:
        """A path over k for every ridge, the strongest first, starting from the one before."""
        ks = sorted({k for k, _ in candidates})
        found = dict[tuple[int, float], Found]()
        start = list[Int[Array, "s"]]()
        for ridge in sorted({ridge for _, ridge in candidates}, reverse=True):
            path = self._search().path(task.at(ridge), ks, start=start, certify=False)
            if path[-1].interrupted:
                raise KeyboardInterrupt
            found |= {(probe.k, ridge): probe for probe in path}
            start = [probe.support for probe in path]
        return found

    def _classifier(self, k: int, ridge: float) -> SparseProbeClassifier:
        """The unfitted classifier of one candidate."""
        shared = set(SparseProbeClassifier().get_params()) - {"k", "ridge"}
        settings = {name: getattr(self, name) for name in shared}
        return SparseProbeClassifier(k, ridge=ridge, **settings)

    def _probe(
        self, candidate: tuple[int, float], task: Training, found: Found
    ) -> SparseProbeClassifier:
        """The classifier of one candidate, fitted to one fold; its labels are what `_score` needs.

        Scorers of scikit-learn's own take 1 for the positive class, a callable sees the caller's.
        """
        probe = self._classifier(*candidate)
        named = isinstance(self.scoring, str)
        probe.classes_ = np.array([0, 1]) if named else self.classes_
        probe.n_features_in_ = self.n_features_in_
        probe._keep_probe(task, found)
        return probe

    def _score(
        self,
        probe: SparseProbeClassifier,
        X: Float[Array, "m d"],
        codes: Int[Array, "m"],
        weights: Float64[Array, "m"] | None,
    ) -> float:
        """The score of one fold's probe on its held-out rows."""
        scorer = get_scorer(self.scoring) if isinstance(self.scoring, str) else self.scoring
        extra = {} if weights is None else {"sample_weight": weights}
        score = float(scorer(probe, X, probe.classes_[codes], **extra))
        if not np.isfinite(score):
            raise ValueError(f"scoring={self.scoring!r} gave {score} for k={probe.k}")
        return score

    def _choose(
        self, candidates: list[tuple[int, float]], scores: Float64[Array, "candidates folds"]
    ) -> None:
        """Set `cv_results_` and the best candidate."""
        mean, deviation = scores.mean(axis=1), scores.std(axis=1)
        self.n_splits_ = scores.shape[1]
        self.cv_results_: dict[str, Any] = {
            "params": [{"k": k, "ridge": ridge} for k, ridge in candidates],
            "param_k": np.array([k for k, _ in candidates]),
            "param_ridge": np.array([ridge for _, ridge in candidates]),
            **{f"split{i}_test_score": scores[:, i] for i in range(self.n_splits_)},
            "mean_test_score": mean,
            "std_test_score": deviation,
            "rank_test_score": rankdata(-mean, method="min").astype(np.int32),
        }
        best = int(np.argmax(mean))
        if self.one_standard_error:
            error = scores[best].std(ddof=1) / np.sqrt(self.n_splits_)
            best = int(np.argmax(mean >= mean[best] - error))
        self.best_index_ = best
        self.best_k_, self.best_ridge_ = candidates[best]
        self.best_score_ = float(mean[best])
