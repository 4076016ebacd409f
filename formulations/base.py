"""What a formulation is: the contract between a Pyomo model and whoever builds or solves it.

    build(problem)  ->  a Pyomo model whose optimum is the k-sparse probe's (or bounds it)

A formulation is a module, or any object, with `LOSSES`, `kind`, `size`, `build` and `solution`;
one that is solved in rounds has `refine` as well. It is found by its name in the entry-point group
"optprobe.formulations".

Labels, the same in every model: `chosen[j]`, `beta[j]` and `intercept`, where j is the column
number of X; whatever belongs to a row is indexed by the row's position among the training rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64, Int

from optprobe.problem import Problem

Array = np.ndarray

ConcreteModel = Any
"""A pyomo.environ.ConcreteModel; Pyomo is imported when a model is built and carries no types."""

Solution = tuple[Int[Array, "s"], Float64[Array, "s"], float]
"""Support (columns of X, increasing), coefficients and intercept."""


class Kind(StrEnum):
    """The class of problem a solver has to know, from the easiest to the hardest."""

    LP = "LP"
    SOCP = "SOCP"  # second-order cones, perhaps a convex quadratic objective
    MILP = "MILP"
    MIQP = "MIQP"  # convex quadratic objective, linear rows
    MIQP_SOS = "MIQP with SOS1 sets"
    MISOCP = "MISOCP"


@dataclass(frozen=True)
class Size:
    """What a model consists of.

    Attributes:
        binary, continuous: variables.
        rows: linear constraints; `nonzeros` counts their coefficients.
        cones: second-order cone constraints.
        sets: special ordered sets.
    """

    binary: int
    continuous: int
    rows: int
    nonzeros: int
    cones: int = 0
    sets: int = 0


@runtime_checkable
class Formulation(Protocol):
    """One compact model."""

    @property
    def LOSSES(self) -> Sequence[str]:  # noqa: N802
        """Names of the losses that the model covers."""
        ...

    def kind(self, loss: str) -> Kind:
        """What a solver of the model has to be able to do."""
        ...

    def size(self, n: int, p: int, k: int, loss: str) -> Size:
        """The model of n training rows, p candidate columns and k as `build` makes it."""
        ...

    def build(self, problem: Problem, columns: Int[Array, "p"] | None = None) -> ConcreteModel:
        """The model over the candidate columns of X, by default all usable ones.

        Raises:
            ValueError: a loss outside LOSSES, or columns that cannot be candidates.
            ModuleNotFoundError: Pyomo is missing; the message names the pip command.
        """
        ...

    def solution(self, model: ConcreteModel) -> Solution:
        """The probe of a solved model; `beta` need not be more exact than the solver is."""
        ...


@runtime_checkable
class Refinable(Formulation, Protocol):
    """A formulation that bounds the problem from below and is tightened where it was solved."""

    def refine(self, problem: Problem, model: ConcreteModel) -> float:
        """Make the model exact at its present `chosen`; return by how much it was too low there.

        A model without values beyond `chosen` is infinitely too low. Repeated solving and refining
        ends with the optimum once the returned violation is within the caller's tolerance.
        """
        ...
