"""The telescopic probe: fit, keep the largest coefficients, fit again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Int

from optprobe.heuristics.base import ranked
from optprobe.heuristics.coefficients import coefficient_sizes
from optprobe.problem import Problem

Array = np.ndarray

SMALL = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12)
"""Sizes that `telescoping` passes through below 16, from the k grid of Gurnee et al. 2023."""


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
        ((_, kept),) = ranked(coefficient_sizes(problem, kept, problem.loss_name), [size], kept)
        kept = np.sort(kept)
        if size in ks:
            yield size, kept
    if len(columns) in ks:
        yield len(columns), columns
