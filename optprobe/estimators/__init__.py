"""scikit-learn estimators: fit, predict and score, with the certificate beside the coefficients."""

from optprobe.estimators.classifier import SparseProbeClassifier
from optprobe.estimators.cv import SparseProbeCV
from optprobe.estimators.regressor import SparseProbeRegressor
from optprobe.estimators.training import Training, training

__all__ = ["SparseProbeCV", "SparseProbeClassifier", "SparseProbeRegressor", "Training", "training"]
