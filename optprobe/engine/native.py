"""The native exact engine, `method="bnb"`: incumbent, root relaxation, screening, tree search."""

# ruff: noqa: F722
from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64, Int

from optprobe.bounds import DualPoints, dual_points
from optprobe.engine.log import ProgressLog
from optprobe.engine.proof import Proof
from optprobe.engine.tree import Node, Search
from optprobe.heuristics.local_search import Incumbent, best_of, fit_many, greedy, swap
from optprobe.matrix import DesignMatrix
from optprobe.prefilter import root_relaxation, screen
from optprobe.problem import Problem
from optprobe.result import Limit, Limits
from optprobe.support import Rows

Array = np.ndarray


@dataclass(frozen=True)
class Point:
    """A dual point by its coefficients, on columns of X (see `certificate.py`)."""

    columns: Int[Array, "p"]
    beta: Float64[Array, "p"]
    intercept: float
    mu: float


@dataclass
class Memory:
    """What one k leaves for the next: root dual points and supports, on columns of X."""

    points: list[Point] = field(default_factory=list)
    supports: list[Int[Array, "s"]] = field(default_factory=list)


@dataclass(frozen=True)
class Outcome:
    """What the search proved; `incumbent` on columns of X, coefficients on the search's copy."""

    incumbent: Incumbent
    lower: float
    limit: Limit | None
    nodes: int
    proof: Proof
    statistics: dict[str, float]


def branch_and_bound(
    problem: Problem,
    columns: Int[Array, "p"],
    limits: Limits,
    *,
    memory: Memory,
    log: Callable[[str], None] | None,
    stop: Callable[[], bool],
) -> Outcome:
    """Solve the problem over supports inside `columns`, with a proof.

    Args:
        problem: the probe.
        columns: usable columns of X that a support may hold, increasing.
        limits: when to stop; the incumbent and its bound are returned whatever stops it.
        memory: dual points and supports of earlier k, extended in place.
        log: takes progress lines.
        stop: asked between steps; True ends the search as interrupted.
    """
    deadline = time.monotonic() + limits.time_s
    progress = ProgressLog(log)
    matrix, positions = problem.matrix, columns
    if 2 * len(columns) < problem.d:
        matrix, positions = matrix.restrict(columns), np.arange(len(columns))
        numbers = columns
    else:
        numbers = np.arange(problem.d)
    rows = Rows(problem.y, problem.weights, problem.loss, problem.lam)
    margin = _margin(problem, matrix)
    place = np.full(problem.d, -1)
    place[numbers] = np.arange(len(numbers))
    incumbent = _first_incumbent(
        matrix, rows, problem.k, positions, [place[s] for s in memory.supports], stop
    )
    proof = Proof()
    root = proof.add_leaf(-1)
    free = np.zeros(len(numbers), bool)
    free[positions] = True

    upper = incumbent.objective
    cutoff = upper - limits.gap * abs(upper) + margin
    hints = memory.points
    warm = _spread(hints[-1:], place, len(numbers))
    relaxed = root_relaxation(
        matrix, rows, problem.k, free, cutoff, warm[0] if len(warm) else None,
        hints[-1].intercept if hints else 0.0,
    )
    used = np.flatnonzero(relaxed.beta[0])
    own = Point(
        numbers[used], relaxed.beta[0, used], float(relaxed.intercept[0]), float(relaxed.mu[0])
    )
    points = _join(relaxed.value, relaxed.gain, _evaluate(matrix, rows, hints, place))
    screened = screen(points, problem.k, free, cutoff)
    known = [own, *hints]
    for i in screened.used:
        point = known[i]
        root = proof.fix(root, proof.add_point(point.columns, point.beta, point.intercept, point.mu))
    bound = max(screened.bound, -np.inf)

    forced = np.flatnonzero(screened.forced)
    alive = np.flatnonzero(screened.forced | screened.free)
    missing = np.setdiff1d(incumbent.support, alive)
    inside = np.union1d(alive, missing)  # the incumbent stays expressible; it is not free
    local = matrix.restrict(inside)
    search = Search(
        matrix=local,
        rows=rows,
        k=problem.k,
        columns=numbers[inside],
        proof=proof,
        incumbent=Incumbent(
            np.searchsorted(inside, incumbent.support),
            incumbent.beta,
            incumbent.intercept,
            incumbent.objective,
        ),
        limits=limits,
        margin=margin,
        deadline=deadline,
        stop=stop,
        log=progress,
    )
    proof.point[root] = proof.add_point(own.columns, own.beta, own.intercept, own.mu)
    start = relaxed.beta[0, inside]
    nonzero = np.flatnonzero(start)
    search.push(
        Node(
            bound,
            root,
            np.searchsorted(inside, forced),
            np.packbits(screened.free[inside]),
            nonzero,
            start[nonzero].astype(np.float32),
            float(relaxed.intercept[0]),
        )
    )
    limit = search.run()
    search.report(last=True)
    best = search.incumbent
    support = search.columns[best.support]
    memory.points.append(own)
    memory.supports.append(support)
    statistics = {
        "alive_columns": float(len(alive)),
        "root_bound": float(relaxed.bound[0]),
        "supports_fitted": float(search.fitted),
        "dual_points": float(len(proof.points)),
    }
    final = Incumbent(support, best.beta, best.intercept, best.objective)
    return Outcome(final, search.lower, limit, search.nodes, proof, statistics)


