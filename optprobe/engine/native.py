"""The native exact engine, `method="bnb"`: incumbent, root relaxation, screening, tree search."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from jaxtyping import Bool, Float64, Int

from optprobe.bounds import DualPoint, DualPoints, dual_points, stored_as
from optprobe.engine.damping import MOVED
from optprobe.engine.incumbent import first_incumbent, rounded, selected
from optprobe.engine.node import Node
from optprobe.engine.proof import Proof
from optprobe.engine.singles import together
from optprobe.engine.tree import Search
from optprobe.heuristics.fits import Incumbent, best_of
from optprobe.interrupt import Interrupt
from optprobe.matrix import DesignMatrix
from optprobe.prefilter import root_relaxation, screen
from optprobe.problem import Problem
from optprobe.progress import ProgressLog, TracePoint
from optprobe.relaxation import ACCURACY, Relaxed
from optprobe.result import Limit, Limits
from optprobe.rows import Rows
from optprobe.support import STORED_MU, fit_support
from optprobe.threads import single_threaded_blas

Array = np.ndarray

ANY = 1e300
"""Accuracy of a relaxation that its first dual point has."""

POINTS = 64
"""Stored dual points evaluated at once."""


@dataclass
class WarmStart:
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
    warm: WarmStart,
    log: Callable[[str], None] | None = None,
    observe: Callable[[TracePoint], None] | None = None,
) -> Outcome:
    """Solve the problem over supports inside `columns`, with a proof.

    Args:
        problem: the probe.
        columns: usable columns of X that a support may hold, increasing.
        limits: when to stop; the incumbent and its bound are returned whatever stops it.
        warm: dual points and supports of earlier k, extended in place.
        log: takes progress lines; the first Ctrl-C ends the search as interrupted.
        observe: takes the bounds behind those lines.
    """
    with Interrupt() as interrupt, single_threaded_blas():
        return _run(problem, columns, limits, warm, log, observe, lambda: interrupt.raised)


def _run(
    problem: Problem,
    columns: Int[Array, "p"],
    limits: Limits,
    warm: WarmStart,
    log: Callable[[str], None] | None,
    observe: Callable[[TracePoint], None] | None,
    interrupted: Callable[[], bool],
) -> Outcome:
    """`branch_and_bound`, once Ctrl-C is a question to ask."""
    deadline = time.monotonic() + limits.time_s
    # A hair tighter than asked, so that refitting the incumbent does not reopen the gap.
    limits = replace(limits, gap=limits.gap * (1.0 - 1e-6))

    def stop() -> bool:
        return interrupted() or time.monotonic() >= deadline

    progress = ProgressLog(log, observe, ("nodes", "open", "fitted", "ahead", "left"))
    matrix, positions = problem.matrix, columns
    if 2 * len(columns) < problem.d:
        matrix, positions = problem.data.restricted(columns), np.arange(len(columns))
        numbers = columns
    else:
        numbers = np.arange(problem.d)
    rows = problem.rows
    place = np.full(problem.d, -1)
    place[numbers] = np.arange(len(numbers))
    proof = Proof(stored_as(rows.loss))
    root = proof.add_leaf(-1)
    free = np.zeros(len(numbers), bool)
    free[positions] = True
    hints = warm.points
    incumbent, relaxed, cutoff = _root(
        problem, matrix, numbers, place, positions, free, warm, limits.gap, stop
    )
    upper = incumbent.objective
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

    forced = np.flatnonzero(screened.forced)
    alive = np.flatnonzero(screened.forced | screened.free)
    # The incumbent's columns stay expressible even where they are proven out: they are not free.
    inside = np.union1d(alive, incumbent.support)
    if 2 * len(inside) > len(numbers):
        inside = np.arange(len(numbers))  # a copy would cost more memory than it saves time
    local = matrix if len(inside) == len(numbers) else problem.data.restricted(numbers[inside])
    exact = local.columns
    if local.roundoff > DOUBLE:
        exact = partial(_source_columns, problem, numbers[inside])

    def improved(found: Incumbent) -> Incumbent:
        start = replace(found, support=inside[found.support])
        known = [place[support] for support in warm.supports]
        best = first_incumbent(matrix, rows, problem.k, alive, known, start, stop)
        if not np.isin(best.support, inside).all():
            return found  # within the gap of it: of columns that are proven out
        best = _exact(problem, matrix, numbers, best)
        return replace(best, support=np.searchsorted(inside, best.support))

    search = Search(
        matrix=local,
        exact=exact,
        rows=rows,
        k=problem.k,
        accuracy=_accuracy(problem),
        columns=numbers[inside],
        proof=proof,
        incumbent=replace(incumbent, support=np.searchsorted(inside, incumbent.support)),
        improved=None if np.isfinite(rows.loss.lipschitz) else improved,
        limits=limits,
        margin=_margin(problem, local.roundoff, upper),
        fit_margin=_margin(problem, DOUBLE, upper),
        deadline=deadline,
        interrupted=interrupted,
        log=progress,
    )
    proof.point[root] = proof.add_point(own.columns, own.beta, own.intercept, own.mu)
    start = relaxed.beta[0, inside]
    nonzero = np.flatnonzero(start)
    search.push(
        Node(
            screened.bound,
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
    warm.points.append(own)
    warm.supports.append(support)
    statistics = {
        "alive_columns": float(len(alive)),
        "root_bound": float(relaxed.bound[0]),
        "supports_fitted": float(search.fitted),
        "dual_points": float(len(proof.points)),
    }
    final = replace(best, support=support)
    return Outcome(final, search.lower, limit, search.nodes, proof, statistics)


def _root(
    problem: Problem,
    matrix: DesignMatrix,
    numbers: Int[Array, "w"],
    place: Int[Array, "d"],
    positions: Int[Array, "p"],
    free: Bool[Array, "w"],
    warm: WarmStart,
    gap: float,
    stop: Callable[[], bool],
) -> tuple[Incumbent, Relaxed, float]:
    """The first incumbent, the root's relaxation and the cutoff that closes the gap.

    The relaxation of a smooth loss is cheap, and where it rounds to its own value no heuristic is
    needed: it comes first, and other heuristics see only the columns that it leaves. The hinge's is
    not, and waits for a cutoff; its search asks for other heuristics when they are due.
    """
    rows, k, hints = problem.rows, problem.k, warm.points
    start = _spread(hints[-1:], place, len(numbers), stored_as(rows.loss))
    relax_root = partial(
        root_relaxation,
        matrix,
        rows,
        k,
        free,
        start=start[0] if len(start) else None,
        intercept=hints[-1].intercept if hints else 0.0,
        accuracy=_accuracy(problem),
        stop=stop,
    )
    known = [place[s] for s in warm.supports]
    if np.isfinite(rows.loss.lipschitz):
        relaxed = relax_root(np.inf)
        incumbent = rounded(matrix, rows, k, positions, relaxed)
        if not _closed(incumbent, relaxed, gap):
            cutoff = incumbent.objective + _margin(problem, matrix.roundoff, incumbent.objective)
            left = screen(DualPoints(relaxed.value, relaxed.gain), k, free, cutoff)
            positions = np.flatnonzero(left.forced | left.free)
            incumbent = first_incumbent(matrix, rows, k, positions, known, incumbent, stop)
    else:
        incumbent = selected(matrix, rows, k, positions, known, stop)
        relaxed = relax_root(_cutoff(problem, matrix, incumbent, gap))
    incumbent = _exact(problem, matrix, numbers, incumbent)
    return incumbent, relaxed, _cutoff(problem, matrix, incumbent, gap)


def _accuracy(problem: Problem) -> float:
    """Of relaxations: where the filter bounds every column by itself any dual point will do, and
    that of no column is better for each of them than one that all share."""
    rows = problem.rows
    alone = problem.k == 1 and isinstance(rows.loss, MOVED) and together(len(rows.w)) > 0
    return ANY if alone else ACCURACY


def _cutoff(problem: Problem, matrix: DesignMatrix, incumbent: Incumbent, gap: float) -> float:
    """What a bound must reach, rounding included."""
    upper = incumbent.objective
    return upper - gap * abs(upper) + _margin(problem, matrix.roundoff, upper)


DOUBLE = 2.0**-53
"""Unit roundoff of float64."""


def _margin(problem: Problem, roundoff: float, upper: float) -> float:
    """What rounding may cost a bound of the search against one recomputed in float64.

    Float64 products lose at most about n u (1 + 1/lam). A stored hinge point loses what its small
    mu makes of the margins' rounding (`support.STORED_MU`). A matrix that holds Z in float32 is
    off by 2^-24 of each entry, so that v_j moves by that much of ||w a||_2 ||z_j||_2 <= 1 at most,
    and its gain by v_j / lam <= (2 value / lam)^(1/2) times that; of both, a generous multiple.
    Residuals of targets are of the size of their spread instead of 1, and are multiplied with the
    targets themselves. The checker decides: too small a margin costs a certificate, never a false
    claim.
    """
    hinge, rows = problem.loss_name == "hinge", problem.rows
    spread = rows.spread
    terms = spread * (rows.size + spread / rows.lam)
    products = 32.0 * (len(rows.w) + 100) * DOUBLE * terms
    double = products + (STORED_MU * upper if hinge else 0.0)
    if roundoff <= DOUBLE:
        return double
    single = 16.0 * (1.0 + rows.lam**-0.5) + (100.0 if hinge else 0.0)
    return double + roundoff * spread * spread * single


def _source_columns(
    problem: Problem, numbers: Int[Array, "d"], positions: Int[Array, "p"]
) -> Float64[Array, "p n"]:
    """Columns in float64 from the source, by their position in the search."""
    return problem.data.columns(numbers[positions], problem.data.train)


def _exact(
    problem: Problem, matrix: DesignMatrix, numbers: Int[Array, "d"], found: Incumbent
) -> Incumbent:
    """The same support, its objective from the source columns in float64 and fitted exactly."""
    if found.exact and matrix.roundoff <= DOUBLE:
        return found
    columns = problem.data.columns(numbers[found.support], problem.data.train)
    start = np.append(found.beta, found.intercept)
    fits = fit_support(columns, problem.rows, start)
    return best_of(found.support[None], fits)


def _closed(incumbent: Incumbent, relaxed: Relaxed, gap: float) -> bool:
    """Whether the root proves its own rounding, with room for rounding errors."""
    upper = incumbent.objective
    return upper - float(relaxed.bound[0]) <= 0.9 * gap * abs(upper)


def _spread(
    points: Sequence[DualPoint],
    place: Int[Array, "d"],
    width: int,
    stored: type[np.floating],
) -> Float64[Array, "m w"]:
    """Coefficients of the points, as a certificate stores them, over the positions of a matrix."""
    out = np.zeros((len(points), width))
    for row, point in zip(out, points, strict=True):
        at = place[point.columns]
        row[at[at >= 0]] = point.beta[at >= 0].astype(stored)
    return out


def _evaluate(
    matrix: DesignMatrix, rows: Rows, points: Sequence[DualPoint], place: Int[Array, "d"]
) -> DualPoints:
    """Value and gains of stored points on the columns of a matrix that holds their columns."""
    width = matrix.shape[1]
    found = DualPoints(np.empty(0), np.empty((0, width)))
    for first in range(0, len(points), POINTS):
        part = points[first : first + POINTS]
        beta = _spread(part, place, width, stored_as(rows.loss))
        used = np.flatnonzero(beta.any(axis=0))
        intercept = np.array([point.intercept for point in part])
        margin = (matrix.scores(used, beta[:, used]) + intercept[:, None]) * rows.y
        mu = np.array([point.mu for point in part])
        dual = rows.loss.smoothed(mu[:, None]).dual(margin)
        more = dual_points(matrix, dual, rows.y, rows.w, rows.loss, rows.lam)
        found = _join(found.value, found.gain, more)
    return found


def _join(value: Array, gain: Array, more: DualPoints) -> DualPoints:
    """Two batches of dual points as one."""
    return DualPoints(np.concatenate([value, more.value]), np.concatenate([gain, more.gain]))
