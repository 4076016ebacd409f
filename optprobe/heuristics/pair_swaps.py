"""Pair swaps: exchange two columns at once, where no single exchange helps.

Every two columns of the support leave in turn. The pairs that enter are ranked by the two-column
model (`model.py`) over the most promising single columns, and the best of all are fitted.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from jaxtyping import Int

from optprobe.heuristics.fits import Incumbent, best_of, fit_many, shortlist
from optprobe.heuristics.model import additions, pair_gains
from optprobe.heuristics.swaps import HOPE, TRIES
from optprobe.matrix import DesignMatrix
from optprobe.support import Rows

Array = np.ndarray

SINGLES = 24
"""Most promising columns whose pairs are ranked, for every pair that leaves."""

PAIRS = 8
"""Most promising pairs considered, for every pair that leaves."""


def pair_swap(
    matrix: DesignMatrix, rows: Rows, incumbent: Incumbent, usable: Int[Array, "p"]
) -> Incumbent:
    """The best exchange of two columns among those fitted; the incumbent itself if none helps."""
    support = incumbent.support
    size = len(support)
    outside = np.setdiff1d(usable, support)
    if size < 2 or len(outside) < 2:
        return incumbent
    leaving = list(combinations(range(size), 2))
    kept = np.array([np.delete(support, pair) for pair in leaving]).reshape(len(leaving), size - 2)
    fits = fit_many(matrix.columns, rows, kept)
    model = additions(matrix, rows, kept, fits)
    batch: list[Array] = []
    start: list[Array] = []
    hope: list[float] = []
    for i in range(len(leaving)):
        ranked = np.argsort(-model.gain[i, outside], kind="stable")[:SINGLES]
        singles = outside[ranked]
        gain = np.triu(pair_gains(matrix, rows, model, i, singles), 1)
        for at in np.argsort(-gain, axis=None, kind="stable")[:PAIRS]:
            first, second = np.unravel_index(at, gain.shape)
            batch.append(np.append(kept[i], singles[[first, second]]))
            start.append(np.concatenate([fits.beta[i], [0.0, 0.0, fits.intercept[i]]]))
            hope.append(float(fits.primal[i] - HOPE * gain.flat[at]))
    best = np.argsort(hope, kind="stable")[: TRIES * shortlist(rows)]
    best = best[np.array(hope)[best] < incumbent.objective]
    if not len(best):
        return incumbent
    supports = np.array(batch)[best]
    cutoff = incumbent.objective * (1.0 - 1e-12)
    tried = fit_many(matrix.columns, rows, supports, start=np.array(start)[best], cutoff=cutoff)
    found = best_of(supports, tried)
    return found if found.objective < cutoff else incumbent