def _margin(problem: Problem, matrix: DesignMatrix) -> float:
    """What rounding may cost a bound of the search against one recomputed in float64.

    Float64 products lose at most about n u (1 + 1/lam); float32 storage moves v_j by about 2^-24
    relative to the row weights, far inside 32 * 2^-24 of the value.
    """
    if matrix.roundoff < 1e-12:
        return 8.0 * matrix.shape[0] * matrix.roundoff * (1.0 + 1.0 / problem.lam)
    return 32.0 * matrix.roundoff


def _first_incumbent(
    matrix: DesignMatrix,
    rows: Rows,
    k: int,
    usable: Int[Array, "p"],
    known: Sequence[Int[Array, "s"]],
    stop: Callable[[], bool],
) -> Incumbent:
    """Greedy and swaps; supports of smaller k are extended by their best column first."""
    start = greedy(matrix, rows, k, usable)[-1]
    for support in known:
        if len(support) == k - 1 and k > 1:
            others = np.setdiff1d(usable, support)
            # The best single addition, by one swap round on an arbitrary filler.
            filled = np.sort(np.append(support, others[0]))
            fits = fit_many(matrix, rows, filled[None])
            extended = swap(matrix, rows, best_of(filled[None], fits), usable, stop)
            start = min(start, extended, key=lambda found: found.objective)
    return swap(matrix, rows, start, usable, stop)


def _spread(points: Sequence[Point], place: Int[Array, "d"], width: int) -> Float64[Array, "m w"]:
    """Coefficients of the points as rows over the positions of a matrix."""
    out = np.zeros((len(points), width))
    for row, point in zip(out, points, strict=True):
        at = place[point.columns]
        row[at[at >= 0]] = point.beta[at >= 0]
    return out


def _evaluate(
    matrix: DesignMatrix, rows: Rows, points: Sequence[Point], place: Int[Array, "d"]
) -> DualPoints:
    """Value and gains of stored points on the columns of a matrix that holds their columns."""
    width = matrix.shape[1]
    if not points:
        return DualPoints(np.empty(0), np.empty((0, width)))
    beta = _spread(points, place, width)
    used = np.flatnonzero(beta.any(axis=0))
    intercept = np.array([point.intercept for point in points])
    margin = (matrix.scores(used, beta[:, used]) + intercept[:, None]) * rows.y
    mu = np.array([point.mu for point in points])
    dual = rows.loss.smoothed(mu[:, None]).dual(margin)
    return dual_points(matrix, dual, rows.y, rows.w, rows.loss, rows.lam)


def _join(value: Array, gain: Array, more: DualPoints) -> DualPoints:
    """Two batches of dual points as one."""
    return DualPoints(np.concatenate([value, more.value]), np.concatenate([gain, more.gain]))
