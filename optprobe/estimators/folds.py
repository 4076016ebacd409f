"""Folds of a cross-validation that neither leak nor lack a class."""

from __future__ import annotations

import warnings
from numbers import Integral
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, Shaped
from sklearn.model_selection import StratifiedGroupKFold, check_cv

Array = np.ndarray
Fold = tuple[Int[Array, "n"], Int[Array, "m"]]


def folds(
    cv: Any,
    X: Shaped[Array, "rows d"],
    codes: Int[Array, "rows"],
    *,
    counted: Bool[Array, "rows"],
    groups: Any,
    classes: Shaped[Array, "2"],
) -> list[Fold]:
    """Training and held-out rows of every fold that holds out both classes.

    Args:
        cv: number of folds (stratified, and by group where there are groups), a splitter of
            scikit-learn, or an iterable of (training rows, held-out rows).
        X: activations, for splitters that ask for them.
        codes: 0 or 1 per row.
        counted: whether a row weighs anything.
        groups: one per row, or None.
        classes: what 0 and 1 are called.

    Raises:
        ValueError: a fold without training rows of a class, or with a group on both sides; no
            fold that holds out both classes.
    """
    if groups is not None:
        groups = np.asarray(groups)
        if groups.shape != codes.shape:
            raise ValueError(
                f"groups has shape {groups.shape} but X has {len(codes)} rows; one per row"
            )
        if isinstance(cv, Integral):
            cv = StratifiedGroupKFold(int(cv))
    splitter: Any = check_cv(cv, codes, classifier=True)
    splits = list[Fold](splitter.split(X, codes, groups))
    kept = list[Fold]()
    for number, (train, test) in enumerate(splits):
        missing = np.setdiff1d([0, 1], codes[train][counted[train]])
        if len(missing):
            raise ValueError(
                f"fold {number} has no training row of the class "
                f"{classes[missing].tolist()[0]!r}; use fewer folds, or groups that hold both "
                "classes"
            )
        both = [] if groups is None else np.intersect1d(groups[train], groups[test]).tolist()
        if both:
            raise ValueError(
                f"fold {number} has rows of {len(both)} groups, such as {both[0]!r}, on both "
                "sides: its score would leak; pass a number of folds or a splitter that keeps "
                "groups whole"
            )
        if len(np.unique(codes[test][counted[test]])) == 2:
            kept.append((train, test))
    if not kept:
        raise ValueError("no fold holds out both classes, so none has a score; use fewer folds")
    if len(kept) < len(splits):
        warnings.warn(
            f"{len(splits) - len(kept)} of {len(splits)} folds hold out one class only and are "
            "left out; use fewer folds",
            UserWarning,
            stacklevel=3,
        )
    return kept
