"""Form of a certificate: the types, lengths and ranges on which everything after relies.

Nothing in the file is trusted. What passes here can be indexed and walked without surprises: every
index is in range, every number finite, children come after their one parent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from optprobe.certificate import ARRAYS, FORMAT, VERSION, Certificate, Kind

if TYPE_CHECKING:
    from jaxtyping import Int

Array = np.ndarray

LOSSES = ("logistic", "hinge", "squared_hinge", "squared_error")
WEIGHTINGS = ("balanced", "uniform", "given")
SCOPES = ("all columns", "these candidates")
KINDS = (Kind.BOUNDED, Kind.BRANCH, Kind.ENUMERATED, Kind.FIX, Kind.FILTERED)

REACH = {
    "logistic": (2.0**-4, 2.0**4),
    "squared_hinge": (2.0**-4, 2.0**4),
    "squared_error": (2.0**-200, 2.0**200),
}
"""Range of a centre's e, for the losses that have filtered nodes: only targets have a unit."""

LARGE = 1e300
"""Numbers of the header lie below this."""


class RefusedError(Exception):
    """The certificate proves nothing; the message is the reason, one sentence."""


@dataclass(frozen=True)
class Claim:
    """The header, typed and in range: what the certificate says it proves."""

    loss: str
    lam: float
    k: int
    weighting: str
    scale_floor: float
    columns: int
    rows: int
    data_sha256: str
    scope: str
    lower: float
    upper: float


def claim_of(certificate: Certificate) -> Claim:
    """The header, checked field by field.

    Raises:
        RefusedError: a field is missing, of the wrong type or out of range.
    """
    header = certificate.header
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise RefusedError(
            "this is not an optprobe certificate; pass the .npz file that a solve wrote"
        )
    if header.get("version") != VERSION:
        raise RefusedError(
            f"the certificate is not of version {VERSION}, the one this optprobe checks"
        )
    digest = header.get("data_sha256")
    if not isinstance(digest, str) or not re.fullmatch("[0-9a-f]{64}", digest):
        raise RefusedError("header field 'data_sha256' must be 64 hexadecimal digits")
    columns = _whole(header, "columns", 2**31 - 1)
    if header.get("loss") == "squared_error" and header.get("weighting") == "balanced":
        raise RefusedError("squared_error has no classes whose weights could be balanced")
    return Claim(
        loss=_choice(header, "loss", LOSSES),
        lam=_number(header, "lam", positive=True),
        k=_whole(header, "k", columns),
        weighting=_choice(header, "weighting", WEIGHTINGS),
        scale_floor=_number(header, "scale_floor", positive=True),
        columns=columns,
        rows=_whole(header, "rows", 2**40),
        data_sha256=digest,
        scope=_choice(header, "scope", SCOPES),
        lower=_number(header, "lower"),
        upper=_number(header, "upper"),
    )


def _choice(header: dict[str, Any], name: str, choices: tuple[str, ...]) -> str:
    value = header.get(name)
    if not isinstance(value, str) or value not in choices:
        raise RefusedError(f"header field {name!r} must be one of {', '.join(choices)}")
    return value


def _number(header: dict[str, Any], name: str, *, positive: bool = False) -> float:
    value = header.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RefusedError(f"header field {name!r} is missing or not a number")
    if not -LARGE < value < LARGE or (positive and value <= 0):
        raise RefusedError(
            f"header field {name!r} must be finite{' and positive' if positive else ''}"
        )
    return float(value)


def _whole(header: dict[str, Any], name: str, most: int) -> int:
    value = header.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise RefusedError(f"header field {name!r} must be a whole number from 1 to {most}")
    return value


