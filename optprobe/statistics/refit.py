"""Select at one ridge, fit at another.

    beta, b = argmin over beta in R^S  sum_i w_i l(y_i (z_iS . beta + b)) + (lam/2) ||beta||^2

A strong ridge makes the choice of columns easy to prove and shrinks the coefficients; refitting
the chosen support with a weak one takes the shrinkage back. What was proven belongs to the ridge
of the selection; at the ridge of the refit the support is a heuristic's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64, Int

from optprobe.probe import Probe
from optprobe.problem import Problem
from optprobe.support import fit_support

Array = np.ndarray


@dataclass(frozen=True)
class Refit:
    """The best coefficients on a support.

    Attributes:
        lam: ridge of the fit.
        support: columns of X, increasing.
        beta, intercept: on the standardised columns.
        objective: at that ridge, in float64 from the data.
        probe: classifies new rows.
    """

    lam: float
    support: Int[Array, "s"]
    beta: Float64[Array, "s"]
    intercept: float
    objective: float
    probe: Probe


def refit(problem: Problem, support: Int[Array, "s"], *, lam: float | None = None) -> Refit:
    """Fit a support to full accuracy.

    Args:
        problem: data and loss; its k is not used.
        support: usable columns of X, in any order.
        lam: ridge; by default the problem's.

    Raises:
        ValueError: lam is not positive, or the support holds a column that does not exist, is
            constant or comes twice.
    """
    if lam is not None:
        problem = replace(problem, lam=lam)
    support = checked_support(problem, support)
    fit = fit_support(problem.data.columns(support, problem.data.train), problem.rows)
    beta, intercept = fit.solution[0, :-1], float(fit.solution[0, -1])
    return Refit(
        problem.lam,
        support,
        beta,
        intercept,
        problem.objective(support, beta, intercept),
        Probe.of(problem, support, beta, intercept),
    )


def checked_support(problem: Problem, support: Int[Array, "s"]) -> Int[Array, "s"]:
    """The support, increasing.

    Raises:
        ValueError: see `refit`.
    """
    chosen = np.sort(np.asarray(support, np.int64))
    unusable = np.setdiff1d(chosen, problem.usable)
    if len(unusable):
        raise ValueError(
            f"the support holds column {int(unusable[0])}, which is constant on the training rows "
            f"or not one of the {problem.d} columns"
        )
    if len(np.unique(chosen)) < len(chosen):
        raise ValueError(f"the support {chosen.tolist()} holds a column twice")
    return chosen
