"""Which labelled rows to probe: positions skipped, the class ratio capped, the number limited."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int8

from optprobe.activations.rows import AGGREGATED, RowFacts
from optprobe.features.base import SKIP_FIRST

Array = np.ndarray

RATIO = 0.2
"""Largest share of positive rows, as for the treebank features of Gurnee et al. 2023."""
LIMIT = 25_000
"""Largest number of rows, as there."""


def sample(
    y: Int8[Array, "rows"],
    rows: RowFacts,
    documents: Sequence[str],
    *,
    ratio: float = RATIO,
    limit: int | None = LIMIT,
    skip_first: int = SKIP_FIRST,
    seed: int = 0,
) -> Bool[Array, "rows"]:
    """True on P <= ratio (P + N) positive and N negative rows, P + N <= limit, drawn at random.

    After the first positions of every text are left out, positives are drawn up to ratio * limit,
    then negatives up to the limit; where negatives are few, fewer positives are kept, so that the
    share of positives never passes `ratio` (one positive row is kept in any case).
    [Gurnee et al. 2023, appendix: at most 20 % of 25,000 tokens, positions from 5 on]

    Args:
        y: -1, 0 (unused) or +1 for each row, as `Feature.labels` gives them.
        rows: what the rows stand for.
        documents: one per text; each class must lie in two, or no split keeps documents whole.
        ratio: largest share of positive rows, in (0, 1).
        limit: largest number of rows, at least 2; None for no limit.
        skip_first: token positions at the start of a text to leave out; rows that stand for whole
            texts are all kept.
        seed: of the draw.

    Raises:
        ValueError: lengths that disagree, a feature without positive or negative rows, or a class
            that lies within one document.
    """
    if len(y) != len(rows):
        raise ValueError(f"{len(y)} labels for {len(rows)} rows; pass one a row")
    if not 0.0 < ratio < 1.0:
        raise ValueError(f"ratio={ratio}: pass a share between 0 and 1, such as {RATIO}")
    if limit is not None and limit < 2:
        raise ValueError(f"limit={limit}: pass at least 2, one row of each class, or None")
    if skip_first < 0:
        raise ValueError(f"skip_first={skip_first}: pass a number of positions, 0 or more")
    open_rows = (rows.position == AGGREGATED) | (rows.position >= skip_first)
    classes = [np.flatnonzero(open_rows & (y == sign)) for sign in (1, -1)]
    for chosen, sign, name in zip(classes, (1, -1), ("positive", "negative"), strict=True):
        _check_class(chosen, int((y == sign).sum()), name, rows, documents, skip_first)
    positive, negative = (len(chosen) for chosen in classes)
    if limit is not None:
        positive = min(positive, max(1, int(ratio * limit)))
        negative = min(negative, limit - positive)
    positive = min(positive, max(1, int(negative * ratio / (1.0 - ratio) + 1e-9)))
    rng = np.random.default_rng(seed)
    keep = np.zeros(len(y), bool)
    for chosen, count in zip(classes, (positive, negative), strict=True):
        keep[rng.choice(chosen, count, replace=False)] = True
    return keep


def _check_class(
    chosen: Array,
    before: int,
    name: str,
    rows: RowFacts,
    documents: Sequence[str],
    skip_first: int,
) -> None:
    """Raise ValueError unless a class has rows in two documents."""
    if not before:
        raise ValueError(f"the feature has no {name} row here; use more text or another feature")
    if not len(chosen):
        raise ValueError(
            f"all {before} {name} rows lie in the first {skip_first} positions of their texts, "
            "which are skipped; pass a smaller skip_first"
        )
    texts = np.unique(rows.text[chosen])
    if texts[-1] >= len(documents):
        raise ValueError(
            f"a row belongs to text {texts[-1]} and there are {len(documents)} documents; "
            "pass one a text"
        )
    held = {documents[text] for text in texts.tolist()}
    if len(held) < 2:
        raise ValueError(
            f"every {name} row lies in document {held.pop()!r}, so that no split keeps documents "
            "whole; use more text"
        )
