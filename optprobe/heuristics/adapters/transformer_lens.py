"""The k-sparse probe of TransformerLens, trained on exactly our training rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

from optprobe.problem import Problem

if TYPE_CHECKING:
    from transformer_lens.tools.analysis.sparse_probing import SparseProbeSweep

Array = np.ndarray


def transformer_lens(
    problem: Problem, ks: Sequence[int], columns: Int[Array, "p"], rng: np.random.Generator
) -> Iterator[tuple[int, Int[Array, "k"]]]:
    """The columns it selects for every k: those of largest class-mean difference."""
    for k, found in zip(ks, sweep(problem, ks, columns).results, strict=True):
        yield k, columns[found.selected_features.numpy()]


def sweep(problem: Problem, ks: Sequence[int], columns: Int[Array, "p"]) -> SparseProbeSweep:
    """`sweep_sparse_probe` (one `fit_sparse_probe` for every k) on our rows, columns and ridge.

    It minimises mean_i c_i BCE_i + l2_strength/2 ||beta||^2 in float64 by L-BFGS and Newton, c_i
    balanced (n / 2 n_class) or 1: with l2_strength = lam, standardised columns and balanced or
    uniform weights this is our objective, logistic whatever the problem's loss. Weights of the
    caller's own are unknown to it; it balances the classes then.

    It insists on a split of its own. Two rows are added as a group, one of each class, and the
    rest are the other group: the smallest test part holds out the two, so it trains on our rows
    in our order whatever its seed. Given raw activations it would rank raw differences, even with
    preprocess="standardize"; given standardised columns it ranks them as `mean_difference` does.

    Raises:
        ValueError: so few training rows that its split holds out others.
        SparseProbeConvergenceError: its own, when a fit does not converge.
    """
    import torch
    from transformer_lens.tools.analysis.sparse_probing import sweep_sparse_probe

    n = len(problem.y)
    above = problem.y > 0
    spare = [int(np.argmax(above)), int(np.argmin(above))]
    rows = np.append(np.arange(n), spare)
    Z = problem.matrix.columns(columns)
    found = sweep_sparse_probe(
        torch.from_numpy(np.ascontiguousarray(Z.T[rows])),
        torch.from_numpy(above[rows]),
        ks=list(ks),
        groups=torch.from_numpy(np.repeat([0, 1], [n, 2])),
        test_fraction=1e-9,
        class_weight=None if problem.data.weighting == "uniform" else "balanced",
        l2_strength=problem.lam,
    )
    train = found.results[0].train_indices.numpy()
    if not np.array_equal(train, np.arange(n)):
        raise ValueError(
            f"TransformerLens holds out some of {n} training rows; leave it out or pass more rows"
        )
    return found
