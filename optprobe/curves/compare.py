"""A support beside the best one known, and what was proven about its k."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from optprobe.curves.records import Comparison, Point, Reference
from optprobe.curves.scoring import Scorer

ROUNDING = 1e-9
"""Relative difference of two objectives that rounding explains."""


def best_known(exact: Point, others: Sequence[Point], gap: float) -> Point:
    """The exact point with the best support of all methods, and whether that one is certified.

    The lower bound stays the checker's. A heuristic can be better than the incumbent only of an
    unfinished solve, or by less than the gap.
    """
    assert exact.solve is not None
    best = min(others, key=lambda point: point.objective, default=exact)
    if best.objective < exact.objective * (1.0 - ROUNDING):
        exact = replace(
            exact,
            support=best.support,
            names=best.names,
            beta=best.beta,
            intercept=best.intercept,
            objective=best.objective,
            refit_seconds=best.refit_seconds,
            test=best.test,
            solve=replace(exact.solve, found_by=best.method),
        )
    assert exact.solve is not None
    lower = exact.solve.lower
    certified = lower is not None and relative_gap(exact.objective, lower) <= gap + ROUNDING
    return replace(exact, solve=replace(exact.solve, certified=certified))


def relative_gap(objective: float, lower: float) -> float:
    """(objective - lower) / objective."""
    return (objective - lower) / max(abs(objective), 1e-12)


def compare(point: Point, best: Point, exact: Point | None, scorer: Scorer) -> Comparison:
    """Regret, overlap and difference in test F1.

    Args:
        point: what is compared.
        best: the best support known for its k.
        exact: the exact solve of that k, if there was one; then `best` is its support.
        scorer: for the paired difference, unless the point has it against this support already.
    """
    solve = None if exact is None else exact.solve
    reference: Reference = "best known"
    regret = None
    if solve is not None and solve.certified:
        reference, regret = "optimum", max(point.objective / best.objective - 1.0, 0.0)
    elif solve is not None and solve.lower is not None:
        reference, regret = "lower bound", max(point.objective / solve.lower - 1.0, 0.0)
    held, inside = set(point.support), set(best.support)
    known = point.against
    difference = None
    if known is not None and known.best == best.support:
        difference = known.f1_difference
    elif point.kind != "control":
        difference = scorer.difference(best, point)
    union = held | inside
    overlap = len(held & inside) / len(union) if union else 1.0
    return Comparison(reference, regret, overlap, difference, best.support)


def defect(point: Point, exact: Point | None) -> str | None:
    """Why a point disproves a verified bound, which would be a defect of ours; else None."""
    lower = None if exact is None or exact.solve is None else exact.solve.lower
    if lower is None or point.objective >= lower * (1.0 - ROUNDING):
        return None
    return (
        f"{point.label} reaches {point.objective:.12g} at k = {point.k}, below the verified lower "
        f"bound {lower:.12g}: the bound is false (please report this with the data and settings)"
    )
