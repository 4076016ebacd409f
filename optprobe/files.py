"""Activation files: one .npz or .safetensors file per probing task.

    X        rows x columns   activations, float16/32/64 (bfloat16 in .safetensors)
    y        rows             labels of two kinds, or numbers for the loss squared_error
    names    columns          optional; in .safetensors the metadata key "names", a JSON list
    test     rows             optional; True on held-out rows
    groups   rows             optional, or `doc`: the document a row comes from
    weights  rows             optional; used when weights="given" is asked for

Other keys are left alone. Nothing is ever unpickled.
"""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from jaxtyping import Bool, Shaped

from optprobe.problem import Problem

Array = np.ndarray

KEYS = ("X", "y", "names", "test", "groups", "doc", "weights")
"""The arrays that are read; any other key of a file is left alone."""

MAP_BYTES = 2**28
"""An uncompressed array from this size on is mapped into memory instead of read."""


class InputError(ValueError):
    """A file that cannot be used; the message is one sentence that names it and says why."""


@dataclass(frozen=True)
class Activations:
    """What one file holds. Shapes, labels and numbers are checked by `problem`, not here."""

    X: Shaped[Array, "rows d"] = field(repr=False)
    y: Shaped[Array, "rows"] = field(repr=False)
    names: tuple[str, ...] | None = field(default=None, repr=False)
    test: Shaped[Array, "rows"] | None = field(default=None, repr=False)
    groups: Shaped[Array, "rows"] | None = field(default=None, repr=False)
    weights: Shaped[Array, "rows"] | None = field(default=None, repr=False)

    def problem(
        self, *, k: int, lam: float, loss: str = "logistic", weights: str | None = None
    ) -> Problem:
        """The k-sparse probe on these activations.

        Args:
            k, lam, loss: see `Problem.of`.
            weights: "balanced", "uniform" or "given" (the file's own array); by default
                "balanced" for classes and "uniform" for squared error.

        Raises:
            ValueError, TypeError: as `Problem.of`.
            InputError: unknown weights, or "given" without an array of them.
        """
        chosen: Any = weights
        if weights == "given":
            if self.weights is None:
                raise InputError(
                    "weights 'given' need an array 'weights' in the file; add one, or pass "
                    "'balanced' or 'uniform'"
                )
            chosen = self.weights
        elif weights not in ("balanced", "uniform", None):
            raise InputError(f"weights {weights!r}: choose balanced, uniform or given")
        return Problem.of(
            self.X,
            self.y,
            k=k,
            lam=lam,
            loss=loss,
            weights=chosen,
            names=self.names,
            test=self.test,
            groups=self.groups,
        )


def read(path: str | Path) -> Activations:
    """Read an activation file; nothing in it is ever unpickled.

    Raises:
        InputError: no such file, an unknown suffix, a truncated or corrupt file, no X or y in it,
            or an array of Python objects.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(
            f"{path}: no such file; give the path of a .npz or .safetensors file that holds X and y"
        )
    if path.is_dir():
        raise InputError(f"{path} is a folder; pass one .npz or .safetensors file")
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(
            f"{path}: unknown suffix {path.suffix!r}; pass a .npz or .safetensors file"
        )
    try:
        keys, arrays = reader(path)
    except InputError:
        raise
    except Exception as error:  # zip, npy, JSON, disk: damaged bytes fail in many ways
        raise InputError(
            f"{path} cannot be read as {path.suffix.lower()[1:]}, it may be truncated or "
            f"damaged ({error})"
        ) from error
    for needed in ("X", "y"):
        if needed not in arrays:
            held = ", ".join(keys) or "nothing"
            raise InputError(f"{path} has no array {needed!r}; it holds {held}")
    groups = arrays.get("groups", arrays.get("doc"))
    names = _names(path, arrays["names"]) if "names" in arrays else None
    return Activations(
        arrays["X"], arrays["y"], names, arrays.get("test"), groups, arrays.get("weights")
    )


def read_mask(path: str | Path) -> Bool[Array, "rows"]:
    """The held-out rows that `optprobe curve` drew for a file without any; never unpickled.

    Raises:
        InputError: no such file, or it does not hold one boolean a row.
    """
    try:
        with Path(path).open("rb") as stream:
            mask = np.lib.format.read_array(stream, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a .npy file ({error})") from error
    if mask.dtype != bool or mask.ndim != 1:
        raise InputError(f"{path} must hold one boolean a row, True on held-out rows")
    return mask


def _names(path: Path, names: Array) -> tuple[str, ...]:
    """Column names as strings; bytes are UTF-8."""
    if names.ndim != 1:
        raise InputError(f"{path}: names has shape {names.shape}; pass one name a column")
    if names.dtype.kind == "S":
        return tuple(name.decode("utf-8", "replace") for name in names.tolist())
    return tuple(str(name) for name in names.tolist())


Read = tuple[list[str], dict[str, Array]]


def _read_npz(path: Path) -> Read:
    """All keys of a .npz file, and the arrays among KEYS."""
    with zipfile.ZipFile(path) as archive:
        members = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
        wanted = [key for key in KEYS if key in members]
        return list(members), {
            key: _read_member(path, archive, members[key], key) for key in wanted
        }


def _read_member(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, key: str) -> Array:
    """One array, mapped where it is stored uncompressed and large."""
    with archive.open(entry) as stream:
        shape, fortran, dtype = _npy_header(stream)
        start = stream.tell()
    if dtype.hasobject:
        raise InputError(
            f"{path}: array {key!r} holds Python objects (ragged or mixed data), which are never "
            "unpickled; save numbers, booleans or fixed-width strings"
        )
    if entry.compress_type == zipfile.ZIP_STORED and entry.file_size >= MAP_BYTES:
        offset = _data_offset(path, entry) + start
        return np.memmap(path, dtype, "r", offset, shape, "F" if fortran else "C")
    with archive.open(entry) as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)


def _npy_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether columns come first, and type of a .npy stream."""
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(stream)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(stream)
    raise ValueError(f"npy format {version} is for named fields, not for plain arrays")


