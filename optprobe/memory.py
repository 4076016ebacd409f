"""Memory that arrays leave is kept for those that follow."""

from __future__ import annotations

import numpy as np

LARGEST = 2**25 - 2**13
"""Bytes: the largest block that the C library of GNU learns from, less a page and its header."""


def keep_freed_memory() -> None:
    """Let arrays of up to 32 MiB take the memory of those before them.

    Above a threshold the C library of GNU gets every block from the system and gives it back, and
    the system clears each page once more. The threshold rises to the largest block that was let go
    of, up to 32 MiB, and twice as much free memory is kept then. So one such block, which nothing
    is written to, is let go of here. Other C libraries do as they did. Source: mallopt(3).
    """
    np.empty(LARGEST, np.uint8)
