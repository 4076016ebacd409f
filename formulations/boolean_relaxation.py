"""The continuous relaxation of the strongest compact models: a check of the native bound.

    min  sum_i w_i l(m_i) + (lam/2) sum_j beta_j^2 / s_j,   s in [0,1]^p,  sum_j s_j <= k

For the hinge and the squared hinge the perspective cones of `perspective.py` with s in [0,1]^p;
for the logistic loss the tangents of `logistic_tangents.py`, refined at every s that the LP
returns until nothing is missing. The optimum is that of `optprobe.relaxation`, found by somebody
else's solver: a lower bound on the probe, not a probe.

Source: Bertsimas, Pauphilet, Van Parys 2021, section 3.3; Xie and Deng 2020, "Scalable algorithms
for the sparse ridge regression", for the equality with the perspective relaxation.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Int

from formulations import logistic_tangents, perspective
from formulations.base import ConcreteModel, Kind, Size, Solution
from formulations.intervals import FIRST
from formulations.logistic_tangents import build_tangents
from formulations.parts import checked, chosen, margin_nonzeros
from formulations.perspective import build_perspective
from formulations.tangents import refine_tangents
from optprobe.problem import Problem

Array = np.ndarray

LOSSES = (*perspective.LOSSES, *logistic_tangents.LOSSES)
"""Losses that the relaxation covers."""


def kind(loss: str) -> Kind:
    """No binaries: cones for the hinges, linear rows for the tangents."""
    return Kind.LP if loss in logistic_tangents.LOSSES else Kind.SOCP


def size(n: int, p: int, k: int, loss: str) -> Size:
    """As built; each refinement of the logistic loss adds n rows of 2 coefficients and p of 3."""
    if loss in logistic_tangents.LOSSES:
        return Size(
            binary=0,
            continuous=2 * n + 3 * p + 1,
            rows=n + FIRST * (n + p) + 1,
            nonzeros=margin_nonzeros(n, p) + FIRST * (2 * n + 3 * p) + p,
        )
    cones = perspective.size(n, p, k, loss)
    return replace(cones, binary=0, continuous=cones.binary + cones.continuous)


def build(problem: Problem, columns: Int[Array, "p"] | None = None) -> ConcreteModel:
    """The model over the candidate columns; errors as in `Formulation.build`."""
    candidates = checked(problem, columns, "boolean_relaxation", LOSSES)
    made = build_tangents if problem.loss_name in logistic_tangents.LOSSES else build_perspective
    return made(problem, candidates, binary=False)


def refine(problem: Problem, model: ConcreteModel) -> float:
    """Make the tangents exact at the model's s; the cones are exact as they are."""
    return refine_tangents(problem, model) if model.component("loss") is not None else 0.0


def solution(model: ConcreteModel) -> Solution:
    """The relaxation rounded: the k columns of largest s, with the relaxation's coefficients."""
    s = chosen(model)
    k = int(model.cardinality.upper)
    inside = np.sort(np.argsort(-s, kind="stable")[:k])
    support = np.array(list(model.column), np.int64)[inside[s[inside] > 0.0]]
    beta = np.array([model.beta[j].value for j in support.tolist()], np.float64)
    return support, beta, float(model.intercept.value)
