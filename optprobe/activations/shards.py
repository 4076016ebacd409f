"""One shard of a store: a .safetensors file with the activations and the facts of some rows.

HOOK              rows x width   one tensor per site
rows.FACT         rows           text (counted from the shard's first), position, token, start,
                                 length (stop - start), each in the smallest type that holds it
"""

from __future__ import annotations

import hashlib
import json
import math
import mmap
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Integer

from optprobe.activations.manifest import VERSION, Manifest
from optprobe.activations.rows import RowFacts
from optprobe.files import SAFETENSORS_TYPES, InputError, safetensors_header
from optprobe.storage import write_durably

Array = np.ndarray

LIST, MANIFEST = "shards.json", "manifest.json"

FACTS = ("text", "position", "token", "start", "length")

WORDS = {np.dtype(kind): word for word, kind in SAFETENSORS_TYPES.items() if word != "BF16"}
"""Type words of the safetensors format."""

DIGEST_BYTES = 2**22
"""Read at once while a shard is digested."""


@dataclass(frozen=True)
class Shard:
    """What the list of shards says of one: its file, what it holds, its size and SHA-256."""

    file: str
    first_text: int
    texts: int
    rows: int
    bytes: int
    sha256: str

    def __post_init__(self) -> None:
        for value in (self.first_text, self.texts, self.rows, self.bytes):
            if not isinstance(value, int) or value < 0:
                raise ValueError(f"{value!r} is no number of texts, rows or bytes")
        if Path(self.file).name != self.file:
            raise ValueError(f"{self.file!r} is no file name")


@dataclass(frozen=True)
class Shards:
    """shards.json: how far a store has come. It is rewritten after each shard.

    Attributes:
        shard_rows: a shard ends with the text that brings it to so many rows.
        finished: every text is stored.
        shards: in the order of the texts.
    """

    shard_rows: int
    finished: bool
    shards: tuple[Shard, ...]

    @property
    def texts(self) -> int:
        """Texts that are stored wholly."""
        return sum(shard.texts for shard in self.shards)

    def write(self, folder: Path) -> None:
        """Replace the list of a folder, whole or not at all."""
        value = {"version": VERSION, **asdict(self)}
        write_durably(folder / LIST, [(json.dumps(value, indent=1) + "\n").encode()])

    @classmethod
    def read(cls, folder: Path) -> Shards:
        """The list of a folder.

        Raises:
            InputError: no such file, or a damaged one.
        """
        path = folder / LIST
        held = read_json(path)
        try:
            shards = tuple(Shard(**entry) for entry in held["shards"])
            found = cls(int(held["shard_rows"]), bool(held["finished"]), shards)
            ends = accumulate((shard.texts for shard in shards), initial=0)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path} is no list of shards ({error!r})") from error
        if any(shard.first_text != end for shard, end in zip(shards, ends, strict=False)):
            raise InputError(f"{path} is no list of shards that follow on each other")
        return found


def read_json(path: Path) -> Any:
    """A JSON value.

    Raises:
        InputError: no such file, or no JSON.
    """
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error})") from error


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a store's folder.

    Raises:
        InputError: no store there, or a damaged manifest.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise InputError(f"{folder} is no store of activations: it has no {MANIFEST}")
    try:
        return Manifest.from_json(read_json(path))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def write_shard(
    folder: Path,
    number: int,
    texts: tuple[int, int],
    rows: RowFacts,
    values: Mapping[str, Sequence[Float[Array, "_ width"]]],
) -> Shard:
    """Write the rows of the texts from the first up to the last, exclusive.

    Args:
        folder, number: which file.
        texts: first and last.
        rows: what the rows stand for.
        values: each site's rows, in blocks that are written one after another.

    Raises:
        OSError: the disk is full, say; nothing is left behind.
    """
    first, last = texts
    facts = {
        "text": rows.text - first,
        "position": rows.position,
        "token": rows.token,
        "start": rows.start,
        "length": rows.stop - rows.start,
    }
    tensors = {site: list(blocks) for site, blocks in values.items()}
    tensors |= {f"rows.{name}": [_smallest(facts[name])] for name in FACTS}
    name = f"shard-{number:06d}.safetensors"
    hashed, size = hashlib.sha256(), 0

    def digested() -> Iterator[bytes | memoryview]:
        nonlocal size
        for part in _serialised(tensors):
            hashed.update(part)
            size += len(part)
            yield part

    write_durably(folder / name, digested())
    return Shard(name, first, last - first, len(rows), size, hashed.hexdigest())


