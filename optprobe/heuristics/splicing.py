"""Splicing: exchange the least useful columns of a support for the most promising outside it.

    what leaving costs    (H_jj + lam) beta_j^2 / 2          H = Z' diag(w l'') Z, at the fit of S
    what entering brings  v_j^2 / (2 (A_jj + lam))           `model.py`

The m columns of least cost leave for the m of largest gain, m = k, k - 1, ..., 1; the first
exchange that lowers the refitted objective is kept, until none does.

Source: Zhu, Wen, Zhu, Zhang and Wang 2020, "A polynomial algorithm for best-subset selection
problem" (abess). It starts, as there, from the columns of largest gain at the empty support.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Int

from optprobe.heuristics.fits import Incumbent, best_of, fit_many
from optprobe.heuristics.model import additions
from optprobe.matrix import DesignMatrix
from optprobe.problem import Problem
from optprobe.support import Rows

Array = np.ndarray

ROUNDS = 50
"""Exchanges kept, at most."""


def splicing_path(
    problem: Problem, ks: Sequence[int], columns: Int[Array, "p"], rng: np.random.Generator
) -> Iterator[tuple[int, Int[Array, "k"]]]:
    """Splicing for every k, each from the support before it and the most promising columns."""
    matrix, rows = problem.matrix, problem.rows
    support = np.empty(0, int)
    for k in ks:
        fits = fit_many(matrix.columns, rows, support[None])
        gain = additions(matrix, rows, support[None], fits).gain[0]
        others = np.setdiff1d(columns, support)
        ranked = others[np.argsort(-gain[others], kind="stable")]
        start = np.sort(np.append(support, ranked[: k - len(support)]))[None]
        first = best_of(start, fit_many(matrix.columns, rows, start))
        support = splice(matrix, rows, first, columns).support
        yield k, support


def splice(
    matrix: DesignMatrix, rows: Rows, found: Incumbent, usable: Int[Array, "p"]
) -> Incumbent:
    """Exchanges from a fitted support until none of them helps."""
    for _ in range(ROUNDS):
        support = found.support
        outside = np.setdiff1d(usable, support)
        most = min(len(support), len(outside))
        if not most:
            return found
        fits = fit_many(matrix.columns, rows, support[None])
        model = additions(matrix, rows, support[None], fits)
        curvature = matrix.squares(model.weights)[0, support]
        cost = (curvature + rows.lam) * fits.beta[0] ** 2
        leaving = support[np.argsort(cost, kind="stable")]
        entering = outside[np.argsort(-model.gain[0, outside], kind="stable")]
        spliced = np.array(
            [np.sort(np.append(leaving[m:], entering[:m])) for m in range(most, 0, -1)]
        )
        tried = fit_many(matrix.columns, rows, spliced, cutoff=found.objective * (1.0 - 1e-12))
        better = np.flatnonzero(tried.primal < found.objective * (1.0 - 1e-9))
        if not len(better):
            return found
        at = int(better[0])
        found = best_of(spliced[at : at + 1], tried.row(at))
    return found
