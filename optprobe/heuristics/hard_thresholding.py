"""Iterative hard thresholding: gradient steps, after each the k largest coefficients stay.

    beta <- H_k(beta - grad f(beta, b) / L),   b <- b - grad_b f / L,
    L = (largest l'') ||W^(1/2) [Z, 1]||_2^2 + lam

Source: Blumensath and Davies 2009; Bertsimas, King and Mazumder 2016 (the discrete first-order
method). The hinge takes the smoothing of `model.py`. Each k starts from the support before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float64, Int

from optprobe.heuristics.fits import fit_many
from optprobe.heuristics.model import HINGE_MU
from optprobe.matrix import DesignMatrix
from optprobe.problem import Problem
from optprobe.rows import Rows

Array = np.ndarray

STEPS = 200
"""Gradient steps, at most."""

SETTLED = 10
"""Steps without a change of the support after which it is taken."""

POWER = 20
"""Power iterations for the largest singular value, which then gets 10 % on top."""


def hard_thresholding_path(
    problem: Problem, ks: Sequence[int], columns: Int[Array, "p"], rng: np.random.Generator
) -> Iterator[tuple[int, Int[Array, "k"]]]:
    """Iterative hard thresholding for every k."""
    matrix, rows = problem.matrix, problem.rows
    steepest = _lipschitz(matrix, rows, columns, rng)
    support = np.empty(0, int)
    for k in ks:
        support = _thresholded(matrix, rows, k, columns, support, steepest)
        yield k, support


def _thresholded(
    matrix: DesignMatrix,
    rows: Rows,
    k: int,
    columns: Int[Array, "p"],
    support: Int[Array, "s"],
    steepest: float,
) -> Int[Array, "k"]:
    """The support on which the steps settle, coefficients refitted whenever it changes."""
    loss = rows.loss.smoothed(HINGE_MU)
    fits = fit_many(matrix.columns, rows, support[None], accuracy=1e-3)
    beta, intercept, unchanged = fits.beta[0], float(fits.intercept[0]), 0
    for _ in range(STEPS):
        margin = (matrix.scores(support, beta[None])[0] + intercept) * rows.y
        slope = loss.dual(margin) * rows.w * rows.y
        moved = matrix.correlations(slope[None])[0] / steepest
        moved[support] += beta * (1.0 - rows.lam / steepest)
        largest = np.argsort(-np.abs(moved[columns]), kind="stable")[:k]
        chosen = np.sort(columns[largest])
        unchanged = unchanged + 1 if np.array_equal(chosen, support) else 0
        support, beta = chosen, moved[chosen]
        intercept += float(slope.sum()) / steepest
        if unchanged >= SETTLED:
            break
        if not unchanged:
            fits = fit_many(matrix.columns, rows, support[None], accuracy=1e-3)
            beta, intercept = fits.beta[0], float(fits.intercept[0])
    return support


def _lipschitz(
    matrix: DesignMatrix, rows: Rows, columns: Int[Array, "p"], rng: np.random.Generator
) -> float:
    """L, by power iterations on W^(1/2) [Z, 1]."""
    beta: Float64[Array, "p"] = rng.standard_normal(len(columns))
    intercept, square = 0.0, 1.0
    for _ in range(POWER):
        size = float(np.sqrt(beta @ beta + intercept**2))
        score = (matrix.scores(columns, beta[None] / size)[0] + intercept / size) * rows.w
        beta, intercept = matrix.correlations(score[None])[0][columns], float(score.sum())
        square = float(np.sqrt(beta @ beta + intercept**2))
    return 1.1 * rows.loss.smoothed(HINGE_MU).lipschitz * square + rows.lam
