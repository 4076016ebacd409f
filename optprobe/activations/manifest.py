"""What a store holds: which model, which text, which hook points."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

import numpy as np

from optprobe.files import InputError

Aggregation = Literal["token", "mean", "max", "last"]
Dtype = Literal["float16", "float32"]

VERSION = 1
"""Of the format; a store of another version is refused."""


def text_digest(texts: Sequence[str]) -> str:
    """SHA-256 over the texts in order, each preceded by its length in bytes of UTF-8."""
    hashed = hashlib.sha256()
    for text in texts:
        encoded = text.encode("utf-8", "surrogatepass")
        hashed.update(f"{len(encoded)} ".encode())
        hashed.update(encoded)
    return hashed.hexdigest()


@dataclass(frozen=True)
class Manifest:
    """What identifies the activations of a store; another manifest is another store.

    Attributes:
        model: name, as a person would cite it.
        revision: of the model, None where it has none.
        tokenizer: name.
        text_digest: `text_digest` of the texts.
        texts: how many texts the source has.
        aggregation: one row per token, or one per text: mean or max over its tokens, or the last.
        sites: hook point -> columns, in the order of the columns.
        dtype: of the stored numbers.
        max_tokens: texts are cut after so many tokens; None for never.
        skip_first: tokens left out at the beginning of each text.

    Raises:
        InputError: a field of the wrong type or out of range, named.
    """

    model: str
    revision: str | None
    tokenizer: str
    text_digest: str
    texts: int
    aggregation: Aggregation
    sites: dict[str, int]
    dtype: Dtype = "float16"
    max_tokens: int | None = None
    skip_first: int = 0

    def __post_init__(self) -> None:
        for name in ("model", "tokenizer", "text_digest"):
            _require(isinstance(getattr(self, name), str), self, name, "a string")
        _require(
            self.revision is None or isinstance(self.revision, str), self, "revision", "a name"
        )
        _require(_whole(self.texts, 1), self, "texts", "a number of texts >= 1")
        for name, choices in (("aggregation", get_args(Aggregation)), ("dtype", get_args(Dtype))):
            _require(getattr(self, name) in choices, self, name, f"one of {', '.join(choices)}")
        _require(
            isinstance(self.sites, dict)
            and bool(self.sites)
            and all(isinstance(site, str) and _whole(n, 1) for site, n in self.sites.items()),
            self,
            "sites",
            "hook names, each with its number of columns",
        )
        none_or_whole = self.max_tokens is None or _whole(self.max_tokens, 1)
        _require(none_or_whole, self, "max_tokens", "a number of tokens >= 1, or null")
        _require(_whole(self.skip_first, 0), self, "skip_first", "a number of tokens >= 0")

    @property
    def width(self) -> int:
        """Columns of all sites together."""
        return sum(self.sites.values())

    @property
    def row_bytes(self) -> int:
        """Bytes of the numbers of one row."""
        return self.width * np.dtype(self.dtype).itemsize

    def to_json(self) -> dict[str, Any]:
        """Plain values, with the version of the format."""
        return {"version": VERSION, **asdict(self)}

    @classmethod
    def from_json(cls, held: Any) -> Manifest:
        """The manifest of such values.

        Raises:
            InputError: not an object, another version, a field that is missing, unknown or wrong.
        """
        if not isinstance(held, dict):
            raise InputError(f"a manifest is a JSON object, not {type(held).__name__}")
        values = {str(key): value for key, value in held.items()}
        version = values.pop("version", None)
        if version != VERSION:
            raise InputError(f"format version {version!r}; this optprobe reads version {VERSION}")
        known = [field.name for field in fields(cls)]
        for name in known:
            if name not in values:
                raise InputError(f"the field {name!r} is missing")
        for name in values:
            if name not in known:
                raise InputError(f"unknown field {name!r}; known are {', '.join(known)}")
        return cls(**values)

    def differences(self, other: Manifest) -> list[str]:
        """The fields in which two manifests differ; the order of the sites counts."""
        ours, theirs = self.to_json(), other.to_json()
        different = [name for name in ours if ours[name] != theirs[name]]
        if "sites" not in different and list(self.sites) != list(other.sites):
            different.append("sites")
        return different


def _require(fine: bool, manifest: Manifest, name: str, wanted: str) -> None:
    if not fine:
        raise InputError(f"{name} is {getattr(manifest, name)!r}; it must be {wanted}")


def _whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
