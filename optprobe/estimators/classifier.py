"""The k-sparse probe as a scikit-learn classifier."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from optprobe.estimators.base import BinaryProbe
from optprobe.estimators.training import ClassWeight, training


class SparseProbeClassifier(BinaryProbe):
    """A linear classifier on the best k columns, with a certificate.

        minimise over beta in R^d, b in R:
            sum_i w_i loss(y_i (z_i . beta + b)) + (ridge/2) ||beta||^2   s.t. ||beta||_0 <= k

    z_i are the rows of X standardised; sum_i w_i = 1. Source: Bertsimas, Pauphilet, Van Parys 2021;
    Gurnee et al. 2023 for probes. Two classes only: for more, OneVsRestClassifier around it.

    Args:
        k: at most this many columns.
        ridge: > 0, for columns of unit variance.
        loss: "logistic", "hinge" or "squared_hinge".
        method: an exact method of `optprobe.solve` ("bnb", "oa", "oa-plain", "compact") or the name
            of a heuristic (`optprobe.heuristics.HEURISTICS`, or "NAME@512"), whose support is
            fitted exactly and proves nothing.
        backend, formulation: of the exact methods but "bnb".
        candidates: keep this many columns by mean difference first; a proof covers only them.
        gap: relative gap at which an exact method stops.
        time_limit: its seconds, None for no limit. At the limit the best support so far is kept:
            look at `status_` and `gap_`.
        class_weight: "balanced" (each class weighs one half), a dict of labels, or None.
        refit_ridge: fit the chosen support once more with this ridge, as Gurnee et al. do;
            `objective_` and `gap_` remain those of the choice.
        threads: processors to use; None is all for "bnb" and one for a backend.
        random_state: seed of MIP backends and random heuristics.

    Attributes:
        classes_, support_, coef_ (1 x n_features, for X as it came), intercept_, objective_, gap_,
        status_, certificate_, result_: see `optprobe.estimators.base`.
    """

    def __init__(
        self,
        k: int = 1,
        *,
        ridge: float = 0.1,
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
        self.k = k
        self.ridge = ridge
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

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Choose and fit.

        Args:
            X: rows x columns of numbers: an array or a frame. float16 and float32 are not copied.
            y: one label per row, two different ones: strings, booleans or integers.
            sample_weight: one number >= 0 per row. A row of weight 2 counts as two rows. With
                unequal ones `result_` and `certificate_` are about the columns in the units of
                `optprobe.estimators.training`.

        Raises:
            ValueError: more or fewer than two classes, k beyond the columns that vary, parameters
                out of range.
            KeyboardInterrupt: Ctrl-C; the best support so far is kept all the same.
        """
        X, codes, weights = self._checked(X, y, sample_weight)
        task = training(
            X,
            self._labels(codes),
            k=self.k,
            ridge=self.ridge,
            loss=self.loss,
            class_weight=self.class_weight,
            sample_weight=weights,
            names=self._names(),
        )
        (found,) = self._search().path(task.problem, [task.problem.k])
        self._keep_probe(task, found)
        if found.interrupted:
            raise KeyboardInterrupt
        return self
