"""Heuristics that choose supports: what everybody uses, and our own searches, by name.

A new one is one file with a `Method` (`base.py`) and one line in `HEURISTICS`. The name
"NAME@512" is NAME inside the 512 best columns by mean difference, the two stages of Gurnee et
al. 2023.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Int

from optprobe.heuristics.base import Choice, Heuristic, Method, ranked
from optprobe.heuristics.beam import beam_path
from optprobe.heuristics.greedy import greedy_path
from optprobe.heuristics.hard_thresholding import hard_thresholding_path
from optprobe.heuristics.l1 import l1_path
from optprobe.heuristics.local_search import local_search
from optprobe.heuristics.pruning import pruning_path
from optprobe.heuristics.rankings import f_statistic, mean_difference, ranking
from optprobe.heuristics.splicing import splicing_path
from optprobe.heuristics.swaps import greedy_swaps
from optprobe.problem import Problem

__all__ = ["HEURISTICS", "Choice", "Heuristic", "get_heuristic"]

Array = np.ndarray

HEURISTICS: dict[str, Heuristic] = {
    heuristic.name: heuristic
    for heuristic in (
        Heuristic("mean_difference", "mean difference", ranking(mean_difference)),
        Heuristic("f_statistic", "F statistic", ranking(f_statistic)),
        Heuristic("l1_logistic", "L1 logistic", l1_path),
        Heuristic("pruning", "iterative pruning", pruning_path),
        Heuristic("hard_thresholding", "hard thresholding", hard_thresholding_path),
        Heuristic("greedy", "greedy", greedy_path),
        Heuristic("splicing", "splicing", splicing_path),
        Heuristic("greedy_swaps", "greedy + swaps", greedy_swaps),
        Heuristic("beam", "beam search", beam_path),
        Heuristic("local_search", "local search", local_search),
    )
}
"""Every heuristic by name; a new one is one line here."""


def get_heuristic(name: str) -> Heuristic:
    """The heuristic of that name, or of "NAME@P": NAME inside the P best by mean difference.

    Raises:
        ValueError: unknown name (the choices are listed), or P is no number >= 1.
    """
    base, at, size = name.partition("@")
    if base not in HEURISTICS:
        raise ValueError(f"unknown heuristic {base!r}; choose one of {', '.join(HEURISTICS)}")
    found = HEURISTICS[base]
    if not at:
        return found
    if not size.isdecimal() or int(size) < 1:
        raise ValueError(f"{name!r}: after @ comes a number of columns, such as {base}@512")
    choose = _inside_best(found.choose, int(size))
    return replace(found, name=name, label=f"{found.label} @{size}", choose=choose)


def _inside_best(choose: Method, size: int) -> Method:
    """A method inside the best columns by mean difference (at least as many as the largest k)."""

    def two_stage(
        problem: Problem, ks: Sequence[int], columns: Int[Array, "p"], rng: np.random.Generator
    ) -> Iterator[tuple[int, Int[Array, "k"]]]:
        ((_, best),) = ranked(mean_difference(problem), [max(size, ks[-1])], columns)
        return choose(problem, ks, np.sort(best), rng)

    return two_stage
