"""What a benchmark solves: rows from a seed or a file, a loss, a ridge and a cardinality.

Synthetic rows with a known support [BPV21, section 5]:

    x_i ~ N(0, Sigma),  Sigma_jl = rho^|j-l|,  beta_j in {-1, +1} on `relevant` columns, else 0
    y_i = sign(x_i . beta + e_i),  e ~ N(0, s^2 I) scaled so that |X beta|^2 / |e|^2 = snr

BPV21: Bertsimas, Pauphilet, Van Parys, "Sparse classification: a scalable discrete optimization
perspective", Machine Learning 110 (2021).
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float64, Int

from optprobe.files import Activations, read
from optprobe.inputs import Weights
from optprobe.losses import get_loss
from optprobe.problem import Problem

Array = np.ndarray
Placement = Literal["equal", "random"]


def autoregressive(rng: np.random.Generator, n: int, d: int, rho: float) -> Float64[Array, "n d"]:
    """Rows of N(0, Sigma) with Sigma_jl = rho^|j-l|, by x_j = rho x_{j-1} + sqrt(1 - rho^2) g_j."""
    columns = rng.standard_normal((d, n))
    fresh = np.sqrt(1.0 - rho * rho)
    for j in range(1, d):
        columns[j] = rho * columns[j - 1] + fresh * columns[j]
    return np.ascontiguousarray(columns.T)


@dataclass(frozen=True)
class Synthetic:
    """Correlated Gaussian rows; labels from `relevant` columns and noise.

    Attributes:
        n, d: rows and columns.
        relevant: columns with a coefficient.
        rho: correlation of neighbouring columns, 0 <= rho < 1.
        snr: |X beta|^2 / |noise|^2, > 0.
        placement: relevant columns equally spaced, or drawn.

    Raises:
        ValueError: a number out of range.
    """

    kind: ClassVar[str] = "synthetic"
    weights: ClassVar[Weights] = "uniform"

    n: int
    d: int
    relevant: int
    rho: float
    snr: float
    placement: Placement

    def __post_init__(self) -> None:
        if self.n < 2 or self.d < 1:
            raise ValueError(f"n={self.n}, d={self.d}: pass n >= 2 rows and d >= 1 columns")
        if not 1 <= self.relevant <= self.d:
            raise ValueError(f"relevant={self.relevant}: pass 1 to d={self.d} columns")
        if not 0.0 <= self.rho < 1.0:
            raise ValueError(f"rho={self.rho}: pass 0 <= rho < 1")
        if not 0.0 < self.snr < np.inf:
            raise ValueError(f"snr={self.snr}: pass a number > 0")
        if self.placement not in ("equal", "random"):
            raise ValueError(f"placement={self.placement!r}: choose 'equal' or 'random'")

    @property
    def name(self) -> str:
        """Readable, without the seed."""
        drawn = "-drawn" if self.placement == "random" else ""
        return f"ar{self.rho:g}-{self.n}x{self.d}-s{self.relevant}{drawn}-snr{self.snr:g}"

    def support(self, seed: int) -> Int[Array, "relevant"]:
        """The columns that the labels were made from, increasing."""
        return self._truth(np.random.default_rng(seed))[0]

    def activations(self, seed: int) -> Activations:
        """X and y; the same bits for the same seed."""
        rng = np.random.default_rng(seed)
        support, signs = self._truth(rng)
        X = autoregressive(rng, self.n, self.d, self.rho)
        score = X[:, support] @ signs
        noise = rng.standard_normal(self.n)
        noise *= np.linalg.norm(score) / (np.sqrt(self.snr) * np.linalg.norm(noise))
        return Activations(X, np.where(score + noise > 0.0, 1, -1))

    def _truth(
        self, rng: np.random.Generator
    ) -> tuple[Int[Array, "relevant"], Float64[Array, "relevant"]]:
        """Support and signs, the first draws from the seed."""
        if self.placement == "equal":
            support = (np.arange(self.relevant) * self.d) // self.relevant
        else:
            support = np.sort(rng.choice(self.d, self.relevant, replace=False))
        return support, rng.choice([-1.0, 1.0], self.relevant)


@dataclass(frozen=True)
class Real:
    """An activation file, or the packaged one.

    Attributes:
        path: of the file, None for the packaged activations.
        sha256: of its bytes: another file of the same name makes another instance.
        weights: "balanced", or "uniform" for solvers that know no weights.

    Raises:
        ValueError: other weights.
    """

    kind: ClassVar[str] = "real"

    path: str | None
    sha256: str
    weights: Literal["balanced", "uniform"] = "balanced"

    def __post_init__(self) -> None:
        if self.weights not in ("balanced", "uniform"):
            raise ValueError(f"weights={self.weights!r}: choose 'balanced' or 'uniform'")

    @classmethod
    def of(cls, path: Path | None) -> Real:
        """The source; InputError if there is no such file."""
        if path is None:
            return cls(None, "")
        read(path)
        with path.open("rb") as stream:
            return cls(str(path.resolve()), hashlib.file_digest(stream, "sha256").hexdigest())

    @property
    def name(self) -> str:
        """Readable, and fit for a file name."""
        stem = "demo" if self.path is None else Path(self.path).stem
        even = "-uniform" if self.weights == "uniform" else ""
        return re.sub(r"[^A-Za-z0-9._-]+", "_", stem)[:60] + even

    def support(self, seed: int) -> None:
        """Nobody knows the support behind real labels."""

    def activations(self, seed: int) -> Activations:
        """What the file holds, whatever the seed."""
        if self.path is None:
            from optprobe.demo import activations

            return activations()
        return read(self.path)


Source = Synthetic | Real
SOURCES: dict[str, type[Synthetic] | type[Real]] = {
    source.kind: source for source in (Synthetic, Real)
}


@dataclass(frozen=True)
class Instance:
    """One problem of the benchmark.

    Attributes:
        source: where the rows come from.
        loss, lam, k: see `Problem`.
        candidates: columns kept by mean difference, None for all.
        seed: of the synthetic rows, and of the solver's own choices.

    Raises:
        ValueError: unknown loss, a number out of range, fewer candidates than k.
    """

    source: Source
    loss: str
    lam: float
    k: int
    candidates: int | None
    seed: int

    def __post_init__(self) -> None:
        get_loss(self.loss)
        if not 0.0 < self.lam < np.inf:
            raise ValueError(f"lam={self.lam}: pass a ridge > 0")
        if self.k < 1:
            raise ValueError(f"k={self.k}: pass k >= 1")
        if self.candidates is not None and self.candidates < self.k:
            raise ValueError(
                f"{self.candidates} candidates for k={self.k}; keep at least k columns"
            )
        if isinstance(self.source, Synthetic) and self.k > self.source.d:
            raise ValueError(f"k={self.k} exceeds the {self.source.d} columns of {self.name}")

    @property
    def name(self) -> str:
        """What tables show: readable, and the same for every seed."""
        some = "" if self.candidates is None else f"-p{self.candidates}"
        return f"{self.source.name}{some}-{self.loss}-lam{self.lam:.3g}-k{self.k}"

    @cached_property
    def id(self) -> str:
        """Name, seed and a digest of every field but a file's folder; the same everywhere.

        Balanced weights are left out of the digest: the ids of files are older than the choice.
        """
        held = self.as_json()
        held["source"].pop("path", None)
        if self.source.weights == "balanced":
            held["source"].pop("weights")
        text = json.dumps([self.name, held], sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        return f"{self.name}-seed{self.seed}-{digest}"

    def problem(self) -> Problem:
        """The problem, its rows made or read anew."""
        activations = self.source.activations(self.seed)
        return activations.problem(
            k=self.k, lam=self.lam, loss=self.loss, weights=self.source.weights
        )

    def as_json(self) -> dict[str, Any]:
        """Plain values that `from_json` takes."""
        source = {"kind": self.source.kind, **asdict(self.source)}
        return {**asdict(self), "source": source}

    @classmethod
    def from_json(cls, held: dict[str, Any]) -> Instance:
        """The instance that `as_json` wrote."""
        given = dict(held)
        source = dict(given.pop("source"))
        kind = SOURCES[source.pop("kind")]
        return cls(kind(**source), **given)
