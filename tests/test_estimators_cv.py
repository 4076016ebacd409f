"""Cross-validated paths, and the regressor."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest
from estimator_data import LOSSES, data
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.metrics import average_precision_score, f1_score, make_scorer
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    StratifiedGroupKFold,
    StratifiedKFold,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import optprobe.estimators.search as search
from optprobe import (
    SparseProbeClassifier,
    SparseProbeCV,
    SparseProbeRegressor,
)
from optprobe.problem import Problem
from optprobe.verdict import judge


@pytest.mark.parametrize("loss", LOSSES)
def test_cross_validation_is_a_grid_search_of_separate_fits(loss):
    X, y = data(seed=3, rows=80)
    ks, ridges, gap = (1, 2, 3), (1.0, 0.05), 1e-6
    probe = SparseProbeCV(ks, ridges, cv=3, loss=loss, gap=gap).fit(X, y)
    separate = GridSearchCV(
        SparseProbeClassifier(loss=loss, gap=gap),
        {"k": list(ks), "ridge": list(ridges)},
        scoring="average_precision",
        cv=StratifiedKFold(3),
    ).fit(X, y)
    for name in ("mean_test_score", "std_test_score", "rank_test_score", "split2_test_score"):
        np.testing.assert_allclose(probe.cv_results_[name], separate.cv_results_[name], atol=1e-12)
    assert probe.cv_results_["params"] == separate.cv_results_["params"]
    assert probe.best_score_ == pytest.approx(separate.best_score_, abs=1e-12)
    assert probe.cv_results_["open_folds"].tolist() == [0] * 6
    alone = SparseProbeClassifier(probe.best_k_, ridge=probe.best_ridge_, loss=loss, gap=gap).fit(
        X, y
    )
    np.testing.assert_array_equal(probe.coef_, alone.coef_)
    np.testing.assert_array_equal(probe.predict(X), alone.predict(X))
    assert probe.gap_ == alone.gap_ <= 1.001 * gap


def test_one_path_per_fold_and_ridge_and_no_row_of_its_held_out_side(monkeypatch):
    X, y = data()
    groups = np.arange(len(y)) // 6
    calls = []
    solve_path = search.solve_path

    def spy(problem, ks, **settings):
        calls.append((problem, list(ks), settings))
        return solve_path(problem, ks, **settings)

    monkeypatch.setattr(search, "solve_path", spy)
    probe = SparseProbeCV((2, 1), (0.1, 1.0), cv=3).fit(X, y, groups=groups)
    *inside, final = calls
    assert [(ks, problem.lam) for problem, ks, _ in inside] == [([1, 2], 1.0), ([1, 2], 0.1)] * 3
    assert final[1] == [probe.best_k_]
    for (problem, _, settings), ridge in zip(inside, (1.0, 0.1) * 3, strict=True):
        train, test = problem.data.train, problem.data.test
        assert not set(groups[train]) & set(groups[test])
        np.testing.assert_allclose(problem.data.by.mean, X[train].mean(axis=0))
        assert len(settings["start"]) == (0 if ridge == 1.0 else 2)
        assert not settings["check"]
    expected = StratifiedGroupKFold(3).split(X, y, groups)
    for (problem, _, _), (train, _) in zip(inside[::2], expected, strict=True):
        np.testing.assert_array_equal(problem.data.train, train)


def test_folds_that_leak_or_lack_a_class():
    X, y = data()
    groups = np.arange(len(y)) // 6
    with pytest.raises(ValueError, match=r"fold 0 has rows of \d+ groups, such as 0, on both"):
        SparseProbeCV(cv=list(KFold(3, shuffle=True, random_state=0).split(X))).fit(X, y, groups)
    SparseProbeCV(cv=GroupKFold(3)).fit(X, y, groups)
    with pytest.raises(ValueError, match="groups has shape"):
        SparseProbeCV().fit(X, y, groups[:5])
    order = np.argsort(~y, kind="stable")
    half = [(np.arange(60), np.arange(60, 120))]
    alone = y[order].copy()
    alone[:60], alone[60:] = True, np.arange(60) % 2 == 0
    with pytest.raises(ValueError, match="fold 0 has no training row of the class False"):
        SparseProbeCV(cv=half).fit(X, alone)
    rest = [(np.arange(60, 120), np.arange(60))]
    with pytest.raises(ValueError, match="no fold holds out both classes"):
        SparseProbeCV(cv=rest).fit(X, alone)
    both = [*rest, (np.arange(100), np.arange(100, 120))]
    with pytest.warns(UserWarning, match="1 of 2 folds hold out one class only"):
        assert SparseProbeCV(cv=both).fit(X, alone).n_splits_ == 1


def test_cardinalities_beyond_the_columns_are_left_out():
    X, y = data(columns=6)
    X[:, 0] = 1.0
    probe = SparseProbeCV((1, 5, 6, 16), cv=3).fit(X, y)
    assert probe.cv_results_["param_k"].tolist() == [1, 5]
    with pytest.raises(ValueError, match="5 columns vary in every fold"):
        SparseProbeCV((6, 16), cv=3).fit(X, y)


def test_scorers_by_name_and_by_function():
    X, y = data()
    labels = np.where(y, "yes", "no")
    named = SparseProbeCV((1, 2), cv=3, scoring="f1").fit(X, labels)
    called = SparseProbeCV((1, 2), cv=3, scoring=make_scorer(f1_score, pos_label="yes")).fit(
        X, labels
    )
    np.testing.assert_array_equal(
        named.cv_results_["mean_test_score"], called.cv_results_["mean_test_score"]
    )

    def own(estimator, X, y, sample_weight=None):
        return average_precision_score(y == "yes", estimator.decision_function(X))

    mine = SparseProbeCV((1, 2), cv=3, scoring=own).fit(X, labels)
    default = SparseProbeCV((1, 2), cv=3).fit(X, labels)
    np.testing.assert_allclose(
        mine.cv_results_["split1_test_score"], default.cv_results_["split1_test_score"]
    )
    with pytest.raises(ValueError, match="gave nan for k=1"):
        SparseProbeCV((1,), cv=3, scoring=lambda *given: np.nan).fit(X, y)


def test_one_standard_error_takes_the_simplest_of_the_best():
    X, y = data(seed=1)
    best = SparseProbeCV((1, 2, 3, 4), (0.3, 0.03), cv=5, scoring="accuracy").fit(X, y)
    simple = clone(best).set_params(one_standard_error=True).fit(X, y)
    scores = np.stack([best.cv_results_[f"split{i}_test_score"] for i in range(5)], axis=1)
    mean = scores.mean(axis=1)
    within = mean >= mean.max() - scores[mean.argmax()].std(ddof=1) / np.sqrt(5)
    candidates = list(product((1, 2, 3, 4), (0.3, 0.03)))
    assert (best.best_k_, best.best_ridge_) == candidates[mean.argmax()]
    assert (simple.best_k_, simple.best_ridge_) == candidates[np.flatnonzero(within)[0]]
    assert simple.best_k_ < best.best_k_
    with pytest.raises(ValueError, match="one fold has no standard error"):
        SparseProbeCV(cv=[(np.arange(60), np.arange(60, 120))], one_standard_error=True).fit(X, y)


def test_heuristic_folds_are_open():
    X, y = data()
    probe = SparseProbeCV((1, 2), cv=3, method="greedy", loss="hinge", refit_ridge=1.0).fit(X, y)
    assert probe.cv_results_["open_folds"].tolist() == [3, 3]
    assert np.isnan(probe.gap_)
    assert not hasattr(probe, "predict_proba")


def numbers(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A target of two columns, far from zero."""
    rng = np.random.default_rng(seed)
    X, _ = data(seed, rows=50, columns=7)
    Z = StandardScaler().fit_transform(X)
    return X, 40.0 + 3.0 * (2.0 * Z[:, 2] - Z[:, 6] + 0.8 * rng.standard_normal(50))


