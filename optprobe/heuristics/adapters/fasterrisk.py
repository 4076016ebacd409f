"""The beam search of FasterRisk (Liu et al. 2022), before it rounds to integer scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Int

from optprobe.heuristics.adapters.columns import largest
from optprobe.problem import Problem

Array = np.ndarray

UNBOUNDED = 10**6
"""Its box for the coefficients, wide enough never to matter."""


def fasterrisk(
    problem: Problem, ks: Sequence[int], columns: Int[Array, "p"], rng: np.random.Generator
) -> Iterator[tuple[int, Int[Array, "k"]]]:
    """Its search for every k, on the unweighted logistic loss: it takes no sample weights.

    It scales columns to unit norm and sums over the rows, so that its ridge lam / 2 is ours for
    uniform weights. With balanced weights it optimises another objective than the problem's.
    """
    from fasterrisk.sparseBeamSearch import sparseLogRegModel

    Z = problem.matrix.columns(columns).T
    model = sparseLogRegModel(
        Z, problem.y, 0.5 * problem.lam, original_lb=-UNBOUNDED, original_ub=UNBOUNDED
    )
    for k in ks:
        model.warm_start_from_beta0_betas_ExpyXB(0.0, np.zeros(len(columns)), np.ones(len(Z)))
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            model.get_sparse_sol_via_OMP(k)  # it keeps e^margin, which overflows past 709
        yield k, largest(problem, columns, model.betas, k)
