"""The independent checker's verdict on a result of ours."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from optprobe.checker import verify
from optprobe.memory import keep_freed_memory
from optprobe.result import Bounds, Limit, Status
from optprobe.threads import single_threaded_blas

if TYPE_CHECKING:
    from optprobe.certificate import Certificate
    from optprobe.checker import Verdict
    from optprobe.problem import Problem
    from optprobe.result import Result

ROUNDING = 1e-12
"""The checker rounds its bounds outwards, which widens a gap in its last digits."""


def judge(problem: Problem, certificate: Certificate) -> Verdict:
    """The independent checker's verdict on a certificate for this problem's data."""
    keep_freed_memory()
    data = problem.data
    held = np.ones(len(data.y), bool)
    held[data.train] = False
    weights = data.given if data.given is not None else data.weighting
    with single_threaded_blas():  # the checker has threads of its own
        return verify(certificate, data.on_host(), data.y, test=held, weights=weights)


def with_verdict(problem: Problem, result: Result) -> Result:
    """The result with the checker's bounds.

    Should the checker refuse the certificate, which would be a defect of ours, a RuntimeWarning
    names the leaf and the result comes back feasible and without certificate: nothing that was
    computed is lost, nothing is overstated.
    """
    if result.certificate is None:
        return result
    verdict = judge(problem, result.certificate)
    if not verdict.valid:
        warnings.warn(
            f"the checker refused the certificate for k={problem.k}: {verdict.reason}; the result "
            "is claimed, not certified (please report this with the data and settings)",
            RuntimeWarning,
            stacklevel=2,
        )
        return replace(
            result, certificate=None, status=Status.FEASIBLE, limit=result.limit or Limit.STALLED
        )
    return replace(result, verified=Bounds(verdict.lower, verdict.upper))


def certified(result: Result, gap: float) -> bool:
    """Whether the checker's own bounds are within the gap asked for."""
    return result.verified is not None and result.verified.gap <= gap * (1.0 + 1e-6) + ROUNDING
