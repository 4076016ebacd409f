"""Products of matrices in slices side by side: each number is the same however many processors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optprobe.checker.side_by_side import side_by_side

if TYPE_CHECKING:
    from jaxtyping import Float64

SLICE = 128
"""Rows of a product that are made at once."""


def product(
    A: Float64[np.ndarray, "p m"], B: Float64[np.ndarray, "q m"]
) -> Float64[np.ndarray, "p q"]:
    """A B'."""
    out = np.empty((len(A), len(B)))

    def work(first: int) -> None:
        part = slice(first, first + SLICE)
        np.matmul(A[part], B.T, out=out[part])

    side_by_side(work, range(0, len(A), SLICE))
    return out


def gram(A: Float64[np.ndarray, "p m"]) -> Float64[np.ndarray, "p p"]:
    """A A', what lies below its diagonal copied above it."""
    out = np.empty((len(A), len(A)))

    def work(first: int) -> None:
        part, before = slice(first, first + SLICE), slice(0, first)
        out[part, part] = A[part] @ A[part].T
        out[part, before] = A[part] @ A[before].T
        out[before, part] = out[part, before].T

    side_by_side(work, range(0, len(A), SLICE)[::-1])  # the longest first
    return out
