"""Activations written to a folder as they come, so that a kill at any moment loses no more than
what is in memory.

DIR/manifest.json              what the store holds
DIR/shards.json                the shards that are complete, with their digests
DIR/shard-000000.safetensors   and so on

A shard ends with the text that brings it to `shard_rows` rows. That depends on the texts alone, not
on how they were handed in or where a run was interrupted, so the finished folder is always the
same, byte for byte. A shard counts once shards.json names it; what else lies in the folder after a
kill is removed by the next writer.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float

from optprobe.activations.manifest import Manifest
from optprobe.activations.rows import RowFacts
from optprobe.activations.shards import LIST, MANIFEST, Shards, check, read_manifest, write_shard
from optprobe.files import InputError
from optprobe.storage import write_durably

Array = np.ndarray

SHARD_BYTES = 2**26
"""A shard takes about this much unless told otherwise: a writer holds it, and a kill costs it."""

FINITE_BLOCK = 2**16
"""Numbers looked at together: they stay in the cache."""


class Writer:
    """Appends whole texts to a store; make it with `Writer.open`, in a with statement."""

    def __init__(self, folder: Path, manifest: Manifest, done: Shards, lock: int) -> None:
        self._folder, self._manifest, self._done, self._lock = folder, manifest, done, lock
        self._next = done.texts
        self._rows = RowFacts.concatenate([])
        # What waits for its shard to be full; the memory is taken now, not as it comes.
        self._waiting = {
            site: np.full((done.shard_rows, width), 0, manifest.dtype)
            for site, width in manifest.sites.items()
        }

    @classmethod
    def open(cls, path: str | Path, manifest: Manifest, *, shard_rows: int | None = None) -> Writer:
        """Create a store, or go on with one.

        Args:
            path: of the folder.
            manifest: what the store is to hold.
            shard_rows: a shard ends with the text that brings it to so many rows; by default
                what takes about SHARD_BYTES.

        Raises:
            InputError: the folder holds something else, another store (the field is named), a
                damaged shard, or another writer is at work in it.
            OSError: the folder cannot be written.
        """
        folder = Path(path)
        rows = max(1, SHARD_BYTES // manifest.row_bytes) if shard_rows is None else shard_rows
        if rows < 1:
            raise InputError(f"shard_rows={rows}: pass a number of rows >= 1")
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return cls(folder, manifest, _prepared(folder, manifest, rows), lock)
        except BlockingIOError as error:
            os.close(lock)
            raise InputError(f"{folder}: another process is writing to it; wait for it") from error
        except BaseException:
            os.close(lock)
            raise

    @property
    def texts_done(self) -> int:
        """Texts on the disk: where a capture that starts now has to go on."""
        return self._done.texts

    @property
    def finished(self) -> bool:
        """Nothing is left to write."""
        return self._done.finished

    def append(
        self, texts: int, rows: RowFacts, values: Mapping[str, Float[Array, "rows width"]]
    ) -> None:
        """All rows of the next texts.

        Args:
            texts: how many texts; some may have no rows.
            rows: their facts, texts in order.
            values: the activations of each site; they are rounded to the dtype of the store.

        Raises:
            ValueError: rows of other texts, more texts than the source has, sites or shapes that
                are not those of the manifest, a number that is not finite in the store's dtype.
            OSError: the disk is full; what was stored before stays valid.
        """
        self._check(texts, rows, values)
        blocks = {site: self._rounded(site, values[site]) for site in self._waiting}
        waiting, start = len(self._rows), 0
        self._rows = RowFacts.concatenate([self._rows, rows])
        self._next += texts
        while (ends := self._end()) is not None:
            stop = start + ends[0] - waiting
            self._store(*ends, [(self._waiting, slice(waiting)), (blocks, slice(start, stop))])
            waiting, start = 0, stop
        for site, held in self._waiting.items():  # copied: the caller may reuse its arrays
            held[waiting : len(self._rows)] = blocks[site][start:]

    def finish(self) -> None:
        """Store what is left and mark the store as finished.

        Raises:
            ValueError: texts are missing.
            OSError: the disk is full; what was stored before stays valid.
        """
        if self.finished:
            return
        if self._next != self._manifest.texts:
            raise ValueError(
                f"{self._next} of {self._manifest.texts} texts were appended; append the others"
            )
        if self._next > self._done.texts:
            self._store(len(self._rows), self._next, [(self._waiting, slice(len(self._rows)))])
        self._record(Shards(self._done.shard_rows, True, self._done.shards))

    def close(self) -> None:
        """Let other writers in; what is in memory and not yet a shard is forgotten."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _check(
        self, texts: int, rows: RowFacts, values: Mapping[str, Float[Array, "rows width"]]
    ) -> None:
        first, last, total = self._next, self._next + texts, self._manifest.texts
        if texts < 0 or last > total:
            raise ValueError(f"texts {first} to {last - 1} of {total}: the source has fewer")
        text = rows.text
        if len(text) and (text[0] < first or text[-1] >= last or (np.diff(text) < 0).any()):
            raise ValueError(f"rows must be of the texts {first} to {last - 1}, in order")
        if set(values) != set(self._manifest.sites):
            wanted = ", ".join(self._manifest.sites)
            raise ValueError(f"values of the sites {', '.join(values)}; the store is for {wanted}")
        for site, width in self._manifest.sites.items():
            if values[site].shape != (len(rows), width):
                raise ValueError(
                    f"{site}: values of shape {values[site].shape} for {len(rows)} rows of {width}"
                )

    def _rounded(self, site: str, values: Float[Array, "rows width"]) -> Array:
        """The values in the dtype of the store; those that have it already are not copied."""
        with np.errstate(over="ignore"):
            rounded = values.astype(self._manifest.dtype, order="C", copy=False)
        if not _finite(rounded):
            row, column = np.argwhere(~np.isfinite(rounded))[0]
            half = self._manifest.dtype == "float16"
            hint = "; float16 ends at 65504: store float32" if half else ""
            raise ValueError(
                f"{site} is {values[row, column]} at column {column} of a row of the texts from "
                f"{self._next} on{hint}"
            )
        return rounded

    def _end(self) -> tuple[int, int] | None:
        """Where the next shard ends, as rows in memory and number of the text; None for not yet."""
        enough = self._done.shard_rows
        if len(self._rows) < enough:
            return None
        after = int(self._rows.text[enough - 1]) + 1
        return int(np.searchsorted(self._rows.text, after)), after

    def _store(self, rows: int, texts: int, parts: list[tuple[Mapping[str, Array], slice]]) -> None:
        """The first so many rows in memory, up to the text of this number, become a shard."""
        done = self._done
        values = {site: [held[site][part] for held, part in parts] for site in self._waiting}
        try:
            shard = write_shard(
                self._folder,
                len(done.shards),
                (done.texts, texts),
                self._rows.take(slice(rows)),
                values,
            )
            self._record(Shards(done.shard_rows, False, (*done.shards, shard)))
        except OSError as error:
            self._rows, self._next = RowFacts.concatenate([]), done.texts
            raise OSError(
                error.errno,
                f"{self._folder} cannot be written ({error.strerror}); its first {done.texts} "
                "texts are stored and valid: make room and run again, it goes on from there",
            ) from error
        self._rows = self._rows.take(slice(rows, None))

    def _record(self, done: Shards) -> None:
        done.write(self._folder)
        self._done = done


