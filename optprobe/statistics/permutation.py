"""Is a support better than chance? Labels shuffled, or coordinates drawn at random.

    p = (1 + #{b : f_b <= f}) / (1 + B)                     [Phipson and Smyth 2010]

with f the training objective and f_1..B the same statistic under the null. The test is exact if,
under the null, every shuffle of the labels is as likely as the labels themselves. What may be
shuffled follows from the documents:

- no groups: all rows. This assumes independent rows, which tokens of one text are not.
- every group has one label: the labels of whole groups. This assumes that documents are exchanged
  freely, and nothing about the rows within one.
- labels vary within groups: the rows of each group among themselves. Each document keeps its share
  of positives, so what tells documents apart is no evidence; what is tested is whether, within
  documents, the label goes with the activation. This assumes that the rows of one document are
  exchanged freely; labels in runs beside activations in runs (neighbouring tokens) make p too
  small, and rows far enough apart, or labels that belong to whole documents, are the remedy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64, Int

from optprobe.heuristics import get_heuristic
from optprobe.heuristics.fits import fit_many
from optprobe.interrupt import Interrupt
from optprobe.matrix.dense import DOUBLE_BYTES
from optprobe.problem import Problem
from optprobe.statistics.refit import checked_support, refit

Array = np.ndarray
Shuffled = Literal["rows", "groups", "rows within groups", "columns"]

ROUNDING = 1e-9
"""A null objective within this share of the observed one counts as equal: against significance."""


@dataclass(frozen=True)
class NullTest:
    """An observed training objective beside its values under a null.

    Attributes:
        support: whose objective was observed, columns of X.
        observed: its objective.
        null: objectives under the null, as many as were drawn before Ctrl-C.
        shuffled: what the null shuffles.
    """

    support: Int[Array, "s"]
    observed: float
    null: Float64[Array, "draws"]
    shuffled: Shuffled

    @property
    def p_value(self) -> float:
        """(1 + #{null <= observed}) / (1 + draws): never below 1 / (1 + draws)."""
        reached = np.count_nonzero(self.null <= self.observed * (1.0 + ROUNDING))
        return (1 + reached) / (1 + len(self.null))


def permutation_test(
    problem: Problem,
    *,
    support: Int[Array, "s"] | None = None,
    heuristic: str = "greedy",
    permutations: int = 200,
    seed: int = 0,
) -> NullTest:
    """Whether labels shuffled as the documents allow are fitted as well.

    Without a support the whole selection is repeated on every permutation: the statistic is the
    objective of the heuristic's support of size k. It answers "is there anything to find". A
    certified optimum may not stand in for the observed value: the null would have to be certified
    as well.

    With a support only the fit is repeated. That is a test of a support that was chosen without
    these labels (on other documents, for another layer's feature); one that was chosen with them
    fits them too well, and p is too small.

    Args:
        problem: data, loss, ridge, and k of the selection.
        support: columns of X to keep fixed, or None.
        heuristic: a name of `heuristics.HEURISTICS`; not used with a support.
        permutations: how many; Ctrl-C ends them early.
        seed: of the permutations and of the heuristic.

    Raises:
        ValueError: permutations < 1, an unknown heuristic, or a support that cannot be fitted.
    """
    if support is None:
        method = get_heuristic(heuristic)

        def choose(shuffled: Problem) -> Int[Array, "k"]:
            return method.path(shuffled, [problem.k], seed=seed)[0].support
    else:
        fixed = checked_support(problem, support)

        def choose(shuffled: Problem) -> Int[Array, "k"]:
            return fixed

    exchange, shuffled = _exchange(problem)
    observed = refit(problem, choose(problem))
    rng, null = np.random.default_rng(seed), list[float]()
    with Interrupt() as interrupt:
        for _ in range(_positive(permutations, "permutations")):
            if interrupt.raised:
                break
            other = problem.relabelled(exchange(rng))
            null.append(refit(other, choose(other)).objective)
    return NullTest(observed.support, observed.objective, np.array(null), shuffled)


def random_support_test(
    problem: Problem, support: Int[Array, "s"], *, draws: int = 1000, seed: int = 0
) -> NullTest:
    """Whether random supports of the same size do as well: the control of random coordinates.

    p is the share of all supports that reach the observed objective, so it says how special the
    columns are, not whether the labels mean anything: on pure noise the best of many supports is
    special as well.

    Args:
        problem: data, loss and ridge; its k is not used.
        support: columns of X, at least one.
        draws: random supports, uniform over the usable columns.
        seed: of the draws.

    Raises:
        ValueError: draws < 1, or a support that is empty or cannot be fitted.
    """
    found = refit(problem, support)
    size, usable = len(found.support), problem.usable
    if not size:
        raise ValueError("an empty support has nothing to be compared with; pass a column or more")
    rng = np.random.default_rng(seed)
    drawn = np.array(
        [rng.choice(usable, size, replace=False) for _ in range(_positive(draws, "draws"))]
    )
    step = max(1, DOUBLE_BYTES // (8 * size * len(problem.y)))

    def columns(some: Int[Array, "p"]) -> Float64[Array, "p n"]:
        return problem.data.columns(some, problem.data.train)

    null = [
        fit_many(columns, problem.rows, drawn[i : i + step]).primal for i in range(0, draws, step)
    ]
    return NullTest(found.support, found.objective, np.concatenate(null), "columns")


def _exchange(
    problem: Problem,
) -> tuple[Callable[[np.random.Generator], Float64[Array, "n"]], Shuffled]:
    """What may be shuffled, and a function that draws labels of the training rows so."""
    y, groups = problem.y, problem.data.groups
    if groups is None:
        return lambda rng: rng.permutation(y), "rows"
    _, first, group = np.unique(groups[problem.data.train], return_index=True, return_inverse=True)
    label = y[first]
    if (label[group] == y).all():
        return lambda rng: rng.permutation(label)[group], "groups"
    sorted_rows = np.argsort(group, kind="stable")

    def within(rng: np.random.Generator) -> Float64[Array, "n"]:
        shuffled = np.empty_like(y)
        shuffled[sorted_rows] = y[np.lexsort((rng.random(len(y)), group))]
        return shuffled

    return within, "rows within groups"


def _positive(number: int, name: str) -> int:
    """The number, at least 1."""
    if number < 1:
        raise ValueError(f"{name}={number}: pass at least 1")
    return number
