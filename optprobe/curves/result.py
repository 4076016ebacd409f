"""A finished (or interrupted) curve: its records, and the same as flat rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from optprobe.curves.compare import defect, relative_gap
from optprobe.curves.records import EXACT, Estimate, Point, Settings
from optprobe.curves.scoring import METRICS
from optprobe.problem import Problem

Row = dict[str, Any]

COLUMNS: dict[str, str] = {
    "instance": "string", "data": "string", "rows": "int64", "test_rows": "int64",
    "columns": "int64", "usable": "int64", "loss": "string", "lam": "float64",
    "refit_lam": "float64", "weights": "string",
    "kind": "string", "method": "string", "label": "string", "seed": "int64", "k": "int64",
    "objective": "float64", "reference": "string", "regret": "float64", "overlap": "float64",
    "lower": "float64", "gap": "float64", "certified": "bool", "found_by": "string",
    "status": "string", "limit": "string", "nodes": "int64", "certificate": "string",
    "seconds": "float64", "refit_seconds": "float64", "support": "list", "names": "string",
    **{
        f"{name}{end}": "float64"
        for name in (*(f"test_{metric}" for metric in METRICS), "f1_difference")
        for end in ("", "_low", "_high")
    },
}  # fmt: skip
"""Columns of curve.parquet and their types. `lower`, `gap` and `certified` are those of the k,
`gap` is of the best support known, `names` are those of the support with spaces between."""


@dataclass(frozen=True)
class Facts:
    """What a curve is about.

    Attributes:
        name: of the data, a file's stem, say.
        data: SHA-256 of activations, labels, training rows and weights.
        rows, test_rows: of the training and the test side.
        columns, usable: of X, and how many of them vary on the training rows.
        loss, lam, weights: of the problem.
    """

    name: str
    data: str
    rows: int
    test_rows: int
    columns: int
    usable: int
    loss: str
    lam: float
    weights: str

    @classmethod
    def of(cls, problem: Problem, name: str) -> Facts:
        """The facts of a problem."""
        data = problem.data
        return cls(
            name,
            data.digest,
            len(data.train),
            len(data.test),
            problem.d,
            len(problem.usable),
            problem.loss_name,
            problem.lam,
            data.weighting,
        )


@dataclass(frozen=True)
class Curve:
    """Heuristics, the certified optimum and the controls over k, on one split.

    Attributes:
        facts, settings: what was compared, and how.
        points: one per method and k (per seed for random coordinates).
        stopped: paths that were ended early, and why.
        missing: heuristics that did not run, and why.
        no_test: why there are no test metrics, or None.
        complete: False if Ctrl-C ended it.
    """

    facts: Facts
    settings: Settings
    points: tuple[Point, ...]
    stopped: dict[str, str]
    missing: dict[str, str]
    no_test: str | None
    complete: bool

    def exact(self, k: int) -> Point | None:
        """The exact point of a k: the best support known beside the verified lower bound."""
        return next((p for p in self.points if p.k == k and p.method == EXACT), None)

    def gap(self, k: int) -> float | None:
        """(best objective known - verified lower bound) / objective, None without a bound."""
        exact = self.exact(k)
        if exact is None or exact.solve is None or exact.solve.lower is None:
            return None
        return max(relative_gap(exact.objective, exact.solve.lower), 0.0)

    def of(self, method: str, kind: str = "heuristic") -> list[Point]:
        """One method's points in the order of k, then of seed."""
        found = (p for p in self.points if p.method == method and p.kind == kind)
        return sorted(found, key=lambda point: (point.k, point.seed))

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the heuristics that have points, as they came."""
        return tuple(dict.fromkeys(p.method for p in self.points if p.kind == "heuristic"))

    @property
    def solved(self) -> bool:
        """Whether every k that was to be solved exactly is certified."""
        solves = [self.exact(k) for k in self.settings.exact]
        return all(point and point.solve and point.solve.certified for point in solves)

    @property
    def defects(self) -> list[str]:
        """Supports below a verified lower bound: none, unless the checker is wrong."""
        found = (defect(p, self.exact(p.k)) for p in self.points if p.comparable)
        return [said for said in found if said is not None]

    def rows(self) -> list[Row]:
        """One flat row per point, with the columns `COLUMNS`."""
        return [self._row(point) for point in self.points]

    def _row(self, point: Point) -> Row:
        facts = asdict(self.facts)
        row: Row = dict.fromkeys(COLUMNS)
        row |= {"instance": facts.pop("name"), **facts, "refit_lam": self.settings.refit_lam}
        row |= {key: getattr(point, key) for key in PLAIN}
        row |= {"support": list(point.support), "names": " ".join(point.names)}
        exact = self.exact(point.k)
        if exact is not None and exact.solve is not None and point.comparable:
            row |= {"lower": exact.solve.lower, "gap": self.gap(point.k)}
            row |= {"certified": exact.solve.certified}
        if point.solve is not None:
            row |= {key: getattr(point.solve, key) for key in SOLVE}
        if point.against is not None:
            row |= {key: getattr(point.against, key) for key in ("reference", "regret", "overlap")}
            row |= _ends("f1_difference", point.against.f1_difference)
        for metric, estimate in (point.test or {}).items():
            row |= _ends(f"test_{metric}", estimate)
        return row


PLAIN = ("kind", "method", "label", "seed", "k", "objective", "seconds", "refit_seconds")
SOLVE = ("found_by", "status", "limit", "nodes", "certificate")


def _ends(name: str, estimate: Estimate | None) -> Row:
    """An estimate and its interval as three columns."""
    if estimate is None:
        return {}
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def mean_over_seeds(points: Sequence[Point], metric: str) -> list[tuple[int, Estimate]]:
    """Per k the mean of a test metric over the seeds, between the least and the largest."""
    found: dict[int, list[float]] = {}
    for point in points:
        if point.test is not None:
            found.setdefault(point.k, []).append(point.test[metric].value)
    return [
        (k, Estimate(sum(values) / len(values), min(values), max(values)))
        for k, values in sorted(found.items())
    ]