def _prepared(folder: Path, manifest: Manifest, shard_rows: int) -> Shards:
    """The complete shards of a folder that is ours to write; leftovers of a kill are removed."""
    if (folder / MANIFEST).exists():
        held = read_manifest(folder)
        if different := held.differences(manifest):
            name = different[0]
            raise InputError(
                f"{folder} holds a store with another {', '.join(different)} ({name}: "
                f"{getattr(held, name)!r} there, {getattr(manifest, name)!r} now); pass another "
                "folder"
            )
    elif any(entry.name != MANIFEST + ".partial" for entry in folder.iterdir()):
        raise InputError(f"{folder} is not empty and holds no store; pass another folder")
    else:
        content = json.dumps(manifest.to_json(), indent=1) + "\n"
        write_durably(folder / MANIFEST, [content.encode()])
    done = Shards.read(folder) if (folder / LIST).exists() else Shards(shard_rows, False, ())
    if done.shard_rows != shard_rows:
        raise InputError(
            f"{folder} has shards of {done.shard_rows} rows, not {shard_rows}; pass "
            f"shard_rows={done.shard_rows}, or another folder"
        )
    for shard in done.shards:
        check(folder, shard, digest=False)
    known = {MANIFEST, LIST, *(shard.file for shard in done.shards)}
    for entry in folder.iterdir():
        ours = entry.name.startswith("shard") or entry.name.startswith(MANIFEST)
        if ours and entry.name not in known:
            entry.unlink()
    return done


def _finite(values: Array) -> bool:
    """Whether no number is infinite or NaN; in float16 by the exponent's bits, ten times faster."""
    if values.dtype != np.float16:
        return bool(np.isfinite(values).all())
    bits, room = values.reshape(-1).view(np.uint16), np.empty(FINITE_BLOCK, np.uint16)
    for first in range(0, len(bits), FINITE_BLOCK):
        part = bits[first : first + FINITE_BLOCK]
        if np.bitwise_and(part, 0x7FFF, out=room[: len(part)]).max() >= 0x7C00:
            return False
    return True
