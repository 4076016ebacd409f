"""What a curve shows, in sentences: what was proven, who found it, what is missing."""

from __future__ import annotations

from optprobe.curves.records import EXACT
from optprobe.curves.result import Curve


def notes(curve: Curve) -> list[str]:
    """What was proven, every heuristic against it, and what could not be compared."""
    said = [*curve.defects, *_proven(curve)]
    said += [_judge(curve, name) for name in curve.methods]
    if curve.no_test is not None:
        said.append(f"No test metrics: {curve.no_test}.")
    elif curve.settings.refit_lam is not None:
        said.append(f"Test metrics are those of refits at ridge {curve.settings.refit_lam:g}.")
    said += [f"{why}." for why in curve.stopped.values()]
    said += [f"{name} was left out: {why}." for name, why in curve.missing.items()]
    if not curve.complete:
        said.append("Interrupted: the same command goes on from here.")
    said.append(
        "The proofs are about the training objective; scores on the test rows are measured, and a "
        "probe that is optimal on one set of rows need not be the best on another."
    )
    return said


def _proven(curve: Curve) -> list[str]:
    """Which k are certified, and how far the others are."""
    points = curve.of(EXACT, "exact")
    solves = [(point.k, point.solve) for point in points if point.solve is not None]
    sure = [k for k, solve in solves if solve.certified]
    which, gap = ", ".join(map(str, sure)), percent(curve.settings.gap)
    said = [f"Certified for k = {which}, within {gap} of the optimum."] if sure else []
    for point in points:
        if point.solve is None or point.solve.certified:
            continue
        gap = curve.gap(point.k)
        held = "no bound was verified" if gap is None else f"the verified gap is {percent(gap)}"
        said.append(
            f"k = {point.k} is open (stopped by {point.solve.limit}): {held}; regrets there are "
            "against the proven lower bound, so they are too large rather than too small."
        )
    by = [(k, solve.found_by) for k, solve in solves if solve.found_by != EXACT]
    said += [f"k = {k}: the best support known is that of {name}." for k, name in by]
    return said


def _judge(curve: Curve, method: str) -> str:
    """One heuristic against the best supports known."""
    points = [point for point in curve.of(method) if point.against is not None]
    label = curve.of(method)[0].label
    found = [str(p.k) for p in points if p.against is not None and p.support == p.against.best]
    regrets = [
        (p.against.regret, p)
        for p in points
        if p.against is not None and p.against.regret is not None
    ]
    where = f"the best support known at k = {', '.join(found)}" if found else "never the best"
    if found and len(found) == len(points):
        return f"{label}: the best support known at every k."
    if not regrets:
        return f"{label}: {where}."
    regret, worst = max(regrets, key=lambda pair: pair[0])
    against = "" if worst.against is None else f" against the {worst.against.reference}"
    return f"{label}: {where}; largest regret {percent(regret)} (k = {worst.k},{against})."


def percent(share: float) -> str:
    """A share as a percentage of three figures."""
    return f"{100.0 * share:.3g} %"
