"""What the figures show, as numbers: the PNG and the HTML page draw the same panels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from optprobe.curves.records import DENSE, EXACT, RANDOM, SHUFFLED, Estimate, Point
from optprobe.curves.result import Curve, mean_over_seeds

SHOWN = {"f1": "test F1", "pr_auc": "test PR-AUC"}
"""Test metrics that have a panel: those of Gurnee et al. 2023."""

REGRET_UNIT, GAP_UNIT = 0.1, 0.001
"""Per cent at which the axes of regret and gap turn from linear to logarithmic."""


@dataclass(frozen=True)
class Line:
    """One method in one panel.

    Attributes:
        name: in the legend.
        style: number of the heuristic, or EXACT, RANDOM, SHUFFLED.
        ks, values: the points; `low` and `high` are those of the interval, None without.
        certified: whether a point is drawn filled.
        notes: per point, for the reader who asks.
    """

    name: str
    style: int | str
    ks: tuple[int, ...]
    values: tuple[float, ...]
    certified: tuple[bool, ...]
    notes: tuple[str, ...]
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Panel:
    """Lines over k.

    Attributes:
        title, unit: above the panel, and at its vertical axis.
        ks: on its horizontal axis.
        lines: in the order in which they are drawn.
        ticks: (position, label) of a stretched axis, None for a plain one.
        empty: (k, lower bound) below which no probe of that size lies.
        ceiling: of the dense probe.
    """

    title: str
    unit: str
    ks: tuple[int, ...]
    lines: tuple[Line, ...]
    ticks: tuple[tuple[float, str], ...] | None = None
    empty: tuple[tuple[int, float], ...] = ()
    ceiling: Estimate | None = None


@dataclass(frozen=True)
class Overlap:
    """Jaccard overlap with the best support per method and k, None where there is no point."""

    methods: tuple[str, ...]
    ks: tuple[int, ...]
    certified: tuple[bool, ...]
    values: tuple[tuple[float | None, ...], ...]


def heading(curve: Curve) -> str:
    """What the curve is about, in one line."""
    facts = curve.facts
    return (
        f"{facts.name}: {facts.loss}, ridge {facts.lam:g}, {facts.rows} training rows, "
        f"{facts.usable} columns"
    )


def panels(curve: Curve) -> list[Panel]:
    """Objective, regret, gap and the test metrics."""
    found = [_objective(curve), _regret(curve), _gap(curve)]
    if curve.no_test is None:
        found += [_metric(curve, metric, unit) for metric, unit in SHOWN.items()]
    return found


def overlap(curve: Curve) -> Overlap:
    """The heat map."""
    ks = curve.settings.ks
    rows = {name: {point.k: point for point in curve.of(name)} for name in curve.methods}
    return Overlap(
        tuple(_label(curve, name) for name in rows),
        ks,
        tuple(_certified(curve, k) for k in ks),
        tuple(tuple(_jaccard(points.get(k)) for k in ks) for points in rows.values()),
    )


def _jaccard(point: Point | None) -> float | None:
    return None if point is None or point.against is None else point.against.overlap


def _label(curve: Curve, method: str) -> str:
    return curve.of(method)[0].label


def _certified(curve: Curve, k: int) -> bool:
    """Whether the optimum of a k is known."""
    exact = curve.exact(k)
    return exact is not None and exact.solve is not None and exact.solve.certified


def stretch(value: float, unit: float) -> float:
    """asinh(value / unit): linear near 0, logarithmic beyond the unit."""
    return math.asinh(value / unit)


def _ticks(unit: float, most: float) -> tuple[tuple[float, str], ...]:
    """0 and the powers of ten from the unit to the largest value, in per cent."""
    top = max(math.ceil(math.log10(max(most, unit) / unit)), 1)
    marks = [0.0, *(unit * 10.0**power for power in range(top + 1))]
    return tuple((stretch(mark, unit), f"{mark:g} %") for mark in marks)


def _objective(curve: Curve) -> Panel:
    lines = [
        _line(curve.of(name), style, [point.objective for point in curve.of(name)])
        for style, name in enumerate(curve.methods)
    ]
    exact = curve.of(EXACT, "exact")
    lines.append(_line(exact, EXACT, [point.objective for point in exact]))
    bounds = [(p.k, p.solve.lower) for p in exact if p.solve is not None]
    empty = tuple((k, lower) for k, lower in bounds if lower is not None)
    return Panel("training objective", "objective", curve.settings.ks, tuple(lines), empty=empty)


def _regret(curve: Curve) -> Panel:
    lines: list[Line] = []
    most = REGRET_UNIT
    for style, name in [*enumerate(curve.methods), (EXACT, EXACT)]:
        points = curve.of(name, "exact" if name == EXACT else "heuristic")
        held = [(point, point.against.regret) for point in points if point.against is not None]
        known = [(point, 100.0 * regret) for point, regret in held if regret is not None]
        most = max([most, *(regret for _, regret in known)])
        values = [stretch(regret, REGRET_UNIT) for _, regret in known]
        lines.append(_line([point for point, _ in known], style, values, certain=True))
    return Panel(
        "regret against the optimum (hollow: the proven bound)",
        "regret",
        curve.settings.exact or curve.settings.ks,
        tuple(lines),
        _ticks(REGRET_UNIT, most),
    )


def _gap(curve: Curve) -> Panel:
    points = curve.of(EXACT, "exact")
    known = [(p, curve.gap(p.k)) for p in points]
    gaps = [(p, 100.0 * gap) for p, gap in known if gap is not None]
    values = [stretch(gap, GAP_UNIT) for _, gap in gaps]
    most = max([GAP_UNIT, *(gap for _, gap in gaps)])
    line = _line([p for p, _ in gaps], EXACT, values)
    ks = curve.settings.exact or curve.settings.ks
    return Panel("verified gap", "gap", ks, (line,), _ticks(GAP_UNIT, most))


def _metric(curve: Curve, metric: str, unit: str) -> Panel:
    lines = [_tested(curve.of(name), style, metric) for style, name in enumerate(curve.methods)]
    random = curve.of(RANDOM, "control")
    means = mean_over_seeds(random, metric)
    shuffled = _tested(curve.of(SHUFFLED, "control"), SHUFFLED, metric)
    if means:
        ks, seeds = tuple(k for k, _ in means), len({point.seed for point in random})
        lines.append(
            Line(
                f"random coordinates (mean of {seeds})",
                RANDOM,
                ks,
                tuple(mean.value for _, mean in means),
                tuple(False for _ in ks),
                tuple(f"from {mean.low:.3f} to {mean.high:.3f}" for _, mean in means),
            )
        )
    lines += [shuffled, _tested(curve.of(EXACT, "exact"), EXACT, metric)]
    dense = curve.of(DENSE, "control")
    ceiling = dense[0].test[metric] if dense and dense[0].test is not None else None
    level = 100.0 * curve.settings.level
    title = f"{unit}, {level:g} % intervals"
    return Panel(title, unit, curve.settings.ks, tuple(lines), ceiling=ceiling)


def _tested(points: Sequence[Point], style: int | str, metric: str) -> Line:
    """A line with its interval."""
    held = [(point, point.test[metric]) for point in points if point.test is not None]
    ends = [(e.value if e.low is None else e.low, e.value if e.high is None else e.high)
            for _, e in held]  # fmt: skip
    line = _line([point for point, _ in held], style, [e.value for _, e in held])
    return Line(
        line.name, style, line.ks, line.values, line.certified, line.notes,
        tuple(low for low, _ in ends), tuple(high for _, high in ends),
    )  # fmt: skip


def _line(
    points: Sequence[Point], style: int | str, values: Sequence[float], *, certain: bool = False
) -> Line:
    """Points of one method; heuristics are filled only where their number itself is certified."""
    return Line(
        points[0].label if points else str(style),
        style,
        tuple(point.k for point in points),
        tuple(values),
        tuple(
            (point.solve is not None and point.solve.certified)
            or (certain and point.against is not None and point.against.reference == "optimum")
            for point in points
        ),
        tuple(_note(point) for point in points),
    )


def _note(point: Point) -> str:
    """A point in words: objective, regret, test scores, support."""
    parts = [f"objective {point.objective:.6f}"]
    against = point.against
    if against is not None and against.regret is not None:
        parts.append(f"regret {100.0 * against.regret:.3f} % against the {against.reference}")
    if against is not None:
        parts.append(f"overlap {against.overlap:.2f} with the best support known")
    for metric, unit in SHOWN.items():
        estimate = None if point.test is None else point.test[metric]
        if estimate is not None:
            ends = "" if estimate.low is None else f" [{estimate.low:.3f}, {estimate.high:.3f}]"
            parts.append(f"{unit} {estimate.value:.3f}{ends}")
    parts.append(f"{point.seconds:.2f} s")
    parts.append(shown_names(point, 12))
    return "\n".join(parts)


def shown_names(point: Point, most: int) -> str:
    """The support by name, cut short."""
    names = " ".join(point.names[:most])
    return names if len(point.names) <= most else f"{names} +{len(point.names) - most}"
