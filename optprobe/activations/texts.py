"""Texts from a file."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from optprobe.files import InputError

SUFFIXES = (".txt", ".jsonl", ".csv")


def read_texts(path: str | Path) -> list[str]:
    """The texts of a file; text i is that of line or row i, empty ones included.

    Args:
        path: .txt with a text per line, .jsonl with an object per line whose "text" it is, or .csv
            with a column "text".

    Raises:
        InputError: no such file, another suffix, not UTF-8, no "text" (the line is named), or no
            texts.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise InputError(f"{path}: pass a file of texts that ends in {', '.join(SUFFIXES)}")
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            content = stream.read()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 at byte {error.start}; save it as UTF-8") from error
    if path.suffix == ".csv":
        texts = _csv(path, content)
    else:
        lines = content.replace("\r\n", "\n").removesuffix("\n").split("\n")
        texts = lines if path.suffix == ".txt" else _jsonl(path, lines)
    if not any(texts):
        raise InputError(f"{path} holds no text")
    return texts


def _jsonl(path: Path, lines: list[str]) -> list[str]:
    texts: list[str] = []
    for number, line in enumerate(lines, 1):
        try:
            held = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"{path}, line {number} is not JSON: {error.msg}") from error
        if not isinstance(held, dict) or not isinstance(held.get("text"), str):
            raise InputError(f'{path}, line {number}: pass an object with a string "text"')
        texts.append(held["text"])
    return texts


def _csv(path: Path, content: str) -> list[str]:
    reader = csv.DictReader(io.StringIO(content, newline=""), strict=True)
    if "text" not in (reader.fieldnames or ()):
        raise InputError(
            f'{path} has no column "text"; it has {", ".join(reader.fieldnames or ())}'
        )
    texts: list[str] = []
    try:
        for row in reader:
            if row["text"] is None:
                raise InputError(f"{path}, line {reader.line_num}: the row has no text")
            texts.append(row["text"])
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: {error}") from error
    return texts
