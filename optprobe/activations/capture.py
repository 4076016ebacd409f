"""From a model and texts to a store of activations."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import get_args

import numpy as np
from jaxtyping import Int64, Shaped

from optprobe.activations.doors.base import Door, widths
from optprobe.activations.manifest import Aggregation, Dtype, Manifest, text_digest
from optprobe.activations.plan import Window, windows
from optprobe.activations.reduce import Reducer
from optprobe.activations.store import Store
from optprobe.activations.tokens import Tokens, ranges
from optprobe.activations.writer import Writer

Array = np.ndarray

WINDOW_BYTES = 2**29
"""A window of texts holds about this much of the values to be stored, but at least one batch; two
windows are in memory, one that is read and one that is written."""

WINDOW_BATCHES = 32
"""And no more than this many batches."""


def capture(
    door: Door,
    texts: Sequence[str],
    out: str | Path,
    *,
    sites: Sequence[str],
    aggregation: Aggregation = "token",
    dtype: Dtype = "float16",
    batch_tokens: int = 1024,
    max_tokens: int | None = None,
    skip_first: int = 0,
    log: Callable[[str], None] | None = None,
) -> Store:
    """The activations of a model on texts, at some hook points, in a folder.

    A folder with the same capture is gone on with: nothing of it is computed again, and with the
    same batch_tokens the store is that of an uninterrupted run, byte for byte. Special tokens (a
    beginning of text) are read by the model and get no row.

    Args:
        door: an opened model (`get_door("bridge").open("smollm2")`).
        texts: of the source; row facts count them from 0.
        out: folder of the store.
        sites: hook points, in the order of the columns.
        aggregation: a row per token, or per text the mean or max over its tokens, or the last.
        dtype: of the store.
        batch_tokens: read at once, padding included.
        max_tokens: cut texts after so many; by default none is cut.
        skip_first: positions at the beginning of each text that get no row; the model reads them.
        log: takes a line of progress after each window of texts.

    Returns:
        The finished store.

    Raises:
        ValueError: an unknown site, aggregation or dtype (near names are given); no texts, or
            none with a token that counts; a text that the model cannot read at once; a number that
            does not fit dtype; another capture in the folder; too little room on the disk.
        OSError: the disk is full; what was stored by then stays valid.
    """
    for name, value, choices in (
        ("aggregation", aggregation, get_args(Aggregation)),
        ("dtype", dtype, get_args(Dtype)),
    ):
        if value not in choices:
            raise ValueError(f"unknown {name} {value!r}; pass one of {', '.join(choices)}")
    for name, number, least in (
        ("batch_tokens", batch_tokens, 1),
        ("max_tokens", max_tokens, 1),
        ("skip_first", skip_first, 0),
    ):
        if number is not None and number < least:
            raise ValueError(f"{name}={number}; pass a number of tokens >= {least}")
    manifest = Manifest(
        model=door.model,
        revision=door.revision,
        tokenizer=door.tokenizer_name,
        text_digest=text_digest(texts),
        texts=len(texts),
        aggregation=aggregation,
        sites=widths(door, sites),
        dtype=dtype,
        max_tokens=max_tokens,
        skip_first=skip_first,
    )
    tokens = Tokens.of(door, texts, max_tokens=max_tokens, skip_first=skip_first)
    rows = int(tokens.row_counts(aggregation).sum())
    if not rows:
        raise ValueError("no text has a token that counts; pass other texts, or skip fewer")
    folder = Path(out)
    _require_room(folder, rows * manifest.row_bytes)
    with Writer.open(folder, manifest) as writer:
        _Capture(door, tokens, manifest, writer, log).run(batch_tokens)
    return Store.open(folder)


def _require_room(folder: Path, needed: int) -> None:
    """Refuse at once what would fail after hours.

    Args:
        folder: of the store; it may not exist yet.
        needed: bytes of the finished store.

    Raises:
        ValueError: the disk has less, counting what is already there.
    """
    there = folder.resolve()
    while not there.exists():
        there = there.parent
    held = sum(file.stat().st_size for file in folder.glob("shard-*"))
    free = shutil.disk_usage(there).free
    if needed - held > free:
        raise ValueError(
            f"{folder} needs {(needed - held) / 1e9:.1f} GB and its disk has {free / 1e9:.1f} GB "
            "free; pass fewer hook points or texts, or another disk"
        )


def batch_plan(tokens: Tokens, row_bytes: int, batch_tokens: int) -> list[Window]:
    """What a capture reads together.

    Args:
        tokens: of the texts.
        row_bytes: of a row in the store.
        batch_tokens: read at once, padding included.
    """
    wanted = min(WINDOW_BYTES // row_bytes, WINDOW_BATCHES * batch_tokens)
    return windows(
        tokens.lengths, batch_tokens=batch_tokens, window_tokens=max(batch_tokens, wanted)
    )


class _Capture:
    """One run over what is not stored yet."""

    def __init__(
        self,
        door: Door,
        tokens: Tokens,
        manifest: Manifest,
        writer: Writer,
        log: Callable[[str], None] | None,
    ) -> None:
        self._door, self._tokens, self._manifest = door, tokens, manifest
        self._writer, self._log = writer, log
        self._counts = tokens.row_counts(manifest.aggregation)
        self._started = time.monotonic()

    def run(self, batch_tokens: int) -> None:
        """Every window that the store does not have; one that it has in part is run whole, as its
        batches must stay what they were, and its missing texts are appended.

        A window is written while the model reads the next into the place of the one before.
        """
        done = self._writer.texts_done
        plan = batch_plan(self._tokens, self._manifest.row_bytes, batch_tokens)
        left = [window for window in plan if window.last > done]
        most = max((int(self._starts(window)[-1]) for window in left), default=0)
        rooms = [self._room(most) for _ in left[:2]]
        with ThreadPoolExecutor(1, "optprobe-writer") as thread:
            writing: Future[None] | None = None
            for number, window in enumerate(left):
                values = self._values(window, rooms[number % 2])
                if writing is not None:
                    writing.result()
                writing = thread.submit(self._append, max(window.first, done), window, values)
                self._report(done, window.last)
            if writing is not None:
                writing.result()
        self._writer.finish()

    def _room(self, rows: int) -> dict[str, Shaped[Array, "rows width"]]:
        """For the values of a window; the memory is taken now, not when a window comes to it."""
        manifest = self._manifest
        return {
            site: np.full((rows, width), 0, manifest.dtype)
            for site, width in manifest.sites.items()
        }

    def _append(
        self, first: int, window: Window, values: dict[str, Shaped[Array, "rows width"]]
    ) -> None:
        """Hand the texts of a window from the first on to the writer."""
        start = int(self._starts(window)[first - window.first])
        self._writer.append(
            window.last - first,
            self._tokens.facts(first, window.last, self._manifest.aggregation),
            {site: held[start:] for site, held in values.items()},
        )

    def _starts(self, window: Window) -> Int64[Array, "texts+1"]:
        """The first row of each text among those of the window, and their number."""
        counts = self._counts[window.first : window.last]
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])

    def _values(
        self, window: Window, room: dict[str, Shaped[Array, "most width"]]
    ) -> dict[str, Shaped[Array, "rows width"]]:
        """The rows of a window, in the order of its texts and in the room given."""
        import torch

        counts = self._counts[window.first : window.last]
        starts = self._starts(window)
        found = {site: held[: starts[-1]] for site, held in room.items()}
        for batch in window.batches:
            inside = batch - window.first
            ids, mask, kept = self._tokens.batch(batch)
            places = ranges(starts[inside], counts[inside])
            reduce = Reducer(kept, self._manifest.aggregation, places, found)
            self._door.run(torch.from_numpy(ids), torch.from_numpy(mask), list(found), reduce)
        return found

    def _report(self, done: int, now: int) -> None:
        """A line: how far, how fast, how long still."""
        if self._log is None:
            return
        bounds = self._tokens.bounds
        read, total = int(bounds[now] - bounds[done]), int(bounds[-1])
        speed = read / max(time.monotonic() - self._started, 1e-9)
        left = (total - int(bounds[now])) / speed
        self._log(
            f"{now} of {len(bounds) - 1} texts, {int(bounds[now])} of {total} tokens, "
            f"{speed:.0f} tokens/s, {left:.0f} s left"
        )
