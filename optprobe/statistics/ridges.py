"""The path over ridges, and bounds that hold for many ridges at once.

With f_k(lam) the optimum over supports of size k at ridge lam:

(1) One dual point bounds every ridge and every k. For a in the loss's box with sum w a y = 0 and
    v = Z^T (w a y), neither of which knows lam or k,

        f_k(lam) >= sum_i w_i H(a_i) - (1 / (2 lam)) (sum of the k largest v_j^2).

(2) f_k is concave and increasing in lam. For fixed k-sparse (beta, b) the objective is
    L(beta, b) + lam ||beta||^2 / 2, affine in lam with slope >= 0, and f_k is the least of these;
    as no loss is negative, f_k >= 0 too. So lower bounds at single ridges give one at every ridge:
    on the chord between two of them, on the chord to (0, 0) below the weakest, and constant above
    the strongest. Two certified solves certify the whole interval between their ridges.

(3) The same affine functions bound from above: a probe known at one ridge has the objective
    f + (lam' - lam) ||beta||^2 / 2 at another, without a refit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float64, Int

from optprobe.bounds import DualPoints
from optprobe.prefilter import root_relaxation
from optprobe.problem import Problem
from optprobe.result import Limits, Result
from optprobe.solver import solve_path

Array = np.ndarray

RIDGES = tuple(np.logspace(0.0, -3.0, 7).tolist())
"""1 down to 0.001, two a decade."""


def ridge_path(
    problem: Problem,
    ks: Sequence[int],
    ridges: Sequence[float] = RIDGES,
    *,
    candidates: int | None = None,
    limits: Limits | None = None,
) -> Iterator[tuple[float, list[Result]]]:
    """Solve every k at every ridge, from the strongest, where proofs are cheap, to the weakest.

    The supports found at one ridge start the next. Ctrl-C ends the path after the ridge at hand,
    whose list may then lack the larger k.

    Args:
        problem: data and loss; its own k and ridge are not used.
        ks: cardinalities.
        ridges: in any order.
        candidates, limits: as for `solve_path`, the limits per k and ridge.

    Yields:
        (ridge, one result per k), in falling order of the ridges.

    Raises:
        ValueError: no ridge, one that is not positive, or what `solve_path` refuses.
    """
    order = sorted({float(lam) for lam in ridges}, reverse=True)
    if not order:
        raise ValueError("no ridge to solve for; pass at least one")
    problems = [replace(problem, lam=lam) for lam in order]
    return _path(problems, ks, candidates, limits)


def _path(
    problems: Sequence[Problem], ks: Sequence[int], candidates: int | None, limits: Limits | None
) -> Iterator[tuple[float, list[Result]]]:
    """The generator behind `ridge_path`, once its ridges have been checked."""
    start: list[Int[Array, "s"]] = []
    for problem in problems:
        found = list(solve_path(problem, ks, candidates=candidates, limits=limits, start=start))
        start = [result.support for result in found]
        yield problem.lam, found
        if len(found) < len(set(ks)):
            return


def relaxed_points(problem: Problem, ridges: Sequence[float]) -> DualPoints:
    """One dual point per ridge: the best for the problem's k there, by the perspective relaxation.

    Their gains are those at the problem's own ridge, as `bounds_over_ridges` expects.
    """
    found = [
        root_relaxation(at.matrix, at.rows, at.k, ~at.data.by.constant, np.inf)
        for at in (replace(problem, lam=lam) for lam in ridges)
    ]
    gains = [r.gain * (lam / problem.lam) for r, lam in zip(found, ridges, strict=True)]
    return DualPoints(np.concatenate([r.value for r in found]), np.concatenate(gains))


def bounds_over_ridges(
    problem: Problem, points: DualPoints, ridges: Sequence[float], ks: Sequence[int]
) -> Float64[Array, "ridges ks"]:
    """The best lower bound on f_k(lam) that some dual points give: (1) above.

    Args:
        problem: whose ridge the gains of the points belong to.
        points: any number of them, from `relaxed_points` or `bounds.dual_points`.
        ridges, ks: where to bound.

    Raises:
        ValueError: a ridge that is not positive, or a k below 1.
    """
    if not all(lam > 0.0 for lam in ridges) or not all(k >= 1 for k in ks):
        raise ValueError(f"ridges {list(ridges)}, k {list(ks)}: pass ridges > 0 and k >= 1")
    largest = np.cumsum(-np.sort(-points.gain, axis=1), axis=1)
    count = np.minimum(np.asarray(ks, int), largest.shape[1]) - 1
    scale = problem.lam / np.asarray(ridges, np.float64)
    bounds = points.value[:, None, None] - scale[:, None] * largest[:, None, count]
    return bounds.max(axis=0)


def lower_between(
    ridges: Float64[Array, "m"], lower: Float64[Array, "m"], at: Float64[Array, "r"]
) -> Float64[Array, "r"]:
    """Lower bounds on f_k at other ridges from those at some ridges, for one k: (2) above.

    As good as what it is given: certified bounds give certified ones, up to the rounding of the
    last digit.

    Raises:
        ValueError: no ridge, or one that is not positive.
    """
    _check(ridges, at)
    x = np.concatenate([[0.0], ridges])
    value = np.concatenate([[0.0], np.maximum(lower, 0.0)])
    here, left = at[:, None, None], x[:, None]
    rising = left < x
    slope = np.where(rising, (value - value[:, None]) / np.where(rising, x - left, 1.0), 0.0)
    chord = value[:, None] + slope * (here - left)
    chords = np.where(rising & (left <= here) & (here <= x), chord, 0.0).max(axis=(1, 2))
    return np.maximum(chords, np.where(x <= at[:, None], value, 0.0).max(axis=1))


def upper_between(
    ridges: Float64[Array, "m"],
    objective: Float64[Array, "m"],
    squared_norm: Float64[Array, "m"],
    at: Float64[Array, "r"],
) -> Float64[Array, "r"]:
    """Upper bounds on f_k at other ridges from probes known at some ridges: (3) above.

    Args:
        ridges, objective, squared_norm: of each probe, ||beta||^2 on the standardised columns.
        at: where to bound.

    Raises:
        ValueError: no ridge, or one that is not positive.
    """
    _check(ridges, at)
    return (objective + 0.5 * (at[:, None] - ridges) * squared_norm).min(axis=1)


def _check(ridges: Float64[Array, "m"], at: Float64[Array, "r"]) -> None:
    """At least one known ridge, all of them positive."""
    if not len(ridges) or not (ridges > 0.0).all() or not (at > 0.0).all():
        raise ValueError("pass at least one ridge with a bound, and ridges > 0 throughout")
