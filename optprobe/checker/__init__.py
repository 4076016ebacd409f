"""The independent checker: does this certificate prove its bounds on this data?

    lower <= min { f(beta, b) : ||beta||_0 <= k, columns in scope } <= upper

It trusts neither the solver nor the file. From X, y, the split and the weights it recomputes the
digest and the standardisation, the incumbent's objective (rounded up), every dual point, gain and
fitted support (rounded down, by the argument in `rounding`), walks the tree by the rules of
`optprobe.certificate` and accepts if the leaves cover every support. It imports numpy and the
standard library alone and shares no code with the solvers.

    form -> data, columns -> duals (rounding) -> points, filtered (centre) -> covering (lines) ->
    leaves, walk, processes
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from optprobe.certificate import Certificate, CertificateError, read
from optprobe.checker.columns import Columns
from optprobe.checker.data import Source, check_scope, check_standardisation, source_of
from optprobe.checker.duals import Rows, objective
from optprobe.checker.form import Claim, RefusedError, check_arrays, claim_of
from optprobe.checker.leaves import Counts, Tree
from optprobe.checker.processes import covered
from optprobe.checker.walk import tree_of, walk_tree

__all__ = ["Verdict", "verify"]

UPPER_SLACK = 1e-12
"""Relative: how far the claimed upper bound may lie below the objective that is recomputed."""


@dataclass(frozen=True)
class Verdict:
    """What a certificate proves on the data it was checked with.

    Attributes:
        valid: whether everything passed.
        reason: the first failure in one sentence; "" if valid.
        lower: the claimed lower bound if it is proven, else -infinity.
        upper: the incumbent's objective rounded up, infinity if it was not reached.
        k, lam, loss, weighting: the problem the bounds are for.
        scope, columns: which columns the proof covers, and how many.
        nodes: tree nodes visited.
        bounded, enumerated, filtered: leaves of each kind.
        fitted: supports covered by a fit of their own.
        excluded: supports covered by the dual point of an enumerated leaf.
        screened: supports covered by the centre of a filtered leaf.
        below_bounds: supports covered by the bound of their leaf.
        points: dual points in the file.
        seconds: wall-clock time of the check.
    """

    valid: bool
    reason: str
    lower: float = -math.inf
    upper: float = math.inf
    k: int = 0
    lam: float = math.nan
    loss: str = ""
    weighting: str = ""
    scope: str = ""
    columns: int = 0
    nodes: int = 0
    bounded: int = 0
    enumerated: int = 0
    filtered: int = 0
    fitted: int = 0
    excluded: int = 0
    screened: int = 0
    below_bounds: int = 0
    points: int = 0
    seconds: float = 0.0

    @property
    def gap(self) -> float:
        """(upper - lower) / |upper|; infinite unless valid."""
        if not self.valid:
            return math.inf
        return (self.upper - self.lower) / max(abs(self.upper), 1e-12)


def verify(
    certificate: Certificate | Path | str, X: Any, y: Any, *, test: Any = None, weights: Any = None
) -> Verdict:
    """Check a certificate against the data.

    Many filtered leaves are checked in processes of their own (`processes`): one for each processor
    of this one, at most eight and as many as OMP_NUM_THREADS says, in 4 GB altogether.

    Args:
        certificate: the certificate or the path of its file.
        X: rows x d activations as passed to `Problem.of`: the same type, shape and bytes;
            memory-mapped or not.
        y: one label per row, any two values, the larger one being the positive class; the targets
            if the certificate is for squared error.
        test: True on the rows that were held out.
        weights: "balanced", "uniform" or one number per row, where they were given; by default
            what the certificate says.

    Raises:
        FileNotFoundError: no such file.
        ValueError: X, y, test or weights that no probe could have been fitted to. A certificate
            that fails, for whatever reason, is a Verdict and no exception.
    """
    begun = time.perf_counter()
    with np.errstate(all="ignore"):
        verdict = _checked(certificate, X, y, test, weights)
    return replace(verdict, seconds=time.perf_counter() - begun)


def _checked(
    certificate: Certificate | Path | str, X: Any, y: Any, test: Any, weights: Any
) -> Verdict:
    """The verdict, growing as the checks pass and handed out at the first that fails."""
    verdict = Verdict(False, "")
    try:
        if not isinstance(certificate, Certificate):
            certificate = read(Path(certificate))
        claim = claim_of(certificate)
        verdict = replace(
            verdict,
            k=claim.k,
            lam=claim.lam,
            loss=claim.loss,
            weighting=claim.weighting,
            scope=claim.scope,
        )
        local = check_arrays(certificate, claim)
        arrays = certificate.arrays
        verdict = replace(
            verdict, columns=len(arrays["scope"]), points=len(arrays["point_intercept"])
        )
        source = source_of(X, y, test, weights, claim)
        _check_data(source, claim, arrays)
        scope = arrays["scope"].astype(np.int64)
        columns = Columns(source, arrays["mean"], arrays["scale"], scope, _named(arrays, local))
        rows = _rows(source, claim)
        verdict = replace(verdict, upper=_upper(columns, rows, arrays, local, claim))
        tree = tree_of(columns, rows, arrays, local, claim)
        counts = _walked(columns, rows, certificate, tree)
    except (RefusedError, CertificateError) as failure:
        return replace(verdict, reason=str(failure))
    return replace(verdict, valid=True, lower=claim.lower, **vars(counts))


def _check_data(source: Source, claim: Claim, arrays: dict[str, np.ndarray]) -> None:
    """Digest, sizes, standardisation and scope."""
    if source.X.shape[1] != claim.columns:
        raise RefusedError(
            f"X has {source.X.shape[1]} columns, the certificate's data {claim.columns}"
        )
    if len(source.train) != claim.rows:
        raise RefusedError(
            f"{len(source.train)} rows of X are for training, {claim.rows} in the certificate's "
            "data; pass the same test="
        )
    if source.digest() != claim.data_sha256:
        raise RefusedError(
            "the data are not those of the certificate (SHA-256 differs); pass the same X (type "
            "and bytes), y, test and weights"
        )
    constant = check_standardisation(source, claim, arrays["mean"], arrays["scale"])
    check_scope(arrays["scope"], claim, constant)


def _named(arrays: dict[str, np.ndarray], local: np.ndarray) -> np.ndarray:
    """Positions in the scope of the columns that supports and dual points name."""
    listed = arrays["fit_support"]
    every = [arrays["support"], arrays["point_column"], listed[listed >= 0]]
    return local[np.unique(np.concatenate(every).astype(np.int64))]


def _rows(source: Source, claim: Claim) -> Rows:
    """Weights and y with the positive rows first, as `Columns` orders them."""
    positive, y = source.positive, source.y[source.train]
    w, y = (np.concatenate([part[positive], part[~positive]]) for part in (source.weights, y))
    return Rows(w, y, int(positive.sum()), claim.loss, claim.lam)


def _upper(
    columns: Columns, rows: Rows, arrays: dict[str, np.ndarray], local: np.ndarray, claim: Claim
) -> float:
    """The incumbent's objective rounded up, between the claimed lower and upper."""
    block, place = columns.gather(local[arrays["support"]][None])
    plain, above = objective(rows, block[place[0]], arrays["beta"], float(arrays["intercept"][0]))
    if not math.isfinite(above):
        raise RefusedError("the incumbent's objective overflows")
    if not claim.upper >= plain - (above - plain) - UPPER_SLACK * abs(above):
        raise RefusedError(
            f"the claimed upper {claim.upper:.12g} is below the incumbent's objective {plain:.12g}"
        )
    if not claim.lower <= above:
        raise RefusedError(
            f"the claimed lower {claim.lower:.12g} is above the incumbent's objective {above:.12g}"
        )
    return above


def _walked(columns: Columns, rows: Rows, certificate: Certificate, tree: Tree) -> Counts:
    """The walk, and the filtered leaves on its way."""
    counts = Counts()
    for leaf in covered(walk_tree(tree, counts), tree, columns, rows, certificate):
        counts.fitted += leaf.fitted
        counts.screened += leaf.screened
    return counts
