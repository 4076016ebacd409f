"""Beam search: forward selection that keeps the best few supports of every size.

Each of the W supports of size s is extended by its most promising columns (`model.py`), the most
promising extensions are fitted, and the W best go on. W = 1 is greedy selection.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int

from optprobe.heuristics.fits import best_of, fit_many
from optprobe.heuristics.model import additions
from optprobe.matrix import DesignMatrix
from optprobe.problem import Problem
from optprobe.support import Fits, Rows, fit_supports

Array = np.ndarray

WIDTH = 8
"""Supports kept at every size."""

BRANCHES = 16
"""Columns tried per support, and fits per support kept: BRANCHES * WIDTH / 2 in all."""

COARSE = 1e-4
"""Relative gap of the fits that rank supports."""


class Level(NamedTuple):
    """The beam at one size: supports with increasing columns, best first, and their fits.

    `promise` is the largest gain that the model promised for each column on the way here.
    """

    supports: Int[Array, "beam s"]
    fits: Fits
    promise: Float64[Array, "d"]


def beam(
    matrix: DesignMatrix, rows: Rows, k: int, usable: Int[Array, "p"], width: int = WIDTH
) -> Iterator[Level]:
    """The best supports found for every size 1..k.

    Args:
        matrix: standardised columns.
        rows: labels, weights, loss and ridge.
        k: the last size, at most the number of usable columns.
        usable: columns to choose from.
        width: supports kept.
    """
    supports = np.empty((1, 0), int)
    fits = fit_supports(rows.y[None], supports, rows)
    for _ in range(k):
        gain = additions(matrix, rows, supports, fits).gain
        extended, start = _extensions(gain, supports, fits, usable, width)
        tried = fit_many(matrix.columns, rows, extended, start=start, accuracy=COARSE)
        kept = np.argsort(tried.primal, kind="stable")[:width]
        order = np.argsort(extended[kept], axis=1)
        supports = np.take_along_axis(extended[kept], order, axis=1)
        fits = _chosen(tried, kept, order)
        yield Level(supports, fits, gain.max(axis=0))


def _chosen(fits: Fits, kept: Int[Array, "beam"], order: Int[Array, "beam s"]) -> Fits:
    """Some fits of a batch, their columns in another order."""
    chosen = fits.take(kept)
    solution = np.take_along_axis(chosen.solution[:, :-1], order, axis=1)
    return replace(
        chosen,
        beta=np.take_along_axis(chosen.beta, order, axis=1),
        solution=np.concatenate([solution, chosen.solution[:, -1:]], axis=1),
    )


def _extensions(
    gain: Float64[Array, "beam d"],
    supports: Int[Array, "beam s"],
    fits: Fits,
    usable: Int[Array, "p"],
    width: int,
) -> tuple[Int[Array, "m s1"], Float64[Array, "m s2"]]:
    """Distinct supports with one more column, most promising first, and where to start fits."""
    gain = gain[:, usable]
    count = min(BRANCHES, len(usable) - supports.shape[1])
    top = np.argsort(-gain, axis=1, kind="stable")[:, :count]
    parent = np.repeat(np.arange(len(supports)), count)
    added = usable[top.ravel()]
    promise = fits.primal[parent] - np.take_along_axis(gain, top, axis=1).ravel()
    extended = np.concatenate([supports[parent], added[:, None]], axis=1)
    _, first = np.unique(np.sort(extended, axis=1), axis=0, return_index=True)
    chosen = first[np.argsort(promise[first], kind="stable")][: max(1, width // 2) * BRANCHES]
    start = np.concatenate(
        [
            fits.beta[parent[chosen]],
            np.zeros((len(chosen), 1)),
            fits.intercept[parent[chosen], None],
        ],
        axis=1,
    )
    return extended[chosen], start


def beam_path(
    problem: Problem, ks: Sequence[int], columns: Int[Array, "p"], rng: np.random.Generator
) -> Iterator[tuple[int, Int[Array, "k"]]]:
    """The best support of every size in one beam search."""
    for level in beam(problem.matrix, problem.rows, ks[-1], columns):
        size = level.supports.shape[1]
        if size in ks:
            yield size, best_of(level.supports, level.fits).support
