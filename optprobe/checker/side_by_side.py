"""Pieces of work that do not touch each other, on the processors that there are."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor


def processors() -> int:
    """Processors of this process, at most OMP_NUM_THREADS if that is set."""
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(own or 1, int(asked) if asked.isdecimal() else 2**31))


def side_by_side(work: Callable[[int], None], items: Sequence[int]) -> None:
    """work(item) for every item; what each writes is the same whatever the number of processors."""
    most = min(processors(), len(items))
    if most < 2:
        for item in items:
            work(item)
        return
    with ThreadPoolExecutor(most) as pool:
        for _ in pool.map(work, items):  # what is not begun is given up after an exception
            pass
