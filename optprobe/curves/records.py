"""What a sparsity curve is made of: settings, and one record per method and k, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["exact", "heuristic", "control"]
"""What chose a support; a control shows what chance, or all columns at once, would reach."""

Reference = Literal["optimum", "lower bound", "best known"]
"""What a support is compared with: the certified optimum where the gap is closed, the verified
lower bound where it is open, and the best support known where nothing was proven."""


@dataclass(frozen=True)
class Settings:
    """What all records of one curve have in common.

    Attributes:
        ks: cardinalities, increasing.
        exact: those that are solved exactly.
        gap, time_s: limits per k of the exact solve; a heuristic that takes longer than `time_s`
            for one k (the first, which may hold work that all share, apart) is not asked for
            more. None is no limit.
        refit_lam: ridge of the coefficients that are scored on the test rows; supports are chosen
            and objectives computed at the problem's own.
        resamples, level: of the bootstrap intervals.
        seed: of every random choice.
        random_seeds: how many random supports per k the control averages over.

    Raises:
        ValueError: no k, k < 1, an exact k that is not among the ks, or a number out of range.
    """

    ks: tuple[int, ...]
    exact: tuple[int, ...]
    gap: float = 1e-4
    time_s: float | None = None
    refit_lam: float | None = None
    resamples: int = 1000
    level: float = 0.95
    seed: int = 0
    random_seeds: int = 5

    def __post_init__(self) -> None:
        if not self.ks or min(self.ks) < 1 or list(self.ks) != sorted(set(self.ks)):
            raise ValueError(f"ks={list(self.ks)}: pass increasing numbers >= 1, at least one")
        extra = sorted(set(self.exact) - set(self.ks))
        if extra:
            raise ValueError(f"exact k={extra[0]} is not among the ks of the curve; add it there")
        if not self.gap >= 0.0 or (self.time_s is not None and not self.time_s > 0.0):
            raise ValueError(
                f"gap={self.gap}, time_s={self.time_s}: pass a gap >= 0 and seconds > 0"
            )
        if self.refit_lam is not None and not 0.0 < self.refit_lam < float("inf"):
            raise ValueError(f"refit ridge {self.refit_lam}: pass a number > 0")
        if self.resamples < 1 or not 0.0 < self.level < 1.0 or self.random_seeds < 0:
            raise ValueError(
                f"resamples={self.resamples}, level={self.level}, random_seeds="
                f"{self.random_seeds}: pass resamples >= 1, a level between 0 and 1, seeds >= 0"
            )


@dataclass(frozen=True)
class Estimate:
    """A number measured on the test rows with its bootstrap interval over documents.

    `low` and `high` are None where no interval exists (the test rows are one document, say).
    """

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Solve:
    """How an exact solve ended: the checker's lower bound, and why it stopped.

    Attributes:
        lower: verified by the checker, None where it verified nothing above 0.
        claimed_lower: the solver's word.
        certified: whether the best support known is within the gap asked for of `lower`.
        status, limit, nodes: of `optprobe.Result`.
        found_by: the method whose support is recorded: "exact", or a heuristic that was better
            than the incumbent of an unfinished solve.
        certificate: file name of the proof, or None.
    """

    lower: float | None
    claimed_lower: float | None
    certified: bool
    status: str
    limit: str | None
    nodes: int
    found_by: str
    certificate: str | None


@dataclass(frozen=True)
class Comparison:
    """A support beside the best one known for its k.

    Attributes:
        reference: what the regret is against.
        regret: objective / reference - 1, None without a certified number to compare with.
        overlap: |S & B| / |S | B|, B the best support known (Jaccard).
        f1_difference: test F1 of the best support less that of this one, paired resamples; not for
            controls.
        best: B.
    """

    reference: Reference
    regret: float | None
    overlap: float
    f1_difference: Estimate | None
    best: tuple[int, ...]

    @classmethod
    def from_json(cls, held: dict[str, Any]) -> Comparison:
        """The comparison that `dataclasses.asdict` and JSON made plain values of."""
        rebuilt: dict[str, Any] = {"best": tuple(held["best"])}
        if held["f1_difference"] is not None:
            rebuilt["f1_difference"] = Estimate(**held["f1_difference"])
        return cls(**held | rebuilt)


@dataclass(frozen=True)
class Point:
    """One method at one k.

    Attributes:
        kind, method, label: who chose the support; names as in the registry of heuristics.
        k: the cardinality asked for; that of the dense control is all usable columns.
        seed: of the method's random choices.
        support, names: columns of X, increasing; empty for the dense control, which has them all.
        beta, intercept: the coefficients that are scored (at `refit_lam` if there is one).
        objective: on the training rows, refitted at the problem's ridge; with shuffled labels,
            under those labels.
        seconds: until the support was known, from the start of the method's path over k.
        refit_seconds: of the fits.
        test: metric -> estimate on the test rows; None where they do not hold both classes.
        solve: of the exact point.
        against: None for the controls whose objective is not that of a k-sparse probe.
    """

    kind: Kind
    method: str
    label: str
    k: int
    seed: int
    support: tuple[int, ...]
    names: tuple[str, ...]
    beta: tuple[float, ...]
    intercept: float
    objective: float
    seconds: float
    refit_seconds: float
    test: dict[str, Estimate] | None
    solve: Solve | None = None
    against: Comparison | None = None

    @property
    def key(self) -> tuple[str, str, int, int]:
        """Unique within a curve."""
        return self.kind, self.method, self.k, self.seed

    @property
    def done(self) -> bool:
        """Whether it need not be computed again: a solve that Ctrl-C stopped must be."""
        return self.solve is None or self.solve.limit != "interrupted"

    @property
    def comparable(self) -> bool:
        """Whether it is a k-sparse probe for the true labels."""
        return self.method not in (SHUFFLED, DENSE)

    @classmethod
    def from_json(cls, held: dict[str, Any]) -> Point:
        """The point that `dataclasses.asdict` and JSON made plain values of."""
        test, solve, against = held["test"], held["solve"], held["against"]
        rebuilt: dict[str, Any] = {name: tuple(held[name]) for name in ("support", "names", "beta")}
        if test is not None:
            rebuilt["test"] = {metric: Estimate(**estimate) for metric, estimate in test.items()}
        if solve is not None:
            rebuilt["solve"] = Solve(**solve)
        if against is not None:
            rebuilt["against"] = Comparison.from_json(against)
        return cls(**held | rebuilt)


EXACT, RANDOM, SHUFFLED, DENSE = "exact", "random", "shuffled_labels", "dense"
"""Methods that are no heuristic of the registry (random coordinates are both)."""
