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

from optprobe.heuristics.adapters.abess import abess
from optprobe.heuristics.adapters.fasterrisk import fasterrisk
from optprobe.heuristics.adapters.skglm import skglm
from optprobe.heuristics.adapters.transformer_lens import transformer_lens
from optprobe.heuristics.base import Choice, Heuristic, Method, ranked
from optprobe.heuristics.beam import beam_path
from optprobe.heuristics.coefficients import by_coefficient
from optprobe.heuristics.greedy import greedy_path
from optprobe.heuristics.hard_thresholding import hard_thresholding_path
from optprobe.heuristics.l1 import l1_path
from optprobe.heuristics.local_search import local_search
from optprobe.heuristics.mutual_information import mutual_information
from optprobe.heuristics.pruning import pruning_path
from optprobe.heuristics.rankings import (
    correlation,
    f_statistic,
    mean_difference,
    random_order,
    ranking,
)
from optprobe.heuristics.splicing import splicing_path
from optprobe.heuristics.swaps import greedy_swaps
from optprobe.heuristics.telescoping import telescoping
from optprobe.losses import LOSSES
from optprobe.problem import Problem

__all__ = ["HEURISTICS", "Choice", "Heuristic", "get_heuristic"]

Array = np.ndarray

CLASSES = tuple(LOSSES)
"""The losses of two classes, for heuristics that need them."""

HEURISTICS: dict[str, Heuristic] = {
    heuristic.name: heuristic
    for heuristic in (
        Heuristic("mean_difference", "mean difference", ranking(mean_difference), CLASSES),
        Heuristic("f_statistic", "F statistic", ranking(f_statistic), CLASSES),
        Heuristic("correlation", "correlation", ranking(correlation)),
        Heuristic(
            "mutual_information",
            "mutual information",
            mutual_information,
            CLASSES,
            imports=("sklearn.feature_selection",),
        ),
        Heuristic(
            "l1_logistic", "L1 logistic", l1_path, CLASSES, imports=("sklearn.linear_model",)
        ),
        Heuristic("l2_logistic", "L2 logistic", by_coefficient("logistic"), CLASSES),
        Heuristic("svm", "linear SVM", by_coefficient("squared_hinge"), CLASSES),
        Heuristic("random", "random", random_order),
        Heuristic("telescoping", "telescoping", telescoping, CLASSES),
        Heuristic(
            "transformer_lens",
            "TransformerLens",
            transformer_lens,
            CLASSES,
            package="lens",
            imports=("transformer_lens.tools.analysis.sparse_probing",),
        ),
        Heuristic("abess", "abess", abess, CLASSES, package="abess", imports=("abess.linear",)),
        Heuristic("skglm", "skglm log-sum", skglm, CLASSES, package="skglm", imports=("skglm",)),
        Heuristic(
            "fasterrisk",
            "FasterRisk",
            fasterrisk,
            CLASSES,
            package="fasterrisk",
            imports=("fasterrisk.sparseBeamSearch",),
        ),
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