def _serialised(tensors: Mapping[str, list[Array]]) -> Iterator[bytes | memoryview]:
    """A .safetensors file in parts, without the copy of all numbers that the library makes.

    Tensors of wide types come first, so that each is aligned.
    """
    header: dict[str, Any] = {}
    names = sorted(tensors, key=lambda name: (-tensors[name][0].itemsize, name))
    end = 0
    for name in names:
        first, start = tensors[name][0], end
        end += sum(block.nbytes for block in tensors[name])
        header[name] = {
            "dtype": WORDS[first.dtype],
            "shape": [sum(map(len, tensors[name])), *first.shape[1:]],
            "data_offsets": [start, end],
        }
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)
    yield struct.pack("<Q", len(encoded)) + encoded
    for name in names:
        for block in tensors[name]:
            yield block.reshape(-1).view(np.uint8).data


def _smallest(values: Int[Array, "rows"]) -> Integer[Array, "rows"]:
    """The same numbers in the smallest integer type that holds them."""
    low, high = (int(values.min()), int(values.max())) if len(values) else (0, 0)
    return values.astype(np.promote_types(np.min_scalar_type(low), np.min_scalar_type(high)))


def check(folder: Path, shard: Shard, *, digest: bool) -> None:
    """The file has the size of the list, and its digest too where that is asked for.

    Raises:
        InputError: naming the file.
    """
    path = folder / shard.file
    if not path.is_file():
        raise InputError(f"{path} is missing; copy it again, or capture into another folder")
    size = path.stat().st_size
    if size != shard.bytes:
        word = "truncated" if size < shard.bytes else "altered"
        raise InputError(
            f"{path} is {word}: it has {size} bytes and was written with {shard.bytes}; copy it "
            "again, or capture into another folder"
        )
    if digest and _digest(path) != shard.sha256:
        raise InputError(
            f"{path} is altered: its SHA-256 is not the one it was written with; copy it again, "
            "or capture into another folder"
        )


def _digest(path: Path) -> str:
    hashed = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(DIGEST_BYTES):
            hashed.update(block)
    return hashed.hexdigest()


class Tensors:
    """The tensors of one shard, mapped afresh at each use: what nobody holds takes no memory.

    Raises:
        InputError: the header is damaged, or does not hold what the manifest says.
    """

    def __init__(self, folder: Path, shard: Shard, manifest: Manifest) -> None:
        from safetensors import SafetensorError, safe_open

        self._path = folder / shard.file
        try:
            with safe_open(self._path, "numpy"):
                pass  # the library checks the header
            header, base = safetensors_header(self._path)
            self._at = {
                name: (
                    np.dtype(SAFETENSORS_TYPES[entry["dtype"]]),
                    base + int(entry["data_offsets"][0]),
                    tuple(int(size) for size in entry["shape"]),
                )
                for name, entry in header.items()
                if name != "__metadata__"
            }
        except (OSError, SafetensorError, KeyError) as error:
            raise InputError(f"{self._path} is altered: its header is damaged") from error
        expected: dict[str, tuple[int, ...]] = {
            site: (shard.rows, width) for site, width in manifest.sites.items()
        }
        expected |= {f"rows.{name}": (shard.rows,) for name in FACTS}
        for name, shape in expected.items():
            dtype, offset, found = self._at.get(name, (np.dtype("?"), 0, ()))
            fits = offset + dtype.itemsize * math.prod(shape) <= shard.bytes
            kind = dtype.kind in "iu" if name.startswith("rows.") else dtype == manifest.dtype
            if found != shape or not fits or not kind:
                raise InputError(f"{self._path} is altered: it has no tensor {name!r} of {shape}")

    def mapped(self) -> Callable[[str], Array]:
        """The tensors by name, views of one map of the file that lasts as long as any of them.

        The map is private: what is written to a view (torch insists that it may) stays in memory.
        """
        with self._path.open("rb", buffering=0) as stream:
            held = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)

        def tensor(name: str) -> Array:
            dtype, offset, shape = self._at[name]
            return np.frombuffer(held, dtype, math.prod(shape), offset).reshape(shape)

        return tensor

    def read(self, names: Sequence[str], rows: slice) -> Iterator[Array]:
        """Consecutive rows of some tensors, one after another, read and not mapped.

        For one pass over a whole store this is faster: a map that is let go of again costs its
        page faults, and makes every other thread wait.
        """
        with self._path.open("rb") as stream:
            for name in names:
                dtype, offset, shape = self._at[name]
                out = np.empty((rows.stop - rows.start, *shape[1:]), dtype)
                stream.seek(offset + rows.start * out[0].nbytes)
                if stream.readinto(out.data) != out.nbytes:
                    raise InputError(f"{self._path} is truncated; copy it again")
                yield out

    def facts(self, first_text: int) -> RowFacts:
        """What the rows stand for."""
        tensor = self.mapped()
        text, position, token, start, length = (
            tensor(f"rows.{name}").astype(np.int64) for name in FACTS
        )
        return RowFacts(text + first_text, position, token, start, start + length)
