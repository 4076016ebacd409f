"""The dense ridge probe: the fit on all columns at once, by products with the design matrix only.

    min over beta in R^p, b of  f(beta, b) = sum_i w_i l(y_i (z_iJ . beta + b)) + (lam/2) ||beta||^2

The ceiling of every sparse probe at the same ridge, and the source of rankings by coefficient.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int

from optprobe.losses import Hinge
from optprobe.matrix import DesignMatrix
from optprobe.support.rows import Rows
from optprobe.threads import single_threaded_blas

Array = np.ndarray

HUBER = (1e-1, 1e-2)
"""Smoothings mu of the hinge, each fit started from the last: it is too kinked to fit as it is."""

OPTIONS = {"maxcor": 20, "maxiter": 2000, "maxfun": 4000, "ftol": 0.0, "gtol": 0.0}
"""Of L-BFGS, which ends by `accuracy`; real activations take 20 to 50 iterations for the logistic
loss, 50 to 500 for the squared hinge, up to 1000 for the hinge."""


@dataclass(frozen=True)
class DenseFit:
    """A fit on the columns J.

    Attributes:
        beta: one coefficient per column of J, on standardised columns.
        intercept: b, not penalised.
        objective: f(beta, b) under the problem's own loss.
        iterations: of L-BFGS, each one or two evaluations of two passes over the activations.
    """

    beta: Float64[Array, "p"]
    intercept: float
    objective: float
    iterations: int


def fit_dense(
    matrix: DesignMatrix,
    rows: Rows,
    columns: Int[Array, "p"] | None = None,
    *,
    accuracy: float = 1e-8,
) -> DenseFit:
    """Minimise f over every coefficient of the columns J by L-BFGS (Liu and Nocedal 1989).

    f - f* <= ||grad f||^2 / (2 lam) once the intercept is at its optimum, for f is lam-strongly
    convex in beta; the fit ends when that is small. The hinge is Huberised,

        l_mu(m) = a (1 - m) - mu a^2 / 2,   a = clip((1 - m)/mu, 0, 1),   0 <= l - l_mu <= mu/2,

    so its f may stay mu/2 = 5e-3 above f*.

    Args:
        matrix: standardised training rows, in memory, streamed or on a device.
        rows: labels, weights, loss and ridge.
        columns: J, by default every column.
        accuracy: the largest ||grad f||^2 / (2 lam f) at which the fit ends.
    """
    from scipy.optimize import minimize

    Z = matrix if columns is None else matrix.restrict(columns)
    theta, iterations = np.zeros(Z.shape[1] + 1), 0
    for mu in HUBER if isinstance(rows.loss, Hinge) else (0.0,):
        smooth = _Smooth(Z, rows, mu, accuracy)
        with single_threaded_blas():  # the passes wait for memory, not for arithmetic
            found = minimize(
                smooth.value_and_gradient,
                theta,
                jac=True,
                method="L-BFGS-B",
                callback=smooth.stop_when_close,
                options=OPTIONS,
            )
        theta, iterations = found.x, iterations + int(found.nit)
    beta, loss = theta[:-1], rows.loss.value(_margins(Z, rows, theta))
    objective = float(rows.w @ loss + 0.5 * rows.lam * (beta @ beta))
    return DenseFit(beta, float(theta[-1]), objective, iterations)


def _margins(Z: DesignMatrix, rows: Rows, theta: Float64[Array, "q"]) -> Float64[Array, "n"]:
    """y (Z beta + b), the intercept last in theta."""
    return rows.y * (Z.scores(np.arange(Z.shape[1]), theta[None, :-1])[0] + theta[-1])


@dataclass
class _Smooth:
    """f with the hinge Huberised by mu (0: the loss as it is), as L-BFGS sees it."""

    Z: DesignMatrix
    rows: Rows
    mu: float
    accuracy: float
    slack: float = np.inf

    def value_and_gradient(self, theta: Float64[Array, "q"]) -> tuple[float, Float64[Array, "q"]]:
        """f and its gradient; keeps ||grad f||^2 / (2 lam f)."""
        rows, beta = self.rows, theta[:-1]
        margin = _margins(self.Z, rows, theta)
        if self.mu:
            dual = np.clip((1.0 - margin) / self.mu, 0.0, 1.0)
            loss = dual * (1.0 - margin) - 0.5 * self.mu * dual * dual
        else:
            dual, loss = rows.loss.dual(margin), rows.loss.value(margin)
        pull = rows.w * rows.y * dual
        value = float(rows.w @ loss + 0.5 * rows.lam * (beta @ beta))
        gradient = rows.lam * beta - self.Z.correlations(pull[None])[0]
        square = float(gradient @ gradient + pull.sum() ** 2)
        self.slack = square / (2.0 * rows.lam * value) if square else 0.0
        return value, np.append(gradient, -pull.sum())

    def stop_when_close(self, _: Float64[Array, "q"]) -> None:
        """Stop L-BFGS: the point it accepted is the one evaluated last."""
        if self.slack <= self.accuracy:
            raise StopIteration
