"""What the outer approximation asks of a MIP solver, and what it gets back.

The master, over p binary columns, from dual points with value c and gains g (`bounds.py`):

    min t   s.t.   t >= c_i - g_i . s  for every cut i,   sum s <= k,   s in {0,1}^p,   t >= 0

The core shifts and scales t so that 0 is the root bound and 1 the first incumbent: a backend sees
well-scaled numbers whatever the data. It asks the oracle for a cut wherever its own t is too
small, and answers with a lower bound on t: a claim, which the core compares with its incumbent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Flag, auto
from typing import Protocol

import numpy as np
from jaxtyping import Float64, Int

from optprobe.bounds import sum_of_largest
from optprobe.result import Limit, Limits

Array = np.ndarray

INTEGER_VIOLATION = 1e-6
FRACTIONAL_VIOLATION = 1e-4
"""In units of the first gap: a cut violated by less is not worth a row (never above the
master's tolerance at integer points)."""


class Capability(Flag):
    """What a backend can do; ask for these, not for its name."""

    LAZY_INTEGER = auto()  # cuts at integer points inside one tree
    LAZY_FRACTIONAL = auto()  # and at fractional points
    MIP_START = auto()  # begins from an incumbent
    INTERRUPT = auto()  # asks `stop` while it runs
    NODE_LIMIT = auto()
    MEMORY_LIMIT = auto()


class BackendError(RuntimeError):
    """A backend cannot do its work; the message says why and what to do.

    Attributes:
        status: the word for it in a table.
    """

    status = "failed"


class NotInstalledError(BackendError):
    """The solver's Python package is missing."""

    status = "not_installed"


class LicenceError(BackendError):
    """The solver found no valid licence."""

    status = "no_licence"


class TooLargeError(BackendError):
    """The master exceeds what the solver's licence allows."""

    status = "too_large"


def too_large(solver: str, p: int, allowed: int) -> TooLargeError:
    """The error of a licence that covers only so many candidates, with what to do."""
    return TooLargeError(
        f"the master has {p} candidates, more than {solver}'s size-limited licence allows: pass "
        f"at most {allowed} (--candidates {allowed}), choose another backend (--backend highs), "
        f"or install a full {solver} licence"
    )


@dataclass(frozen=True)
class Availability:
    """Whether a backend can run here.

    Attributes:
        available: True if `solve` will start.
        reason: why not, or "" if it is available.
        version: of the solver, or "" if it is not installed.
        licence: kind of licence found, or needed.
        limits: the largest problem the licence allows, in words.
        how_to_get: what to install or set.
    """

    name: str
    available: bool
    reason: str
    version: str
    licence: str
    limits: str
    how_to_get: str
    capabilities: Capability


@dataclass(frozen=True)
class Cut:
    """t >= value - gain . s, for every s in {0,1}^p that holds at most k ones."""

    value: float
    gain: Float64[Array, "p"]

    def at(self, s: Float64[Array, "p"]) -> float:
        """The right-hand side at s."""
        return self.value - float(self.gain @ s)

    def bound(self, k: int) -> float:
        """The least right-hand side over every s."""
        return self.value - sum_of_largest(self.gain, k)


@dataclass(frozen=True)
class Evaluation:
    """The cut at a support's own dual point, and the objective there: an upper bound."""

    cut: Cut
    objective: float


class Oracle(Protocol):
    """Cuts on demand, in the master's columns and units."""

    def at_support(self, support: Int[Array, "s"]) -> Evaluation:
        """Fit the support; its cut is tight there."""
        ...

    def at_fraction(self, s: Float64[Array, "p"]) -> Cut:
        """The cut that is tight at a fractional s."""
        ...


@dataclass(frozen=True)
class Master:
    """The master before the first solve.

    Attributes:
        k: most ones in s, at least 1 and less than p.
        value, gain: the first cuts.
        upper: objective of the core's incumbent.
        tolerance: absolute gap that ends the solve.
        fractional: cuts at fractional points should pay.
    """

    k: int
    value: Float64[Array, "cuts"]
    gain: Float64[Array, "cuts p"]
    upper: float
    tolerance: float
    fractional: bool

    @property
    def p(self) -> int:
        """Number of binary columns."""
        return self.gain.shape[1]

    @property
    def violation(self) -> float:
        """Smallest violation that makes a row at an integer point."""
        return min(INTEGER_VIOLATION, 0.25 * self.tolerance)

    @property
    def feasibility(self) -> float:
        """Feasibility tolerance to ask of the solver, finer than any decision taken on it."""
        return float(np.clip(0.1 * self.violation, 1e-9, 1e-7))


@dataclass(frozen=True)
class Progress:
    """Where a running solve stands, in the master's units."""

    nodes: int
    lower: float


@dataclass(frozen=True)
class MipResult:
    """What a backend claims.

    Attributes:
        lower: bound on t over every support.
        supports: integer points that the solver itself held as incumbents.
        limit: what ended the solve, None if the gap was closed or `stop` said so.
        nodes: of all the trees.
        statistics: counters of the backend.
    """

    lower: float
    supports: tuple[Int[Array, "s"], ...]
    limit: Limit | None
    nodes: int
    statistics: dict[str, float] = field(default_factory=dict)


class Backend(Protocol):
    """One MIP solver. A module of this package holds one as `BACKEND`."""

    @property
    def name(self) -> str:
        """The name it is registered under."""
        ...

    @property
    def capabilities(self) -> Capability:
        """What `solve` honours."""
        ...

    def check(self) -> None:
        """Raise NotInstalledError if its package is missing; quick."""
        ...

    def available(self) -> Availability:
        """Whether it can run here, and how far its licence goes; never raises."""
        ...

    def solve(
        self,
        master: Master,
        oracle: Oracle,
        *,
        mip_start: Int[Array, "s"],
        limits: Limits,
        seed: int,
        threads: int,
        stop: Callable[[float], bool],
        on_progress: Callable[[Progress], None],
    ) -> MipResult:
        """Close the gap of the master, adding the oracle's cuts.

        Args:
            master: the model.
            oracle: cuts; an exception it raises ends the solve and comes out unchanged.
            mip_start: the core's incumbent.
            limits: seconds, nodes and bytes; the gap is the master's tolerance.
            seed: of the solver's own choices.
            threads: to use, 0 for the solver's default.
            stop: given the lower bound so far, whether to end now.
            on_progress: told of nodes and bound from time to time.

        Raises:
            NotInstalledError, LicenceError, TooLargeError: with what to do about it.
        """
        ...
