"""What a solve returns: the incumbent, why it stopped, what is claimed and what is verified."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Float64, Int

from optprobe.probe import Probe
from optprobe.progress import TracePoint

if TYPE_CHECKING:
    from optprobe.certificate import Certificate

Array = np.ndarray
Scope = Literal["all columns", "these candidates"]


class Status(StrEnum):
    """What came out."""

    OPTIMAL = "optimal"  # the gap that was asked for is reached, with a proof to check
    CLAIMED = "claimed optimal"  # a MIP solver says so; nothing that was rebuilt confirms it
    FEASIBLE = "feasible"  # an incumbent with a larger gap; `Result.limit` says why


class Limit(StrEnum):
    """What stopped a solve before the gap was reached."""

    TIME = "time"
    NODES = "nodes"
    MEMORY = "memory"
    INTERRUPTED = "interrupted"
    STALLED = "stalled"  # the method can do no more, e.g. bounds within rounding of each other


@dataclass(frozen=True)
class Limits:
    """When to stop: relative gap, seconds, nodes, bytes of open nodes.

    Raises:
        ValueError: a negative limit, or a gap that is not a number >= 0.
    """

    gap: float = 1e-4
    time_s: float = np.inf
    nodes: float = np.inf
    memory_bytes: float = 2.0**31

    def __post_init__(self) -> None:
        for name in ("gap", "time_s", "nodes", "memory_bytes"):
            value = getattr(self, name)
            if not value >= 0:
                raise ValueError(f"{name}={value}: pass a number >= 0")


@dataclass(frozen=True)
class Bounds:
    """lower <= optimum <= upper."""

    lower: float
    upper: float

    @property
    def gap(self) -> float:
        """(upper - lower) / |upper|."""
        return (self.upper - self.lower) / max(abs(self.upper), 1e-12)

    def within(self, gap: float) -> bool:
        """Whether the relative gap is reached, up to the rounding of a recomputed objective."""
        return self.gap <= gap * (1.0 + 1e-9)


@dataclass(frozen=True)
class Result:
    """A k-sparse probe with its bounds.

    Attributes:
        k: the cardinality solved for; the support may be smaller.
        support: column numbers of X, increasing.
        beta, intercept: coefficients on the standardised columns.
        objective: f(beta, b), recomputed in float64 from the data.
        status, limit: what came out, and what stopped the solve (None if nothing did).
        probe: the same coefficients for new rows, in the caller's labels or targets.
        claimed: the solver's bounds.
        verified: the checker's bounds, None until a certificate has been checked.
        scope: what the bounds cover, with `candidates` the number of columns.
        time_s: wall-clock seconds of this k, the check not included; statistics[
            "solver_seconds"] is the method's share, "proof_seconds" that of the proof of a MIP
            solver's answer.
        refuted: how a MIP solver's claim was found to be false, or None.
        trace: the solver's bounds as they came.
        statistics: counters of the method, for tables.
        certificate: the proof, or None where the method gives none.
    """

    k: int
    support: Int[Array, "s"]
    beta: Float64[Array, "s"]
    intercept: float
    objective: float
    probe: Probe
    status: Status
    limit: Limit | None
    claimed: Bounds
    scope: Scope
    candidates: int
    nodes: int
    time_s: float
    method: str
    backend: str | None = None
    formulation: str | None = None
    refuted: str | None = None
    verified: Bounds | None = None
    certificate: Certificate | None = field(default=None, repr=False)
    statistics: dict[str, float] = field(default_factory=dict)
    trace: tuple[TracePoint, ...] = field(default=(), repr=False)
