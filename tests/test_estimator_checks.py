"""The estimators pass scikit-learn's own checks."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from estimator_data import ESTIMATORS
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from optprobe import (
    SparseProbeClassifier,
    SparseProbeCV,
)


@parametrize_with_checks(ESTIMATORS)
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


def test_the_check_that_scikit_learn_skips_without_a_setting():
    """SCIPY_ARRAY_API is read when SciPy is imported: in a process of its own."""
    program = """
from sklearn.utils.estimator_checks import check_array_api_input
from optprobe import SparseProbeClassifier, SparseProbeCV, SparseProbeRegressor
for kind in (SparseProbeClassifier, SparseProbeCV, SparseProbeRegressor):
    check_array_api_input(kind.__name__, kind(), array_namespace="numpy")
print("checked")
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"SCIPY_ARRAY_API": "1"},
    )
    assert done.stdout == "checked\n", done.stderr[-3000:]


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda estimator: type(estimator).__name__)
def test_all_of_scikit_learns_checks_are_run(estimator):
    """A tag can take a suite of 60 checks down to one without a word."""
    names = [
        getattr(check, "func", check).__name__ for _, check in estimator_checks_generator(estimator)
    ]
    assert len(names) >= 57  # of scikit-learn 1.9.1: 64 of a classifier, 59 of a regressor
    assert not get_tags(estimator)._skip_test
    own = {"check_regressors_train", "check_regressors_int"}
    if isinstance(estimator, SparseProbeClassifier | SparseProbeCV):
        own = {"check_classifiers_train", "check_class_weight_classifiers"}
    assert own | {
        "check_sample_weight_equivalence_on_dense_data",
        "check_estimators_pickle",
        "check_fit_idempotent",
        "check_fit2d_1feature",
        "check_n_features_in_after_fitting",
    } <= set(names)
