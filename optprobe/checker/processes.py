"""Filtered leaves in processes of their own, as many as there are processors.

A leaf takes thousands of short calls of NumPy, between which threads would wait for each other. A
process is given Z, the labels, the weights and the certificate, and asked leaf by leaf; `worker` is
what answers. The leaf of one that does not start, or does not answer, is checked here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import numpy as np

from optprobe.certificate import ARRAYS, Kind
from optprobe.checker.form import RefusedError
from optprobe.checker.leaves import Covered, Node, Tree, check_filtered
from optprobe.checker.side_by_side import processors

if TYPE_CHECKING:
    from optprobe.certificate import Certificate
    from optprobe.checker.columns import Columns
    from optprobe.checker.duals import Rows

LEAST = 2**12
"""Filtered leaves times columns from which a certificate is worth the start of processes."""

MOST, MOST_BYTES = 8, 2**32
"""Processes at most, and what all of them may take: each holds Z and the certificate, and `SQUARES`
matrices over the columns for a leaf."""

SQUARES = 8

WAITING = 4
"""Leaves for each process that wait with their columns."""

PROOF, DATA = "certificate.npz", "data.npz"
"""Files that a process is given."""

PACKAGES = Path(__file__).parents[2]
"""Where this package is."""

ALONE = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(2**25),
    "MALLOC_TRIM_THRESHOLD_": str(2**26),
}
"""A process has one thread, and GNU's C library keeps for it what its arrays leave."""


def covered(
    leaves: Iterator[Node], tree: Tree, columns: Columns, rows: Rows, certificate: Certificate
) -> Iterator[Covered]:
    """What each filtered leaf of the walk covers, in its order.

    Raises:
        RefusedError: at the first leaf that fails, or where the walk does.
    """
    number = _number(columns, certificate)
    if number < 2:
        for node in leaves:
            yield check_filtered(node, tree)
        return
    with Processes(number, tree, columns, rows, certificate) as processes:
        waiting: deque[Future[Covered]] = deque()
        for answer in processes.asked(leaves):
            waiting.append(answer)
            while waiting and (len(waiting) > WAITING * number or waiting[0].done()):
                yield waiting.popleft().result()
        for answer in waiting:
            yield answer.result()


def _number(columns: Columns, certificate: Certificate) -> int:
    """How many processes are worth their start; 1 is none but this one."""
    arrays, p = certificate.arrays, columns.p
    leaves = int(np.count_nonzero(arrays["node_kind"] == Kind.FILTERED))
    if not columns.held or leaves * p < LEAST:
        return 1
    each = 8 * p * (2 * columns.n + SQUARES * p) + sum(array.nbytes for array in arrays.values())
    return min(leaves, processors(), MOST, MOST_BYTES // each)


class Processes:
    """Processes, and for each a thread that asks it and waits."""

    def __init__(
        self, number: int, tree: Tree, columns: Columns, rows: Rows, certificate: Certificate
    ) -> None:
        self._tree, self._idle = tree, SimpleQueue[Process]()
        with ExitStack() as stack:
            self._threads = stack.enter_context(ThreadPoolExecutor(number))
            folder = None
            with suppress(OSError, TypeError, RecursionError):  # no room, no JSON: nothing answers
                folder = _given(stack, columns, rows, certificate)
            for _ in range(number):
                process = Process(folder)
                stack.callback(process.end)
                self._idle.put(process)
            stack.callback(self._threads.shutdown, wait=False, cancel_futures=True)
            self._open = stack.pop_all()

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def asked(self, leaves: Iterator[Node]) -> Iterator[Future[Covered]]:
        """An answer to come for every leaf; where the walk is refused, that is the last one."""
        try:
            for node in leaves:
                yield self._threads.submit(self._check, node)
        except RefusedError as fault:
            refused: Future[Covered] = Future()
            refused.set_exception(fault)
            yield refused

    def _check(self, node: Node) -> Covered:
        """One leaf, by a process that has nothing to do."""
        process = self._idle.get()
        try:
            answer = process.ask(node)
            if answer is not None:
                return answer
            with np.errstate(all="ignore"):  # a thread does not inherit it
                return check_filtered(node, self._tree)
        finally:
            self._idle.put(process)


class Process:
    """One that reads a folder and answers, as long as it can; never without a folder."""

    def __init__(self, folder: Path | None) -> None:
        self._popen: subprocess.Popen[bytes] | None = None
        self._ended = False
        if folder is None or not sys.executable or getattr(sys, "frozen", False):
            return  # in another program, that is what would be started
        paths = [str(PACKAGES), *filter(None, [os.environ.get("PYTHONPATH")])]
        with suppress(OSError):
            self._popen = subprocess.Popen(
                [sys.executable, "-P", "-m", "optprobe.checker.worker", str(folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **ALONE, "PYTHONPATH": os.pathsep.join(paths)},
            )

    def ask(self, node: Node) -> Covered | None:
        """What a leaf covers; None if there is no answer, and from then on there is none.

        Raises:
            RefusedError: the leaf fails, or the check was given up.
        """
        question = {**node._asdict(), "free": node.free.tolist()}
        answer = self._exchanged(json.dumps(question).encode() + b"\n")
        match answer:
            case {"number": node.number, "fitted": int(fitted), "screened": int(screened)}:
                return Covered(fitted, screened)
            case {"number": node.number, "refused": str(reason)}:
                raise RefusedError(reason)
            case _ if self._ended:
                raise RefusedError("the check was given up")
            case _:  # what it says next could be about any leaf
                self._stop()
                return None

    def _exchanged(self, line: bytes) -> object:
        """What it answers to a line; None if nothing that can be read."""
        popen = self._popen
        if popen is None or popen.stdin is None or popen.stdout is None:
            return None
        try:
            popen.stdin.write(line)
            popen.stdin.flush()
            return json.loads(popen.stdout.readline())
        except (OSError, ValueError):
            return None

    def _stop(self) -> None:
        popen, self._popen = self._popen, None
        if popen is not None:
            popen.kill()
            popen.communicate()

    def end(self) -> None:
        """Whatever it is at."""
        self._ended = True
        self._stop()


def _given(stack: ExitStack, columns: Columns, rows: Rows, certificate: Certificate) -> Path:
    """A folder, of the stack, with the files that a process is given."""
    held = tempfile.TemporaryDirectory(prefix="optprobe-", ignore_cleanup_errors=True)
    folder = Path(stack.enter_context(held))
    header = np.frombuffer(json.dumps(certificate.header).encode(), np.uint8)
    content: dict[str, Any] = {name: certificate.arrays[name] for name in ARRAYS}
    np.savez(folder / PROOF, header=header, **content)
    np.savez(folder / DATA, Z=columns.every(), w=rows.w, y=rows.y, positives=rows.positives)
    return folder
