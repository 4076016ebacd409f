"""Builds the certificate's tree while the search runs: see `certificate.py` for the format."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64, Int

from optprobe.bounds import DualPoint
from optprobe.certificate import FORMAT, VERSION, Certificate, Kind
from optprobe.engine.damping import limits
from optprobe.problem import Problem
from optprobe.result import Bounds, Scope
from optprobe.support import Fits

Array = np.ndarray


@dataclass
class Proof:
    """Dual points, tree nodes and fitted supports, in the order they arise.

    Columns are numbered as in X; `bytes` is about what it holds. A node starts BOUNDED (an open
    leaf) and may be resolved later.
    """

    stored: type[np.floating]
    points: list[tuple[Array, Array, float, float]] = field(default_factory=list)
    kind: list[int] = field(default_factory=list)
    point: list[int] = field(default_factory=list)
    column: list[int] = field(default_factory=list)
    child: list[tuple[int, int]] = field(default_factory=list)
    fits: list[tuple[int, int]] = field(default_factory=list)
    centre: list[tuple[int, int]] = field(default_factory=list)
    centres: list[tuple[int, Array, float]] = field(default_factory=list)
    fitted: list[tuple[Array, Array, Array, Array]] = field(default_factory=list)
    fitted_count: int = 0
    bytes: int = 0

    def add_point(
        self, columns: Int[Array, "p"], beta: Float64[Array, "p"], intercept: float, mu: float
    ) -> int:
        """Store a dual point (columns increasing, beta as `stored` holds it); its number."""
        self.bytes += 12 * len(columns) + 100
        self.points.append((columns.astype("<i4"), beta.astype(self.stored), intercept, mu))
        return len(self.points) - 1

    def add_leaf(self, point: int) -> int:
        """A new open leaf bounded by a dual point (-1 for none); returns its number."""
        self.kind.append(Kind.BOUNDED)
        self.point.append(point)
        self.column.append(-1)
        self.child.append((-1, -1))
        self.fits.append((0, 0))
        self.centre.append((-1, -1))
        return len(self.kind) - 1

    def fix(self, node: int, point: int) -> int:
        """Apply a dual point at an open leaf and go on below it; returns the new open leaf."""
        self.kind[node], self.point[node] = Kind.FIX, point
        below = self.add_leaf(-1)
        self.child[node] = (below, -1)
        return below

    def branch(self, node: int, column: int, point: int) -> tuple[int, int]:
        """Split an open leaf on a column; returns the two new leaves (in, out)."""
        self.kind[node], self.column[node] = Kind.BRANCH, column
        self.child[node] = (self.add_leaf(point), self.add_leaf(point))
        return self.child[node]

    def enumerate(
        self,
        node: int,
        supports: Int[Array, "m s"],
        fits: list[Fits],
    ) -> None:
        """Resolve an open leaf by listing the supports that its dual point does not cover.

        `fits` holds their fits, in the order of `supports`, batch after batch.
        """
        self.kind[node] = Kind.ENUMERATED
        self.fits[node] = (self.fitted_count, self.fitted_count + len(supports))
        first = self.fitted_count
        for fit in fits:
            size = len(fit.intercept)
            part = supports[self.fitted_count - first :][:size].astype("<i4")
            self.fitted.append((part, fit.beta, fit.intercept, fit.mu))
            self.fitted_count += size
            self.bytes += part.nbytes + fit.beta.nbytes + 16 * size

    def filter(
        self, node: int, centres: list[tuple[DualPoint, float]], forced: Int[Array, "s"]
    ) -> None:
        """Let dual points, each with its e, be the centres of an enumerated leaf: it lists what
        they all leave."""
        first = len(self.centres)
        self.kind[node], self.centre[node] = Kind.FILTERED, (first, first + len(centres))
        for at, reach in centres:
            point = self.add_point(at.columns, at.beta, at.intercept, at.mu)
            self.centres.append((point, forced.astype("<i4"), reach))
            self.bytes += 4 * len(forced) + 40

    def certificate(
        self,
        problem: Problem,
        scope: Scope,
        columns: Int[Array, "p"],
        support: Int[Array, "s"],
        beta: Float64[Array, "s"],
        intercept: float,
        bounds: Bounds,
        method: str,
    ) -> Certificate:
        """The finished certificate."""
        data = problem.data
        header = {
            "format": FORMAT,
            "version": VERSION,
            "loss": problem.loss_name,
            "lam": problem.lam,
            "k": problem.k,
            "weighting": data.weighting,
            "scale_floor": data.floor,
            "columns": problem.d,
            "rows": len(data.train),
            "data_sha256": data.digest,
            "scope": scope,
            "lower": bounds.lower,
            "upper": bounds.upper,
            "method": method,
            "software": "optprobe",
        }
        kept = self.points
        sizes = [len(point[0]) for point in kept]
        k = problem.k
        fit_support = np.full((self.fitted_count, k), -1, "<i4")
        fit_beta = np.zeros((self.fitted_count, k), "<f8")
        fit_intercept = np.zeros(self.fitted_count, "<f8")
        fit_mu = np.zeros(self.fitted_count, "<f8")
        row = 0
        for supports, beta_rows, intercepts, mus in self.fitted:
            part = slice(row, row + len(supports))
            order = np.argsort(supports, axis=1)
            width = supports.shape[1]
            fit_support[part, :width] = np.take_along_axis(supports, order, axis=1)
            fit_beta[part, :width] = np.take_along_axis(beta_rows, order, axis=1)
            fit_intercept[part], fit_mu[part] = intercepts, mus
            row += len(supports)
        arrays = {
            "mean": data.by.mean.astype("<f8"),
            "scale": data.by.scale.astype("<f8"),
            "scope": columns.astype("<i4"),
            "support": support.astype("<i4"),
            "beta": beta.astype("<f8"),
            "intercept": np.array([intercept], "<f8"),
            "point_start": np.cumsum([0, *sizes]).astype("<i8"),
            "point_column": np.concatenate([p[0] for p in kept] or [np.empty(0, "<i4")]),
            "point_beta": np.concatenate([p[1] for p in kept] or [np.empty(0, self.stored)]),
            "point_intercept": np.array([p[2] for p in kept], "<f8"),
            "point_mu": np.array([p[3] for p in kept], "<f8"),
            "node_kind": np.array(self.kind, "|u1"),
            "node_point": np.array(self.point, "<i4"),
            "node_column": np.array(self.column, "<i4"),
            "node_child": np.array(self.child, "<i4").reshape(-1, 2),
            "node_fits": np.array(self.fits, "<i4").reshape(-1, 2),
            "fit_support": fit_support,
            "fit_beta": fit_beta,
            "fit_intercept": fit_intercept,
            "fit_mu": fit_mu,
            "node_centre": np.array(self.centre, "<i4").reshape(-1, 2),
            "centre_point": np.array([c[0] for c in self.centres], "<i4"),
            "centre_start": np.cumsum([0, *(len(c[1]) for c in self.centres)]).astype("<i8"),
            "centre_forced": np.concatenate([np.empty(0), *(c[1] for c in self.centres)]).astype(
                "<i4"
            ),
            "centre_clip": np.full(len(self.centres), limits(problem.rows).clip),
            "centre_reach": np.array([c[2] for c in self.centres], "<f8"),
        }
        return Certificate(header, arrays)
