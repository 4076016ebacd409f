"""The certificate: a search tree whose every leaf anybody can check against the data.

Claim: for the problem of `problem.py` restricted to the columns in `scope`,

    lower <= min { f(beta, b) : ||beta||_0 <= k } <= upper = f(incumbent).

One .npz file: a JSON header (bytes, array `header`) and plain arrays, no objects. Column numbers
are those of X; P dual points, N tree nodes, M fitted supports, d columns of X.

Header: format, version, loss, lam, k, weighting ("balanced" | "uniform" | "given"), scale_floor,
columns (= d), rows (training rows), data_sha256 (`Data.digest`), scope ("all columns" | "these
candidates"), lower, upper, method, software.

Arrays (little-endian):

    mean, scale       f8 [d]     standardisation z = (x - mean) / scale, of the training rows
    scope             i4 [p]     columns that the proof covers, increasing; none is constant
    support           i4 [s]     incumbent, with beta f8 [s] and intercept f8 [1]
    point_start       i8 [P+1]   dual point i has the entries start[i]:start[i+1] of
    point_column      i4, point_beta f4|f8, and point_intercept f8 [P], point_mu f8 [P]
    node_kind         u1 [N]     see `Kind`; node 0 is the root, children come after parents
    node_point        i4 [N]     dual point to apply on entering the node, or -1
    node_column       i4 [N]     branching column, or -1
    node_child        i4 [N,2]   nodes with the column forced in / forced out, or -1
    node_fits         i4 [N,2]   first and last+1 of the node's fitted supports
    fit_support       i4 [M,k]   whole supports, increasing, padded with -1 at the end
    fit_beta          f4|f8 [M,k], fit_intercept f4|f8 [M], fit_mu f8 [M]
    node_centre       i4 [N,2]   first and last+1 of the centres of a filtered node
    centre_point      i4 [C]     the dual point that centre i is
    centre_start      i8 [C+1]   its forced columns are the entries start[i]:start[i+1] of
    centre_forced     i4
    centre_clip       f8 [C], centre_reach f8 [C]    kappa and e, see below

A dual point (beta, b, mu) stands for a_i = a(m_i) at the margins m_i = y_i (z_i . beta + b),
repaired so that sum w a y = 0 (`bounds.py`); for squared error y_i is the target, m_i = z_i . beta
+ b is the score, and the repair makes sum w a = 0:

    logistic       1 / (1 + e^m)
    squared_hinge  2 max(0, 1 - m)
    hinge          2 mu / (t + 2 mu + sqrt(t^2 + 4 mu^2)), t = m - 1, mu > 0
    squared_error  y - m

How it is checked. A walk carries (S1, F, r): columns forced in, free columns, r = k - |S1|; the
root has S1 = {}, F = scope. At a node:

 1. If it names a dual point, let B be the node bound of that point. B >= lower: the node is
    covered, whatever its kind. Otherwise every free column whose entering bound >= lower leaves
    F, and every one whose leaving bound >= lower joins S1 (`bounds.branch_bounds`).
 2. FIX: go on with child 0. BRANCH on column j: with j in S1 only child 0 remains, with j in
    neither S1 nor F only child 1; else child 0 takes S1 + j, child 1 takes F - j. A child that no
    support reaches (r < 0) is covered.
    BOUNDED: step 1 must have covered it. ENUMERATED: it covers the supports S1 + T, T in F with
    |T| = min(r, |F|), and with them all smaller ones: each must have value - g(S1 + T) >= lower at
    the node's dual point, or be listed among the node's fits with a dual value >= lower.
    FILTERED, not for the hinge: the columns S that its centres force, all the same, lie in S1,
    those of S1 - S return to F, and it covers the supports S + T as ENUMERATED does. Each must have
    D0 - cost(T) >= lower at one of the centres, or be listed. (S is named since a walk with another
    `lower` may force other columns.)

The bound of a centre, proven in `engine/filter.py`. Let a be its dual point, and for each row

                   omega         c            H'(a)
    logistic       a(1-a) psi    omega        ln((1 - a) / a)     psi from `engine/damping.py`
    squared_hinge  min(2, a/e)   omega^2 / 2  1 - a/2
    squared_error  1             1            y - a

so that a + s omega lies in the box and costs no more than a parabola for all |s| <= e; let G be the
free columns, clipped at +- kappa and made orthogonal to S and the intercept; Omega = diag(w omega);
and y the sign of the row, 1 for squared error:

    M = Z_F' Omega G,  K = G' diag(w c) G,  h = G' Omega (y H'(a)),  v = Z_F' (w a y)
    D0 = sum w H(a) - g(S)
    cost(T) = ||v_T - M_TT d||^2 / (2 lam) + d' K_TT d / 2 + h_T' d

for any d with sum |d_j| max_i |G_ij| <= e. Three are tried: that of (M_TT + lam diag(K_jj / M_jj))
d = v_T - lam h_T / M_jj, shortened where it is too long; and at the first centre of a node the same
of T without one column, whichever, shortened to 0.8 e at most, with the best d of that column
beside it; and the best d_j of each column alone, shortened to e / r, by the sum over pairs of
`checker/pairs.py`, which need not meet T to cover it. Columns with max_i |G_ij| < kappa / 1000 or
M_jj <= 10^-12 kappa^2 sum w omega have G_j = 0.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np

FORMAT, VERSION = "optprobe-certificate", 2

MAX_BYTES = 2**32
"""A certificate that unpacks to more than this is refused unread."""


class Kind(IntEnum):
    """Kinds of tree nodes."""

    BOUNDED = 0
    BRANCH = 1
    ENUMERATED = 2
    FIX = 3
    FILTERED = 4


class CertificateError(ValueError):
    """The file is not a certificate of this version: truncated, altered or of another kind."""


# Array name -> (allowed dtypes, number of dimensions).
ARRAYS: dict[str, tuple[tuple[str, ...], int]] = {
    "mean": (("<f8",), 1),
    "scale": (("<f8",), 1),
    "scope": (("<i4",), 1),
    "support": (("<i4",), 1),
    "beta": (("<f8",), 1),
    "intercept": (("<f8",), 1),
    "point_start": (("<i8",), 1),
    "point_column": (("<i4",), 1),
    "point_beta": (("<f4", "<f8"), 1),
    "point_intercept": (("<f8",), 1),
    "point_mu": (("<f8",), 1),
    "node_kind": (("|u1",), 1),
    "node_point": (("<i4",), 1),
    "node_column": (("<i4",), 1),
    "node_child": (("<i4",), 2),
    "node_fits": (("<i4",), 2),
    "fit_support": (("<i4",), 2),
    "fit_beta": (("<f4", "<f8"), 2),
    "fit_intercept": (("<f4", "<f8"), 1),
    "fit_mu": (("<f8",), 1),
    "node_centre": (("<i4",), 2),
    "centre_point": (("<i4",), 1),
    "centre_start": (("<i8",), 1),
    "centre_forced": (("<i4",), 1),
    "centre_clip": (("<f8",), 1),
    "centre_reach": (("<f8",), 1),
}


@dataclass(frozen=True)
class Certificate:
    """Header and arrays as above. `read` checks form only; `optprobe.checker` checks the proof."""

    header: dict[str, Any]
    arrays: dict[str, np.ndarray]

    @property
    def size(self) -> int:
        """Bytes of the file that `write` makes."""
        return len(self.to_bytes())

    def to_bytes(self) -> bytes:
        """The .npz file as bytes, compressed."""
        out = io.BytesIO()
        header = np.frombuffer(json.dumps(self.header).encode(), np.uint8)
        content: dict[str, Any] = {"header": header, **self.arrays}
        np.savez_compressed(out, **content)
        return out.getvalue()

    def write(self, path: str | Path) -> None:
        """Write one .npz file; a half-written file never takes the name."""
        path = Path(path)
        partial = path.with_name(path.name + ".partial")
        partial.write_bytes(self.to_bytes())
        partial.replace(path)


def read(path: str | Path) -> Certificate:
    """Read a certificate, trusting nothing in it.

    Raises:
        CertificateError: not a certificate, truncated, too large, or with an array missing or of
            the wrong type.
        FileNotFoundError: no such file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            total = sum(entry.file_size for entry in archive.infolist())
            if total > MAX_BYTES:
                raise CertificateError(f"{path} unpacks to {total} bytes, more than {MAX_BYTES}")
        with np.load(path, allow_pickle=False) as loaded:
            content = {name: loaded[name] for name in loaded.files}
        header = json.loads(content.pop("header").tobytes())
    except FileNotFoundError:
        raise
    except CertificateError:
        raise
    except Exception as error:  # zip, npy, JSON: hostile bytes fail in many ways
        raise CertificateError(f"{path} cannot be read as a certificate: {error}") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise CertificateError(f"{path} is not an optprobe certificate")
    if header.get("version") != VERSION:
        raise CertificateError(
            f"{path} has version {header.get('version')}, this optprobe reads version {VERSION}"
        )
    for name, (types, dimensions) in ARRAYS.items():
        array = content.get(name)
        if array is None or array.dtype.str not in types or array.ndim != dimensions:
            raise CertificateError(f"{path}: array {name!r} is missing or of the wrong type")
    return Certificate(header, {name: content[name] for name in ARRAYS})
