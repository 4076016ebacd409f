"""Data that the estimators are tried on."""

from __future__ import annotations

import numpy as np

from optprobe import (
    SparseProbeClassifier,
    SparseProbeCV,
    SparseProbeRegressor,
)

ESTIMATORS = [SparseProbeClassifier(), SparseProbeCV(), SparseProbeRegressor()]
LOSSES = ("logistic", "hinge", "squared_hinge")


def data(seed: int = 0, rows: int = 120, columns: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Columns of very different scales and means, two of which make most of the label."""
    rng = np.random.default_rng(seed)
    Z = rng.standard_normal((rows, columns))
    y = Z[:, 1] - Z[:, 5] + 0.7 * rng.standard_normal(rows) > 0.3
    return Z * np.logspace(-1, 2, columns) + 10.0 * np.arange(columns), y
