"""Features of your own: a file of texts with labels or spans, or a Python function of tokens."""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from jaxtyping import Int8

from optprobe.activations.rows import RowFacts
from optprobe.features.base import Dataset, Feature, Spans
from optprobe.features.rules import BySpan, ByText, token_texts, with_characters
from optprobe.features.sources import read_csv

Array = np.ndarray

LABELS = {
    **dict.fromkeys(("1", "+1", "true", "yes", "positive"), 1),
    **dict.fromkeys(("0", "-1", "false", "no", "negative"), -1),
    "": 0,
}
"""What a label may say, in any case; an empty one leaves the text unused."""
SUFFIXES = (".csv", ".jsonl")

TokenFunction = Callable[[Sequence[str], str], Sequence[bool | None]]
"""(tokens, text) -> True, False or None (unused) for each token."""


def read_user(path: Path) -> tuple[Dataset, Feature]:
    """The texts of a file and the feature that it defines, "user/<file name>".

    Args:
        path: .csv with the columns text, label and, if you like, document; or .jsonl, where a line
            may hold "spans" [[start, stop], ...] in characters in the place of "label". Tokens with
            a visible character in a span are positive, the text's other tokens negative. A text
            without document is its own.

    Raises:
        ValueError: a file of another kind, a missing column, an unknown label, a span outside its
            text, or labels and spans mixed; the row is named.
    """
    records = _records(path)
    for i, record in enumerate(records, 1):
        if not isinstance(record.get("text"), str):
            raise ValueError(f"{path}, row {i}: no 'text'; every row needs one")
    texts = tuple(record["text"] for record in records)
    documents = tuple(
        str(record.get("document") or f"text {i}") for i, record in enumerate(records, 1)
    )
    name = f"user/{path.stem}"
    spanned = [i for i, record in enumerate(records, 1) if "spans" in record]
    if not spanned:
        labels = {name: _labels(path, records)}
        dataset = Dataset(path.stem, texts, documents, str(path), "your own", labels)
        return dataset, Feature(name, f"labels of {path.name}", "text", ByText(name), "mean")
    if len(spanned) < len(records):
        raise ValueError(
            f"{path}: {len(spanned)} of {len(records)} rows have 'spans'; give spans to every row "
            "(an empty list where there is none), or labels"
        )
    spans = {name: _spans(path, records)}
    dataset = Dataset(path.stem, texts, documents, str(path), "your own", spans=spans)
    return dataset, Feature(name, f"spans of {path.name}", "token", BySpan(name))


@dataclass(frozen=True)
class ByFunction:
    """What a function of (tokens, text) says about the tokens of each text."""

    function: TokenFunction

    def __call__(self, dataset: Dataset, rows: RowFacts) -> Int8[Array, "rows"]:
        tokens = token_texts(dataset.texts, rows)
        found = np.zeros(len(rows), np.int8)
        cuts = np.flatnonzero(np.diff(rows.text)) + 1
        for first, last in zip([0, *cuts], [*cuts, len(rows)], strict=True):
            if first == last:
                continue
            text = int(rows.text[first])
            said = list(self.function(tokens[first:last], dataset.texts[text]))
            if len(said) != last - first:
                raise ValueError(
                    f"the function gave {len(said)} labels for the {last - first} tokens of text "
                    f"{text}; return one a token"
                )
            found[first:last] = [0 if one is None else 1 if one else -1 for one in said]
        return with_characters(found, rows)


def function_feature(function: str | TokenFunction) -> Feature:
    """A feature of tokens from a function (tokens, text) -> True, False or None for each token.

    Args:
        function: the function, or where it is: "module:function" or "path/to/file.py:function".

    Raises:
        ValueError: no such module, file or function.
    """
    named = getattr(function, "__name__", "function")
    if isinstance(function, str):
        named = function.rpartition(":")[2]
        function = _imported(function)
    return Feature(f"user/{named}", f"function {named}", "token", ByFunction(function))


def _imported(place: str) -> TokenFunction:
    """The function at "module:function" or "file.py:function"."""
    module_name, _, name = place.rpartition(":")
    try:
        if module_name.endswith(".py"):
            spec = importlib.util.spec_from_file_location(Path(module_name).stem, module_name)
            if spec is None or spec.loader is None:
                raise ImportError(module_name)
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        else:
            module = importlib.import_module(module_name)
        found = getattr(module, name)
    except (ImportError, OSError, AttributeError, ValueError) as error:
        raise ValueError(
            f"{place}: no such function ({error}); pass module:function or file.py:function"
        ) from error
    if not callable(found):
        raise ValueError(f"{place} is a {type(found).__name__}; pass a function (tokens, text)")
    return cast("TokenFunction", found)


def _records(path: Path) -> list[dict[str, Any]]:
    """The rows of the file."""
    if path.suffix == ".csv":
        records: list[dict[str, Any]] = list(read_csv(path))
    elif path.suffix == ".jsonl":
        records = []
        try:
            lines = path.read_text(encoding="utf-8-sig").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{path} cannot be read as UTF-8 text ({error})") from error
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: not JSON ({error})") from error
            if not isinstance(record, dict):
                raise ValueError(f"{path}, line {number}: not a JSON object with 'text'")
            records.append(record)
    else:
        raise ValueError(f"{path}: pass a file that ends in {' or '.join(SUFFIXES)}")
    if not records:
        raise ValueError(f"{path} holds no row; give at least one text of each class")
    return records


def _labels(path: Path, records: list[dict[str, Any]]) -> Int8[Array, "texts"]:
    """The column "label" as signs."""
    found: list[int] = []
    for i, record in enumerate(records, 1):
        if "label" not in record:
            raise ValueError(f"{path}, row {i}: no 'label' and no 'spans'; give one of them")
        given = record["label"]
        said = "" if given is None else str(given).strip().lower()
        if said not in LABELS:
            raise ValueError(
                f"{path}, row {i}: label {given!r}; pass one of {', '.join(filter(None, LABELS))}, "
                "or nothing for a text that is not used"
            )
        found.append(LABELS[said])
    return np.array(found, np.int8)


def _spans(path: Path, records: list[dict[str, Any]]) -> Spans:
    """The spans of every text."""
    found: list[tuple[int, int, int]] = []
    for i, record in enumerate(records):
        length = len(record["text"])
        for span in record["spans"]:
            if (
                not isinstance(span, list)
                or [type(edge) for edge in span] != [int, int]
                or not 0 <= span[0] < span[1] <= length
            ):
                raise ValueError(
                    f"{path}, row {i + 1}: span {span} in a text of {length} characters; pass "
                    "[start, stop] with 0 <= start < stop <= length"
                )
            found.append((i, span[0], span[1]))
    table = np.array(found, np.int64).reshape(-1, 3)
    return Spans(table[:, 0], table[:, 1], table[:, 2])
