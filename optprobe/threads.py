"""Two levels of threads that would fight each other: ours over chunks, BLAS's inside products.

Inside a search BLAS keeps to one thread and independent chunks run side by side: small products
gain nothing from BLAS's threads and lose much where another process wants the processor.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from functools import cache
from typing import TypeVar

from threadpoolctl import ThreadpoolController

Item = TypeVar("Item")
Value = TypeVar("Value")


_asked: ContextVar[int | None] = ContextVar("threads", default=None)


@contextmanager
def threads_limited(number: int | None) -> Generator[None]:
    """Within it at most so many processors work; None leaves it at what the machine has."""
    token = _asked.set(number)
    try:
        yield
    finally:
        _asked.reset(token)


def workers() -> int:
    """Processors that may be used: this process's, within OMP_NUM_THREADS and `threads_limited`."""
    asked = _asked.get()
    return _available() if asked is None else min(asked, _available())


def _available() -> int:
    """Processors of this process, at most OMP_NUM_THREADS if that is set."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(available or 1, int(asked) if asked.isdecimal() else 2**31))


@cache
def _pool(size: int) -> ThreadPoolExecutor:
    """One pool of each size for the life of the process."""
    return ThreadPoolExecutor(size, "optprobe")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a pool's threads do not fork


def nothing() -> None:
    """What there is to do meanwhile, where it is not said."""


def in_threads(
    work: Callable[[Item], Value],
    items: Sequence[Item],
    between: Callable[[], None] = nothing,
) -> list[Value]:
    """[work(item) for item in items], side by side; NumPy lets go of the interpreter meanwhile.

    `between` is called after every result, in the caller's own thread.

    The order of the results, and each result, is the same whatever the number of threads. Nothing
    goes on after an exception or Ctrl-C: work that was begun may write to what is used again.
    `work` must not call this function itself.
    """
    alone = len(items) < 2 or workers() < 2
    futures = [] if alone else [_pool(workers()).submit(work, item) for item in items]
    found: list[Value] = []
    try:
        for value in map(work, items) if alone else (future.result() for future in futures):
            found.append(value)
            between()
        return found
    except BaseException:
        for future in futures:
            future.cancel()
        wait(futures)
        raise


def single_threaded_blas() -> AbstractContextManager[object]:
    """Context manager: BLAS keeps to one thread."""
    return _controller().limit(limits=1, user_api="blas")


@cache
def _controller() -> ThreadpoolController:
    """The libraries that are loaded, looked up once."""
    return ThreadpoolController()