@pytest.mark.parametrize("seed", range(6))
def test_the_regressor_is_the_best_of_all_ridge_regressions(seed):
    X, y = numbers(seed)
    ridge, k = (0.01, 0.3)[seed % 2], 1 + seed % 3
    fitted = SparseProbeRegressor(k, ridge=ridge, gap=1e-7).fit(X, y)
    Z = StandardScaler().fit_transform(X)
    found = {}
    for support in combinations(range(7), k):
        model = Ridge(alpha=len(y) * ridge).fit(Z[:, support], y)
        error = np.mean((y - model.predict(Z[:, support])) ** 2) / 2
        found[support] = error + ridge / 2 * model.coef_ @ model.coef_, model
    best = min(found, key=lambda support: found[support][0])
    value, model = found[best]
    assert tuple(fitted.support_) == best
    assert fitted.objective_ == pytest.approx(value, rel=1e-9)
    np.testing.assert_allclose(fitted.predict(X), model.predict(Z[:, best]), rtol=1e-8)
    np.testing.assert_allclose(fitted.predict(X), X @ fitted.coef_ + fitted.intercept_, rtol=1e-9)
    np.testing.assert_allclose(fitted.predict(X), fitted.result_.probe.predict(X), rtol=1e-9)
    problem = Problem.of(X, y, k=k, lam=ridge, loss="squared_error")
    verdict = judge(problem, fitted.certificate_)
    assert verdict.valid
    assert fitted.gap_ == verdict.gap <= 1.001e-7


def test_the_regressor_weighs_rows_and_takes_frames_grids_and_heuristics():
    X, y = numbers()
    weight = np.random.default_rng(2).integers(0, 4, len(y))
    weighted = SparseProbeRegressor(2).fit(X, y, weight)
    repeated = SparseProbeRegressor(2).fit(X.repeat(weight, axis=0), y.repeat(weight))
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, rtol=1e-6)
    assert weighted.objective_ == pytest.approx(repeated.objective_, rel=1e-9)
    table = pd.DataFrame(X, columns=list("abcdefg"))
    model = GridSearchCV(
        make_pipeline(SparseProbeRegressor()),
        {"sparseproberegressor__k": [1, 2], "sparseproberegressor__method": ["bnb", "greedy"]},
        cv=4,
    ).fit(table, y)
    assert model.best_params_["sparseproberegressor__k"] == 2
    assert model.best_estimator_[-1].support_.tolist() == [2, 6]  # c and g, by either method
    assert model.score(table, y) > 0.7
    greedy = SparseProbeRegressor(2, method="greedy", refit_ridge=0.01).fit(X, y)
    plain = SparseProbeRegressor(2, ridge=0.01).fit(X, y)
    assert np.isnan(greedy.gap_)
    np.testing.assert_allclose(greedy.coef_, plain.coef_, rtol=1e-6)


def test_the_regressor_refuses_what_has_no_meaning():
    X, y = numbers()
    with pytest.raises(ValueError, match="y varies by only 0"):
        SparseProbeRegressor().fit(X, np.ones(len(y)))
    with pytest.raises(ValueError, match=r"mean_difference serves the loss .* not squared_error"):
        SparseProbeRegressor(method="mean_difference").fit(X, y)
    with pytest.raises(ValueError, match="k=8 exceeds the 7 usable columns"):
        SparseProbeRegressor(8).fit(X, y)
