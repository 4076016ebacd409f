"""The native exact engine, `method="bnb"`: incumbent, root relaxation, screening, tree search."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float64, Int

from optprobe.bounds import DualPoint, DualPoints, dual_points
from optprobe.engine.log import ProgressLog
from optprobe.engine.proof import Proof
from optprobe.engine.tree import Node, Search
from optprobe.heuristics.local_search import Incumbent, best_of, fit_many, greedy, swap
from optprobe.interrupt import Interrupt
from optprobe.matrix import DesignMatrix
from optprobe.prefilter import root_relaxation, screen
from optprobe.problem import Problem
from optprobe.result import Limit, Limits
from optprobe.support import STORED_MU, Rows
from optprobe.threads import single_threaded_blas

Array = np.ndarray


@dataclass
class Memory:
    """What one k leaves for the next: root dual points and supports, on columns of X."""

    points: list[DualPoint] = field(default_factory=list)
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
    log: Callable[[str], None] | None = None,
) -> Outcome:
    """Solve the problem over supports inside `columns`, with a proof.

    Args:
        problem: the probe.
        columns: usable columns of X that a support may hold, increasing.
        limits: when to stop; the incumbent and its bound are returned whatever stops it.
        memory: dual points and supports of earlier k, extended in place.
        log: takes progress lines. The first Ctrl-C ends the search as interrupted.
    """
    with Interrupt() as interrupt, single_threaded_blas():
        return _run(problem, columns, limits, memory, log, lambda: interrupt.raised)


def _run(
    problem: Problem,
    columns: Int[Array, "p"],
    limits: Limits,
    memory: Memory,
    log: Callable[[str], None] | None,
    interrupted: Callable[[], bool],
) -> Outcome:
    """`branch_and_bound`, once Ctrl-C is a question to ask."""
    deadline = time.monotonic() + limits.time_s
    # A hair tighter than asked, so that refitting the incumbent does not reopen the gap.
    limits = replace(limits, gap=limits.gap * (1.0 - 1e-6))

    def stop() -> bool:
        return interrupted() or time.monotonic() >= deadline

    progress = ProgressLog(log)
    matrix, positions = problem.matrix, columns
    if 2 * len(columns) < problem.d:
        matrix, positions = matrix.restrict(columns), np.arange(len(columns))
        numbers = columns
    else:
        numbers = np.arange(problem.d)
    rows = Rows(problem.y, problem.weights, problem.loss, problem.lam)
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
    margin = _margin(problem, matrix, upper)
    cutoff = upper - limits.gap * abs(upper) + margin
    hints = memory.points
    warm = _spread(hints[-1:], place, len(numbers))
    relaxed = root_relaxation(
        matrix,
        rows,
        problem.k,
        free,
        cutoff,
        warm[0] if len(warm) else None,
        hints[-1].intercept if hints else 0.0,
    )
    used = np.flatnonzero(relaxed.beta[0])
    own = DualPoint(
        numbers[used], relaxed.beta[0, used], float(relaxed.intercept[0]), float(relaxed.mu[0])
    )
    points = _join(relaxed.value, relaxed.gain, _evaluate(matrix, rows, hints, place))
    screened = screen(points, problem.k, free, cutoff)
    known = [own, *hints]
    for i in screened.used:
        point = known[i]
        root = proof.fix(
            root, proof.add_point(point.columns, point.beta, point.intercept, point.mu)
        )
    bound = max(screened.bound, -np.inf)

    forced = np.flatnonzero(screened.forced)
    alive = np.flatnonzero(screened.forced | screened.free)
    # The incumbent's columns stay expressible even where they are proven out: they are not free.
    inside = np.union1d(alive, incumbent.support)
    if 2 * len(inside) > len(numbers):
        inside = np.arange(len(numbers))  # a copy would cost more memory than it saves time
    local = matrix if len(inside) == len(numbers) else matrix.restrict(inside)
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
        interrupted=interrupted,
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


def _margin(problem: Problem, matrix: DesignMatrix, upper: float) -> float:
    """What rounding may cost a bound of the search against one recomputed in float64.

    Float64 products lose at most about n u (1 + 1/lam). A stored hinge point loses what its small
    mu makes of the margins' rounding (`support.STORED_MU`). Float32 storage moves v_j by about
    2^-24 relative to the row weights, far inside 32 * 2^-24 of the value.
    """
    if matrix.roundoff > 1e-12:
        return 32.0 * matrix.roundoff
    products = 32.0 * (matrix.shape[0] + 100) * matrix.roundoff * (1.0 + 1.0 / problem.lam)
    return products + (STORED_MU * upper if problem.loss_name == "hinge" else 0.0)


def _first_incumbent(
    matrix: DesignMatrix,
    rows: Rows,
    k: int,
    usable: Int[Array, "p"],
    known: Sequence[Int[Array, "s"]],
    stop: Callable[[], bool],
) -> Incumbent:
    """Single swaps from the best of: greedy, the known supports of size k, and those of size
    k - 1 with any column added (the swaps exchange it for the best one)."""
    start = greedy(matrix, rows, k, usable, stop)
    for support in known:
        if len(support) == k - 1:
            filler = np.setdiff1d(usable, support)[:1]
            support = np.sort(np.append(support, filler))
        if len(support) == k:
            found = best_of(support[None], fit_many(matrix, rows, support[None]))
            start = min(start, swap(matrix, rows, found, usable, stop), key=_objective)
    return swap(matrix, rows, start, usable, stop)


def _objective(found: Incumbent) -> float:
    return found.objective


def _spread(
    points: Sequence[DualPoint], place: Int[Array, "d"], width: int
) -> Float64[Array, "m w"]:
    """Coefficients of the points, as a certificate stores them, over the positions of a matrix."""
    out = np.zeros((len(points), width))
    for row, point in zip(out, points, strict=True):
        at = place[point.columns]
        row[at[at >= 0]] = point.beta[at >= 0].astype(np.float32)
    return out


def _evaluate(
    matrix: DesignMatrix, rows: Rows, points: Sequence[DualPoint], place: Int[Array, "d"]
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
