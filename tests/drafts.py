"""Problems small enough for brute force, and certificates for them drawn up by hand."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from optprobe.certificate import FORMAT, VERSION, Certificate, Kind
from optprobe.checker import Verdict, verify
from optprobe.engine.damping import limits
from optprobe.engine.filter import quadratic
from optprobe.engine.support_costs import costs
from optprobe.problem import Problem
from optprobe.relaxation import Nodes, relax
from optprobe.support import Fits, Rows, fit_supports, signed

LOSSES = ("logistic", "squared_hinge", "hinge", "squared_error")
WEIGHTS = ("balanced", "uniform", "given")


def make(
    loss: str = "logistic",
    weighting: str = "balanced",
    seed: int = 0,
    k: int = 3,
    lam: float = 0.05,
    d: int = 7,
    n: int = 60,
    constant: bool = False,
) -> Case:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)).astype(np.float32)
    signal = X[:, :4] @ np.array([1.0, -0.8, 0.6, 0.4]) + 0.8 * rng.standard_normal(n)
    y = signal if loss == "squared_error" else np.where(signal > 0.3, "yes", "no")
    if constant:
        X[:, 2] = 1.5
    test = np.zeros(n, bool)
    test[::7] = True
    if loss == "squared_error" and weighting == "balanced":
        weighting = "uniform"  # there are no classes to balance
    weights: Any = rng.uniform(0.2, 2.0, n) if weighting == "given" else weighting
    problem = Problem.of(X, y, k=k, lam=lam, loss=loss, weights=weights, test=test)
    given = weights if weighting == "given" else None
    return Case(problem, X, y, {"test": test, "weights": given})


@dataclass(frozen=True)
class Case:
    """A problem with what `verify` is called with, and its brute-force optimum."""

    problem: Problem
    X: np.ndarray
    y: np.ndarray
    options: dict[str, Any]

    def check(self, certificate: Certificate | Path | str) -> Verdict:
        return verify(certificate, self.X, self.y, **self.options)

    @functools.cached_property
    def rows(self) -> Rows:
        return self.problem.rows

    def fits(self, supports: np.ndarray) -> Fits:
        every = np.arange(self.problem.d)
        return fit_supports(
            signed(self.problem.matrix.columns(every), self.rows), supports, self.rows
        )

    def supports(self, columns: Any = None) -> np.ndarray:
        columns = self.problem.usable if columns is None else columns
        return np.array(list(itertools.combinations(columns, self.problem.k)), np.int64)

    @functools.cached_property
    def brute(self) -> tuple[np.ndarray, Fits]:
        return self.supports(), self.fits(self.supports())

    @property
    def optimum(self) -> float:
        return float(self.brute[1].primal.min())

    @property
    def provable(self) -> float:
        """Just below what the fits of all supports prove.

        The hinge's a(m) magnifies the rounding of a margin by 1 / (8 mu), mu about 1e-9.
        """
        slack = 1e-7 if self.problem.loss_name == "hinge" else 1e-9
        return float(self.brute[1].dual.min()) * (1 - slack)


@dataclass
class Draft:
    """Parts of a certificate, appended one by one."""

    case: Case
    lower: float
    points: list[tuple[np.ndarray, float, float]] = field(default_factory=list)
    nodes: list[dict[str, Any]] = field(default_factory=list)
    supports: list[np.ndarray] = field(default_factory=list)
    centres: list[tuple[int, list[int]]] = field(default_factory=list)
    scope: np.ndarray | None = None

    def node(self, kind: Kind, **parts: Any) -> int:
        self.nodes.append({"kind": kind, "point": -1, "column": -1, "child": [-1, -1]} | parts)
        return len(self.nodes) - 1

    def list_fits(self, supports: Any) -> tuple[int, int]:
        first = sum(len(block) for block in self.supports)
        self.supports.append(np.array(supports, np.int64).reshape(-1, self.case.problem.k))
        return first, first + len(self.supports[-1])

    def relaxed(self, forced: list[int], out: list[int]) -> tuple[int, float, np.ndarray]:
        """A dual point for the node: its number, bound and gains."""
        problem = self.case.problem
        inside, free = np.zeros((2, 1, problem.d), bool)
        inside[0, forced] = True
        free[0, problem.usable] = True
        free[0, [*forced, *out]] = False
        nodes = Nodes(inside, free, np.array([problem.k - len(forced)]))
        start = np.zeros((1, problem.d))
        best = relax(problem.matrix, self.case.rows, nodes, start, np.zeros(1), self.case.optimum)
        self.points.append((best.beta[0], best.intercept[0], best.mu[0]))
        return len(self.points) - 1, float(best.bound[0]), best.gain[0]

    def certificate(self, dtype: Any = np.float64, **header: Any) -> Certificate:
        case, problem = self.case, self.case.problem
        supports, brute = case.brute
        best = int(np.argmin(brute.primal))
        scope = problem.usable if self.scope is None else self.scope
        whole = np.concatenate([np.empty((0, problem.k), np.int64), *self.supports])
        fits = case.fits(whole)
        columns = [np.flatnonzero(point[0]) for point in self.points]
        upper = problem.objective(supports[best], brute.beta[best], float(brute.intercept[best]))
        start = np.cumsum([0, *map(len, columns)])
        clip, reach = limits(case.rows)
        flat = [point[0][used] for point, used in zip(self.points, columns, strict=True)]
        arrays = {
            "mean": problem.data.by.mean,
            "scale": problem.data.by.scale,
            "scope": np.array(scope, "<i4"),
            "support": supports[best].astype("<i4"),
            "beta": brute.beta[best],
            "intercept": brute.intercept[best : best + 1],
            "point_start": start.astype("<i8"),
            "point_column": np.concatenate([np.empty(0), *columns]).astype("<i4"),
            "point_beta": np.concatenate([np.empty(0), *flat]).astype("<f4"),
            "point_intercept": np.array([point[1] for point in self.points], "<f8"),
            "point_mu": np.array([point[2] for point in self.points], "<f8"),
            "node_kind": np.array([node["kind"] for node in self.nodes], "u1"),
            "node_point": np.array([node["point"] for node in self.nodes], "<i4"),
            "node_column": np.array([node["column"] for node in self.nodes], "<i4"),
            "node_child": np.array([node["child"] for node in self.nodes], "<i4"),
            "node_fits": np.array([node.get("fits", (-1, -1)) for node in self.nodes], "<i4"),
            "fit_support": whole.astype("<i4"),
            "fit_beta": fits.beta.astype(dtype),
            "fit_intercept": fits.intercept.astype(dtype),
            "fit_mu": fits.mu,
            "node_centre": np.array([node.get("centre", (-1, -1)) for node in self.nodes], "<i4"),
            "centre_point": np.array([point for point, _ in self.centres], "<i4"),
            "centre_start": np.cumsum([0, *(len(forced) for _, forced in self.centres)]),
            "centre_forced": np.array([j for _, forced in self.centres for j in forced], "<i4"),
            "centre_clip": np.full(len(self.centres), clip),
            "centre_reach": np.full(len(self.centres), reach),
        }
        base = {
            "format": FORMAT,
            "version": VERSION,
            "loss": problem.loss_name,
            "lam": problem.lam,
            "k": problem.k,
            "weighting": problem.data.weighting,
            "scale_floor": problem.data.floor,
            "columns": problem.d,
            "rows": len(problem.data.train),
            "data_sha256": problem.data.digest,
            "scope": "all columns" if self.scope is None else "these candidates",
            "lower": self.lower,
            "upper": upper,
            "method": "by hand",
            "software": "test",
        }
        return Certificate(base | header, arrays)


def enumerated(case: Case, lower: float) -> Draft:
    """One node that lists every support."""
    draft = Draft(case, lower)
    draft.node(Kind.ENUMERATED, fits=draft.list_fits(case.supports()))
    return draft


def branched(case: Case, lower: float, depth: int = 2) -> Draft:
    """Branch on the largest gain while a node is not bounded, then list what is left."""
    draft = Draft(case, lower)

    def grow(forced: list[int], out: list[int], left: int) -> int:
        point, bound, gain = draft.relaxed(forced, out)
        if bound > lower + 1e-9:
            return draft.node(Kind.BOUNDED, point=point)
        free = [j for j in case.problem.usable if j not in forced and j not in out]
        room = case.problem.k - len(forced)
        if left == 0 or room < 2 or len(free) <= room:
            size = min(room, len(free))
            tails = itertools.combinations(free, size)
            pad = [-1] * (room - size)
            whole = [sorted([*forced, *tail]) + pad for tail in tails]
            return draft.node(Kind.ENUMERATED, point=point, fits=draft.list_fits(whole))
        column = int(free[np.argmax(gain[free])])
        node = draft.node(Kind.BRANCH, point=point, column=column)
        inside = grow([*forced, column], out, left - 1)
        outside = grow(forced, [*out, column], left - 1)
        draft.nodes[node]["child"] = [inside, outside]
        return node

    grow([], [], depth)
    return draft


def fixed(case: Case, lower: float) -> Draft:
    """FIX at the root, then an enumerated node that lists what its dual point leaves over."""
    draft = Draft(case, lower)
    point, bound, gain = draft.relaxed([], [])
    value = bound + np.sort(gain)[-case.problem.k :].sum()
    supports = case.supports()
    left = supports[value - gain[supports].sum(axis=1) < lower + 1e-9]
    draft.node(Kind.FIX, point=point, child=[1, -1])
    draft.node(Kind.ENUMERATED, point=point, fits=draft.list_fits(left))
    return draft


def filtered(case: Case, lower: float) -> Draft:
    """Branch on one column; either side is filtered at the centre of its relaxation.

    Where the loss has no such bound, or k = 1, list every support instead.
    """
    if case.problem.loss_name == "hinge" or case.problem.k < 2:
        return enumerated(case, lower)
    draft = Draft(case, lower)
    usable = [int(j) for j in case.problem.usable]
    draft.node(Kind.BRANCH, column=usable[0], child=[1, 2])
    every = case.supports()
    for forced, within in (([usable[0]], (every == usable[0]).any(axis=1)), ([], None)):
        within = (every != usable[0]).all(axis=1) if within is None else within
        free = usable[1:]
        point, _, _ = draft.relaxed(forced, [] if forced else usable[:1])
        beta, intercept, mu = draft.points[point]
        beta[free] *= 0.3
        beta = beta.astype(np.float32).astype(float)
        draft.points[point] = (beta, intercept, mu)
        Z = case.problem.matrix.columns(np.arange(case.problem.d))
        at = quadratic(Z[forced], Z[free], case.rows.y * (beta @ Z + intercept), case.rows)
        tails = np.array([[free.index(j) for j in T if j not in forced] for T in every[within]])
        left = at.value - costs(at, tails.T, case.rows.lam) < lower + 1e-9
        draft.centres.append((point, forced))
        centre = len(draft.centres)
        draft.node(
            Kind.FILTERED, centre=(centre - 1, centre), fits=draft.list_fits(every[within][left])
        )
    return draft


BUILDERS = {
    "enumerated": enumerated,
    "branched": branched,
    "fixed": fixed,
    "filtered": filtered,
}


def changed(
    certificate: Certificate, header: dict[str, Any] | None = None, **arrays: Any
) -> Certificate:
    return replace(
        certificate,
        header=certificate.header | (header or {}),
        arrays=certificate.arrays | arrays,
    )


def with_entry(array: np.ndarray, index: Any, value: Any) -> np.ndarray:
    copy = array.copy()
    copy[index] = value
    return copy


@functools.cache
def small(loss: str = "logistic", weighting: str = "balanced") -> Case:
    return make(loss, weighting)
