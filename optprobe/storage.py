"""Records written to disk, whole or not at all: JSON without NaN, and Parquet."""

from __future__ import annotations

import importlib.util
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any


def write_text(path: Path, text: str) -> None:
    """UTF-8 text, written beside the path, then renamed onto it."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def write_durably(path: Path, parts: Iterable[bytes | memoryview]) -> None:
    """Bytes that are on the disk before they have their name, so that a power cut keeps order."""
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as stream:
            for part in parts:
                stream.write(part)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """One JSON value; NaN and infinity raise ValueError."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def finite(value: Any) -> Any:
    """The same value with null for every number that JSON has no word for."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def require_package(package: str, what: str, extra: str) -> None:
    """Raise ValueError, with what to do, where an optional package is missing."""
    if importlib.util.find_spec(package) is None:
        raise ValueError(
            f'{what} needs {package}; install it with: pip install "optprobe[{extra}]"'
        )


def write_parquet(
    path: Path, rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]
) -> None:
    """A table with these columns; what a row does not have is null.

    Args:
        path: of the file.
        rows: column name -> value.
        columns: column name -> "string", "int64", "float64", "bool", or "list" of int64.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {"list": pa.list_(pa.int64()), "bool": pa.bool_()}
    schema = pa.schema(
        [(name, types.get(kind) or getattr(pa, kind)()) for name, kind in columns.items()]
    )
    partial = path.with_name(path.name + ".partial")
    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), partial)
    partial.replace(path)