def _data_offset(path: Path, entry: zipfile.ZipInfo) -> int:
    """Where a member's bytes start: its local header is 30 bytes, the name and extra fields."""
    with path.open("rb") as stream:
        stream.seek(entry.header_offset + 26)
        name, extra = struct.unpack("<HH", stream.read(4))
    return entry.header_offset + 30 + name + extra


# Type words of the safetensors format; bfloat16 is widened to float32, which is exact.
SAFETENSORS_TYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "BOOL": "?",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1",
}  # fmt: skip


def safetensors_header(path: Path) -> tuple[dict[str, Any], int]:
    """The entries of a .safetensors file by name, unchecked, and where its data begin."""
    with path.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        return json.loads(stream.read(length)), 8 + length


def _read_safetensors(path: Path) -> Read:
    """All keys of a .safetensors file, and the arrays among KEYS.

    The library checks the header; the bytes are taken straight from the file (8 bytes of header
    length, the JSON header, the data), so that large arrays can be mapped.
    """
    try:
        from safetensors import safe_open
    except ImportError as error:
        raise InputError(
            f"{path}: .safetensors files need the package safetensors; pip install safetensors"
        ) from error
    with safe_open(path, framework="numpy") as checked:
        keys = list(checked.keys())
        metadata = checked.metadata() or {}
    header, base = safetensors_header(path)
    arrays: dict[str, Array] = {}
    for key in KEYS:
        if key in keys:
            arrays[key] = _read_tensor(path, header[key], base, key)
    if "names" in metadata and "names" not in arrays:
        listed = json.loads(metadata["names"])
        if not isinstance(listed, list):
            raise InputError(f"{path}: the metadata key 'names' must be a JSON list of strings")
        arrays["names"] = np.array([str(name) for name in listed], dtype=np.str_)
        keys.append("names")
    return keys, arrays


def _read_tensor(path: Path, entry: dict[str, Any], base: int, key: str) -> Array:
    """One tensor by its header entry; bfloat16 becomes float32."""
    word = entry["dtype"]
    if word not in SAFETENSORS_TYPES:
        raise InputError(f"{path}: tensor {key!r} has the type {word}; save it as F16 or F32")
    first, last = entry["data_offsets"]
    dtype, shape = np.dtype(SAFETENSORS_TYPES[word]), tuple(entry["shape"])
    if last - first >= MAP_BYTES and word != "BF16":
        return np.memmap(path, dtype, "r", base + first, shape)
    count = (last - first) // dtype.itemsize
    array = np.fromfile(path, dtype, count, offset=base + first).reshape(shape)
    if word == "BF16":
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array


READERS: dict[str, Callable[[Path], Read]] = {
    ".npz": _read_npz,
    ".safetensors": _read_safetensors,
}
"""Reader by suffix; a new file type is one function and one line here."""
