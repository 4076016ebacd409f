"""The estimators, and what they share with `solve` and brute force."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from estimator_data import LOSSES, data
from instances import brute_force, random_problem
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    cross_val_score,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import optprobe.estimators.search as search
from optprobe import (
    Limit,
    SparseProbeClassifier,
    SparseProbeCV,
    Status,
    verify,
)
from optprobe.estimators import training
from optprobe.heuristics import get_heuristic
from optprobe.problem import Problem
from optprobe.verdict import judge


@pytest.mark.parametrize("seed", range(12))
def test_the_best_support_and_the_checkers_gap(seed):
    problem = random_problem(seed)
    X, y = problem.data.X, problem.data.y
    weighting = "balanced" if seed % 2 else None
    problem = Problem.of(
        X,
        y,
        k=problem.k,
        lam=problem.lam,
        loss=problem.loss_name,
        weights=weighting or "uniform",
    )
    optimum = brute_force(problem)
    fitted = SparseProbeClassifier(
        problem.k,
        ridge=problem.lam,
        loss=problem.loss_name,
        class_weight=weighting,
        gap=1e-7,
    ).fit(X, y)
    assert fitted.objective_ == pytest.approx(optimum.value, rel=1e-6)
    assert problem.objective(
        fitted.support_, fitted.result_.beta, fitted.result_.intercept
    ) == pytest.approx(fitted.objective_, rel=1e-12)
    verdict = judge(problem, fitted.certificate_)
    assert verdict.valid
    assert fitted.gap_ == verdict.gap
    assert fitted.status_ == Status.OPTIMAL
    assert len(fitted.support_) <= problem.k
    assert np.all(np.diff(fitted.support_) > 0)


def test_coefficients_are_for_x_as_it_came():
    X, y = data()
    fitted = SparseProbeClassifier(3).fit(X, y)
    assert fitted.coef_.shape == (1, X.shape[1])
    assert np.flatnonzero(fitted.coef_[0]).tolist() == fitted.support_.tolist()
    score = fitted.decision_function(X)
    np.testing.assert_allclose(score, (X @ fitted.coef_.T + fitted.intercept_)[:, 0], rtol=1e-9)
    np.testing.assert_allclose(score, fitted.result_.probe.decision_function(X), rtol=1e-9)
    np.testing.assert_array_equal(fitted.predict(X), score > 0)
    np.testing.assert_allclose(fitted.predict_proba(X)[:, 1], 1 / (1 + np.exp(-score)))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int64"])
def test_types_of_activations(dtype):
    X, y = data()
    X = X.astype(dtype)
    fitted = SparseProbeClassifier(2).fit(X, y)
    assert verify(fitted.certificate_, X, y).valid
    expected = Problem.of(X.astype(float), y, k=2)
    assert fitted.objective_ == pytest.approx(brute_force(expected).value, rel=1e-4)
    assert fitted.decision_function(X).dtype == np.float64


@pytest.mark.parametrize(
    ("negative", "positive"), [(0, 1), (-1, 1), (7, 3), (False, True), ("noun", "verb"), ("b", "a")]
)
@pytest.mark.parametrize("kind", [np.array, pd.Series, pl.Series, list])
def test_labels_come_back_as_they_went_in(negative, positive, kind):
    X, is_positive = data(rows=60)
    y = kind([positive if one else negative for one in is_positive])
    predicts(X, is_positive, y, negative, positive)


@pytest.mark.parametrize("kind", [np.array, pd.Series, pd.Categorical])
def test_columns_of_strings_held_as_objects(kind):
    X, is_positive = data(rows=60)
    labels = np.where(is_positive, "verb", "noun").astype(object)
    predicts(X, is_positive, kind(labels), "noun", "verb")


def predicts(X, is_positive, y, negative, positive) -> None:
    """predict, score and the result's probe all speak in the caller's two labels."""
    fitted = SparseProbeClassifier(2).fit(X, y)
    assert fitted.classes_.tolist() == sorted({negative, positive})
    predicted = fitted.predict(X)
    assert predicted.dtype == fitted.classes_.dtype
    larger = is_positive == (positive > negative)
    np.testing.assert_array_equal(
        predicted == max(negative, positive), fitted.decision_function(X) > 0
    )
    assert fitted.score(X, y) == (larger == (fitted.decision_function(X) > 0)).mean() > 0.7
    assert fitted.result_.probe.predict(X).tolist() == predicted.tolist()


@pytest.mark.parametrize("method", ["greedy", "mean_difference", "mean_difference@4"])
def test_a_heuristic_proves_nothing(method):
    X, y = data()
    problem = Problem.of(X, y, k=3)
    (choice,) = get_heuristic(method).path(problem, [3])
    fitted = SparseProbeClassifier(3, method=method).fit(X, y)
    assert fitted.support_.tolist() == choice.support.tolist()
    assert np.isnan(fitted.gap_)
    assert fitted.certificate_ is None
    assert fitted.result_ is None
    assert fitted.status_ == Status.FEASIBLE
    score = search.fitted(problem, choice.support)
    assert fitted.objective_ == score.objective
    columns = problem.data.columns(choice.support, np.arange(len(y)))
    expected = score.beta @ columns + score.intercept
    np.testing.assert_allclose(fitted.decision_function(X), expected, atol=1e-8)


def test_methods_agree():
    X, y = data()
    native = SparseProbeClassifier(2, ridge=0.05).fit(X, y)
    settings = [
        {"method": "oa"},
        {"method": "oa", "backend": "highs", "random_state": 3},
        {"method": "compact", "formulation": "logistic_tangents", "backend": "highs"},
        {"candidates": 6, "threads": 1},
    ]
    for given in settings:
        other = SparseProbeClassifier(2, ridge=0.05, **given).fit(X, y)
        assert other.support_.tolist() == native.support_.tolist()
        assert other.gap_ <= 1.001e-4
    assert other.result_.scope == "these candidates"


def test_refit_at_another_ridge_is_a_logistic_regression_on_the_chosen_columns():
    X, y = data()
    chosen = SparseProbeClassifier(2, ridge=0.3, class_weight=None).fit(X, y)
    fitted = clone(chosen).set_params(refit_ridge=0.01).fit(X, y)
    assert fitted.support_.tolist() == chosen.support_.tolist()
    assert fitted.objective_ == chosen.objective_
    assert fitted.gap_ == chosen.gap_
    Z = StandardScaler().fit_transform(X[:, fitted.support_])
    model = LogisticRegression(C=1 / (0.01 * len(y)), tol=1e-10).fit(Z, y)
    np.testing.assert_allclose(
        fitted.decision_function(X), model.decision_function(Z), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("class_weight", ["balanced", None, {False: 1.0, True: 3.0}])
def test_a_row_of_weight_two_counts_as_two_rows(loss, class_weight):
    X, y = data(rows=60)
    weight = np.random.default_rng(1).integers(0, 4, len(y))
    given = SparseProbeClassifier(2, loss=loss, class_weight=class_weight, gap=1e-7)
    weighted = clone(given).fit(X, y, sample_weight=weight)
    repeated = clone(given).fit(X.repeat(weight, axis=0), y.repeat(weight))
    assert weighted.support_.tolist() == repeated.support_.tolist()
    assert weighted.objective_ == pytest.approx(repeated.objective_, rel=1e-9)
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, rtol=1e-4)
    np.testing.assert_allclose(
        weighted.result_.probe.decision_function(X), weighted.decision_function(X), rtol=1e-8
    )
    task = training(
        X,
        y,
        k=2,
        ridge=0.1,
        loss=loss,
        class_weight=class_weight,
        sample_weight=weight.astype(float),
    )
    verdict = judge(task.problem, weighted.certificate_)
    assert verdict.valid
    assert weighted.gap_ == verdict.gap


def test_weights_may_lie_where_columns_vary_little():
    """The objective from its definition: the ridge is on columns of unit weighted deviation."""
    X, y = data()
    quiet = np.arange(len(y)) < 60
    X[~quiet] *= 50.0
    weight = np.where(quiet, 10.0, np.linspace(0.01, 0.02, len(y)))
    fitted = SparseProbeClassifier(2).fit(X, y, weight)
    deviation = np.sqrt(np.cov(X, rowvar=False, bias=True, aweights=weight).diagonal())
    slope = fitted.coef_[0] * deviation
    balanced = weight / np.bincount(y, weight)[y.astype(int)] / 2
    margin = np.where(y, 1, -1) * fitted.decision_function(X)
    value = balanced @ np.log1p(np.exp(-margin)) + 0.1 / 2 * slope @ slope
    assert fitted.objective_ == pytest.approx(value, rel=1e-9)


def test_equal_sample_weights_change_nothing():
    X, y = data()
    plain = SparseProbeClassifier(2).fit(X, y)
    weighted = SparseProbeClassifier(2).fit(X, y, np.full(len(y), 3.0))
    np.testing.assert_array_equal(plain.coef_, weighted.coef_)
    assert plain.certificate_.header == weighted.certificate_.header


def test_more_classes_by_one_against_the_rest():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((150, 6))
    y = np.array(["a", "b", "c"])[np.argmax(X[:, [4, 0, 2]], axis=1)]
    with pytest.raises(ValueError, match="Only binary classification is supported"):
        SparseProbeClassifier().fit(X, y)
    many = OneVsRestClassifier(SparseProbeClassifier(3)).fit(X, y)
    assert many.score(X, y) > 0.9
    for number, label in enumerate("abc"):
        one = SparseProbeClassifier(3).fit(X, y == label)
        np.testing.assert_array_equal(many.estimators_[number].coef_, one.coef_)
        assert many.estimators_[number].gap_ <= 1.001e-4


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
@pytest.mark.parametrize("estimator", [SparseProbeClassifier(2), SparseProbeCV((1, 2), cv=3)])
def test_frames_lend_their_names(frame, estimator):
    X, y = data()
    names = [f"L3N{j}" for j in range(X.shape[1])]
    table = frame(dict(zip(names, X.T, strict=True)))
    fitted = clone(estimator).fit(table, y)
    plain = clone(estimator).fit(X, y)
    assert fitted.feature_names_in_.tolist() == names
    assert fitted.result_.probe.names == tuple(names[j] for j in fitted.support_)
    np.testing.assert_array_equal(fitted.predict(table), plain.predict(X))
    with pytest.raises(ValueError, match="feature names should match"):
        fitted.predict(table[names[::-1]])


def test_grid_search_in_two_processes():
    X, y = data()
    pipeline = make_pipeline(FunctionTransformer(), SparseProbeClassifier(threads=1))
    grid = {
        "sparseprobeclassifier__k": [1, 2],
        "sparseprobeclassifier__method": ["bnb", "mean_difference"],
        "sparseprobeclassifier__loss": ["logistic", "squared_hinge"],
    }
    found = {}
    for jobs in (1, 2):
        model = GridSearchCV(pipeline, grid, scoring="average_precision", cv=3, n_jobs=jobs)
        found[jobs] = model.fit(X, y)
    one, two = (found[jobs].cv_results_["mean_test_score"] for jobs in (1, 2))
    np.testing.assert_array_equal(one, two)
    assert np.isfinite(one).all()
    best = found[2].best_estimator_[-1]
    assert best.k == 2
    assert best.support_.tolist() == [1, 5]


def test_fits_in_threads_do_not_disturb_each_other():
    X, y = data()
    model = GridSearchCV(SparseProbeClassifier(), {"k": [1, 2, 3]}, cv=4)
    alone = clone(model).fit(X, y).cv_results_["mean_test_score"]
    from joblib import parallel_config

    with parallel_config("threading", n_jobs=4):
        together = clone(model).fit(X, y).cv_results_["mean_test_score"]
    np.testing.assert_array_equal(alone, together)


def test_groups_and_weights_are_routed():
    X, y = data()
    groups, weight = np.arange(len(y)) // 6, np.linspace(1, 2, len(y))
    probe = SparseProbeCV((1, 2), cv=3)
    plain = cross_val_score(probe, X, y, cv=GroupKFold(3), groups=groups, params={"groups": groups})
    with sklearn.config_context(enable_metadata_routing=True):
        asking = clone(probe).set_fit_request(groups=True, sample_weight=True)
        asking.set_score_request(sample_weight=False)
        routed = cross_val_score(
            asking,
            X,
            y,
            cv=GroupKFold(3),
            params={"groups": groups, "sample_weight": np.ones(len(y))},
        )
        weighted = cross_val_score(
            SparseProbeClassifier()
            .set_fit_request(sample_weight=True)
            .set_score_request(sample_weight=True),
            X,
            y,
            cv=3,
            params={"sample_weight": weight},
        )
    np.testing.assert_array_equal(plain, routed)
    assert np.isfinite(weighted).all()


def test_probabilities_belong_to_the_logistic_loss():
    X, y = data()
    hinge = SparseProbeClassifier(2, loss="squared_hinge").fit(X, y)
    assert not hasattr(hinge, "predict_proba")
    calibrated = CalibratedClassifierCV(SparseProbeClassifier(2, loss="hinge"), cv=3).fit(X, y)
    assert calibrated.score(X, y) > 0.7


def test_a_limit_is_a_result():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 40))
    y = rng.random(200) < 0.5
    fitted = SparseProbeClassifier(6, ridge=1e-3, time_limit=0.0).fit(X, y)
    assert fitted.status_ == Status.FEASIBLE
    assert fitted.result_.limit is Limit.TIME
    assert fitted.gap_ > 1e-3
    assert len(fitted.support_) == 6


@pytest.mark.parametrize("estimator", [SparseProbeClassifier(), SparseProbeCV(cv=3)])
def test_an_interruption_ends_the_fit(estimator, monkeypatch):
    X, y = data()
    path = search.Search.path

    def interrupted(self, *given, **settings):
        found = path(self, *given, **settings)
        last = replace(found[-1].result, limit=Limit.INTERRUPTED)
        return [*found[:-1], replace(found[-1], result=last)]

    monkeypatch.setattr(search.Search, "path", interrupted)
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(X, y)
    if isinstance(estimator, SparseProbeClassifier):
        assert len(estimator.predict(X)) == len(y)  # what was found is kept


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"k": 9}, "k=9 exceeds the 8 usable columns"),
        ({"k": 0}, "k=0"),
        ({"ridge": 0.0}, "lam=0.0"),
        ({"refit_ridge": -1.0}, "lam=-1.0"),
        ({"loss": "log"}, "unknown loss 'log'"),
        ({"loss": "squared_error"}, "use SparseProbeRegressor"),
        ({"method": "magic"}, "unknown method 'magic'; choose an exact one .*or a heuristic"),
        ({"method": "greedy", "backend": "highs"}, "belong to exact methods"),
        ({"backend": "highs"}, "bnb needs no solver"),
        ({"class_weight": "even"}, "balanced"),
        ({"gap": -1.0}, "gap=-1.0"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    X, y = data()
    with pytest.raises(ValueError, match=message):
        SparseProbeClassifier(**settings).fit(X, y)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.ones(5), "sample_weight has shape"),
        (-np.ones(120), "finite and not negative"),
        (np.full(120, np.nan), "finite and not negative"),
        (np.zeros(120), "every sample_weight is zero"),
    ],
)
def test_bad_sample_weights_are_refused(weight, message):
    X, y = data()
    with pytest.raises(ValueError, match=message):
        SparseProbeClassifier().fit(X, y, weight)
