"""Which rows to hold out: whole documents, both classes on both sides.

Tokens of one document are alike, so a document on both sides lets a probe recognise it and the
test score is too good: the unit that is drawn is the group.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from optprobe import inputs

Array = np.ndarray

ORDERS = 100
"""Random orders of the groups that are tried. At least two thirds of all orders can be cut so that
both classes lie on both sides, unless none can."""


def group_split(
    y: Sequence[Any] | Array,
    groups: Sequence[Any] | Array | None = None,
    *,
    test_size: float = 0.3,
    seed: int = 0,
) -> Bool[Array, "rows"]:
    """True on the held-out rows: no group on both sides, both classes on both sides.

    Of many random orders of the groups, cut where it suits, the one is taken whose held-out share
    of each class is nearest to `test_size` (a split chosen by balance alone stays a fair one: it
    looks at labels, never at activations [Morgan and Rubin 2012]).

    Args:
        y: one label per row, of two kinds.
        groups: one per row, e.g. the document; None lets every row stand alone.
        test_size: share of the rows of each class to hold out, in (0, 1).
        seed: of the random orders.

    Raises:
        ValueError: lengths that disagree, other than two labels, test_size out of range, or a
            class that lies within one group (named) or has one row.
    """
    labels = np.asarray(y)
    sign, names = inputs.signs(labels, len(labels))
    if not 0.0 < test_size < 1.0:
        raise ValueError(f"test_size={test_size}: pass a share between 0 and 1, such as 0.3")
    rng = np.random.default_rng(seed)
    positive = sign > 0
    if groups is None:
        return _stratified(positive, names, test_size, rng)
    given = np.asarray(groups)
    if given.shape != labels.shape:
        raise ValueError(f"{len(labels)} labels but groups of shape {given.shape}; pass one a row")
    found, group = np.unique(given, return_inverse=True)
    counts = np.stack([np.bincount(group[side], minlength=len(found)) for side in _sides(positive)])
    for count, name in zip(counts, names, strict=True):
        if np.count_nonzero(count) < 2:
            alone = found[np.argmax(count)].item()
            raise ValueError(
                f"every row of label {name!r} lies in group {alone!r}, which cannot be on both "
                "sides; add groups with that label, or use smaller groups"
            )
    return _held_groups(counts, test_size, rng)[group]


def _stratified(
    positive: Bool[Array, "rows"],
    names: tuple[Any, Any],
    test_size: float,
    rng: np.random.Generator,
) -> Bool[Array, "rows"]:
    """Rows drawn class by class."""
    held = np.zeros(len(positive), bool)
    for side, name in zip(_sides(positive), names, strict=True):
        rows = rng.permutation(np.flatnonzero(side))
        if len(rows) < 2:
            raise ValueError(
                f"a single row has the label {name!r}; it cannot be on both sides of a split"
            )
        held[rows[: np.clip(round(test_size * len(rows)), 1, len(rows) - 1)]] = True
    return held


def _held_groups(
    counts: Int[Array, "2 groups"], test_size: float, rng: np.random.Generator
) -> Bool[Array, "groups"]:
    """The best cut of the best order: least largest deviation of a class from its share."""
    total = counts.sum(axis=1, keepdims=True)
    least, held = np.inf, np.empty(0, int)
    while not len(held):
        for order in (rng.permutation(counts.shape[1]) for _ in range(ORDERS)):
            within = np.cumsum(counts[:, order], axis=1)
            off = np.abs(within / total - test_size).max(axis=0)
            off[((within == 0) | (within == total)).any(axis=0)] = np.inf
            cut = int(np.argmin(off))
            if off[cut] < least:
                least, held = float(off[cut]), order[: cut + 1]
    chosen = np.zeros(counts.shape[1], bool)
    chosen[held] = True
    return chosen


def _sides(positive: Bool[Array, "rows"]) -> tuple[Bool[Array, "rows"], Bool[Array, "rows"]]:
    """The rows of the negative and of the positive class."""
    return ~positive, positive