def check_arrays(certificate: Certificate, claim: Claim) -> Int[Array, "d"]:
    """Lengths, index ranges and finite numbers of every array.

    Returns:
        Position in the scope of each column of X, -1 for a column outside.

    Raises:
        RefusedError: naming the array and what is wrong with it.
    """
    arrays = certificate.arrays
    for name, (types, dimensions) in ARRAYS.items():
        array = arrays.get(name)
        if (
            not isinstance(array, np.ndarray)
            or array.dtype.str not in types
            or array.ndim != dimensions
        ):
            raise RefusedError(f"array {name!r} is missing or of the wrong type")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise RefusedError(f"array {name!r} holds NaN or infinity")
    _check_lengths(arrays, claim)
    if (arrays["scale"] <= 0.0).any():
        raise RefusedError("array 'scale' holds a number that is not positive")
    scope = arrays["scope"]
    if not len(scope) or not _increasing(scope, claim.columns):
        raise RefusedError("array 'scope' must hold increasing column numbers of X, at least one")
    local = np.full(claim.columns, -1)
    local[scope] = np.arange(len(scope))
    support = arrays["support"]
    if len(support) > claim.k:
        raise RefusedError(f"the incumbent has {len(support)} columns, more than k={claim.k}")
    if not _increasing(support, claim.columns) or (local[support] < 0).any():
        raise RefusedError("array 'support' must hold increasing columns of the scope")
    _check_points(arrays, claim, local)
    _check_fits(arrays, claim, local)
    _check_tree(arrays, claim)
    _check_centres(arrays, claim, local)
    return local


def _check_lengths(arrays: dict[str, Array], claim: Claim) -> None:
    points, nodes = len(arrays["point_intercept"]), len(arrays["node_kind"])
    centres = len(arrays["centre_point"])
    fits, k, entries = len(arrays["fit_intercept"]), claim.k, len(arrays["point_column"])
    expected = {
        "mean": (claim.columns,),
        "scale": (claim.columns,),
        "beta": arrays["support"].shape,
        "intercept": (1,),
        "point_start": (points + 1,),
        "point_beta": (entries,),
        "point_mu": (points,),
        "node_point": (nodes,),
        "node_column": (nodes,),
        "node_child": (nodes, 2),
        "node_fits": (nodes, 2),
        "fit_support": (fits, k),
        "fit_beta": (fits, k),
        "fit_mu": (fits,),
        "node_centre": (nodes, 2),
        "centre_start": (centres + 1,),
        "centre_clip": (centres,),
        "centre_reach": (centres,),
    }
    for name, shape in expected.items():
        if arrays[name].shape != shape:
            raise RefusedError(f"array {name!r} has shape {arrays[name].shape}, expected {shape}")
    if not nodes:
        raise RefusedError("the tree has no nodes")


def _increasing(columns: Array, d: int) -> bool:
    if not len(columns):
        return True
    return bool(
        (np.diff(columns.astype(np.int64)) > 0).all() and columns[0] >= 0 and columns[-1] < d
    )


def _rises(start: Array, last: int) -> bool:
    """Whether these are the bounds of consecutive ranges of 0:last."""
    return bool(start[0] == 0 and start[-1] == last and (start[:-1] <= start[1:]).all())


def _check_points(arrays: dict[str, Array], claim: Claim, local: Int[Array, "d"]) -> None:
    start, column = arrays["point_start"], arrays["point_column"]
    if not _rises(start, len(column)):
        raise RefusedError(f"array 'point_start' must rise from 0 to {len(column)}")
    if ((column < 0) | (column >= claim.columns)).any() or (local[column] < 0).any():
        raise RefusedError("array 'point_column' must hold columns of the scope")
    for name in ("point_mu", "fit_mu"):
        if claim.loss == "hinge" and (arrays[name] <= 0.0).any():
            raise RefusedError(
                f"array {name!r} must be positive: the hinge's dual points are smoothed"
            )


