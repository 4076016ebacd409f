"""Rankings by |beta_j| of a dense ridge probe, fitted once or again while columns are dropped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float64, Int

from optprobe.heuristics.base import Method, ranked
from optprobe.losses import get_loss
from optprobe.problem import Problem
from optprobe.support.dense import fit_dense

Array = np.ndarray

ACCURACY = 1e-6
"""Of the fits: enough for the order of the first columns, ties apart."""

SMALL = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12)
"""Sizes that `telescoping` passes through below 16, from the k grid of Gurnee et al. 2023."""


def by_coefficient(loss: str) -> Method:
    """The columns of largest |beta_j| in the dense probe of this loss, at the problem's ridge."""

    def choose(
        problem: Problem, ks: Sequence[int], columns: Int[Array, "p"], rng: np.random.Generator
    ) -> Iterator[tuple[int, Int[Array, "k"]]]:
        return ranked(_sizes(problem, columns, loss), ks, columns)

    return choose


def telescoping(
    problem: Problem, ks: Sequence[int], columns: Int[Array, "p"], rng: np.random.Generator
) -> Iterator[tuple[int, Int[Array, "k"]]]:
    """Fit on the columns left, keep those of largest |beta_j|, and fit again, down to every k.

    The sizes are 16 * 2^i below p, then 12, 10, 8, 7, ... 1, and the wanted k: the schedule of
    the telescopic probe of Gurnee et al. 2023. Here it starts from every column and each fit is
    the problem's own loss and ridge; theirs starts from a ranking and fits an elastic net.
    """
    doubling = [16 * 2**i for i in range(len(columns).bit_length())]
    stages = sorted({*SMALL, *doubling, *ks})
    kept = columns
    for size in reversed([size for size in stages if ks[0] <= size < len(columns)]):
        ((_, kept),) = ranked(_sizes(problem, kept, problem.loss_name), [size], kept)
        kept = np.sort(kept)
        if size in ks:
            yield size, kept
    if len(columns) in ks:
        yield len(columns), columns


def _sizes(problem: Problem, columns: Int[Array, "p"], loss: str) -> Float64[Array, "d"]:
    """|beta_j| of the dense probe on these columns, 0 elsewhere."""
    rows = replace(problem.rows, loss=get_loss(loss))
    # Constant columns are 0 in Z and get no coefficient: all columns need no copy.
    inside = None if len(columns) == len(problem.usable) else columns
    beta = fit_dense(problem.matrix, rows, inside, accuracy=ACCURACY).beta
    sizes = np.zeros(problem.d)
    sizes[slice(None) if inside is None else columns] = np.abs(beta)
    return sizes