def _check_fits(arrays: dict[str, Array], claim: Claim, local: Int[Array, "d"]) -> None:
    support = arrays["fit_support"]
    if ((support < -1) | (support >= claim.columns)).any():
        raise RefusedError(f"array 'fit_support' must hold columns below {claim.columns}, or -1")
    before, after = support[:, :-1], support[:, 1:]
    if not ((after == -1) | ((before >= 0) & (after > before))).all():
        raise RefusedError("every row of 'fit_support' must increase, with -1 only at its end")
    if ((support >= 0) & (local[support] < 0)).any():
        raise RefusedError("array 'fit_support' must hold columns of the scope")


def _check_tree(arrays: dict[str, Array], claim: Claim) -> None:
    kind, child, fits = arrays["node_kind"], arrays["node_child"], arrays["node_fits"]
    nodes, listed = len(kind), len(arrays["fit_support"])
    unknown = ~np.isin(kind, KINDS)
    if unknown.any():
        raise RefusedError(f"node {int(np.argmax(unknown))} is of a kind unknown to this version")
    for name, most in (("node_point", len(arrays["point_mu"])), ("node_column", claim.columns)):
        if ((arrays[name] < -1) | (arrays[name] >= most)).any():
            raise RefusedError(f"array {name!r} must lie between -1 and {most - 1}")
    if (arrays["node_column"][kind == Kind.BRANCH] < 0).any():
        raise RefusedError("a BRANCH node names no column")
    present = child[child != -1]
    after_parent = child > np.arange(nodes)[:, None]
    if ((child != -1) & ~after_parent).any() or (child >= nodes).any():
        raise RefusedError("array 'node_child' must name later nodes, or -1")
    if len(present) and np.bincount(present).max() > 1:
        raise RefusedError(f"node {int(np.argmax(np.bincount(present)))} has more than one parent")
    first, last = fits[:, 0].astype(np.int64), fits[:, 1].astype(np.int64)
    if ((first > last) | (last > listed) | (first < -1)).any():
        raise RefusedError(f"array 'node_fits' must hold ranges of the {listed} fits")
    lists = (kind == Kind.ENUMERATED) | (kind == Kind.FILTERED)
    if (first[lists] < 0).any():
        raise RefusedError("an ENUMERATED or FILTERED node has a negative range of fits")
    if (last - first)[lists].sum() > listed:
        raise RefusedError("array 'node_fits' gives the same fits to several nodes")


def _check_centres(arrays: dict[str, Array], claim: Claim, local: Int[Array, "d"]) -> None:
    point, start, forced = (arrays[f"centre_{name}"] for name in ("point", "start", "forced"))
    if not _rises(start, len(forced)):
        raise RefusedError(f"array 'centre_start' must rise from 0 to {len(forced)}")
    if ((forced < 0) | (forced >= claim.columns)).any() or (local[forced] < 0).any():
        raise RefusedError("array 'centre_forced' must hold columns of the scope")
    within = np.ones(len(forced), bool)
    within[start[:-1][start[:-1] < len(forced)]] = False
    if (within[1:] & (np.diff(forced.astype(np.int64)) <= 0)).any():
        raise RefusedError("the columns of each centre in 'centre_forced' must increase")
    if ((point < 0) | (point >= len(arrays["point_mu"]))).any():
        raise RefusedError("array 'centre_point' must hold numbers of dual points")
    if (arrays["centre_clip"] <= 0.0).any():
        raise RefusedError("array 'centre_clip' must be positive")
    filtered = arrays["node_kind"] == Kind.FILTERED
    first, last = arrays["node_centre"][filtered].astype(np.int64).T
    if ((first < 0) | (first >= last) | (last > len(point))).any():
        raise RefusedError(f"a FILTERED node must name a range of the {len(point)} centres")
    if not filtered.any():
        return
    if claim.loss not in REACH:
        raise RefusedError(f"only {', '.join(REACH)} have FILTERED nodes")
    least, most = REACH[claim.loss]
    if ((arrays["centre_reach"] < least) | (arrays["centre_reach"] > most)).any():
        raise RefusedError(f"array 'centre_reach' must lie between {least} and {most}")
