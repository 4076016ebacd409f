"""Labelled features of text, in collections: one file each, listed in `COLLECTIONS`.

The ten collections of Gurnee et al. 2023 (arXiv 2305.01610) and a few more. No text comes with the
package: each collection names its source, its licence and how to get it.
"""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from optprobe.features import (
    compound,
    dep,
    distribution,
    fact,
    language,
    latex,
    morph,
    ngram,
    person,
    pos,
    position,
    programming,
    text,
    token_text,
)
from optprobe.features.base import Characters, Collection, Dataset, Feature, Spans, Words
from optprobe.features.hub import SCHEME, read_address, read_hub
from optprobe.features.sampling import sample
from optprobe.features.user import SUFFIXES, function_feature, read_user

__all__ = [
    "COLLECTIONS",
    "Characters",
    "Collection",
    "Dataset",
    "Feature",
    "Spans",
    "Words",
    "function_feature",
    "get_collection",
    "load_feature",
    "read_hub",
    "read_user",
    "sample",
]

COLLECTIONS: dict[str, Collection] = {
    module.COLLECTION.name: module.COLLECTION
    for module in (
        pos,
        dep,
        morph,
        language,
        programming,
        token_text,
        position,
        compound,
        ngram,
        person,
        fact,
        distribution,
        latex,
        text,
    )
}
"""Every collection by name; a new one is a file and a line here."""


def get_collection(name: str) -> Collection:
    """The collection of that name.

    Raises:
        ValueError: there is none; the near names are listed.
    """
    if name not in COLLECTIONS:
        raise ValueError(f"no collection {name!r}; {_near(name, list(COLLECTIONS))}")
    return COLLECTIONS[name]


def load_feature(
    name: str, folder: Path | None = None, dataset: Dataset | None = None
) -> tuple[Dataset, Feature]:
    """A feature and the texts it is defined on.

    Args:
        name: "collection/feature" (pos/NOUN); a .csv or .jsonl file of texts with labels or spans;
            a function (tokens, text), "module:function" or "file.py:function"; or a Hugging Face
            data set, "hf://OWNER/NAME?positive=VALUE" (`hub.read_address`).
        folder: where treebanks, relations, code and LaTeX lie.
        dataset: texts to use in the place of the collection's own; a function without any reads
            the treebank.

    Raises:
        ValueError: no such collection, feature, file or function, or its texts are not here.
    """
    collection, slash, _ = name.partition("/")
    if not (slash and collection in COLLECTIONS):
        if name.startswith(SCHEME):
            return read_address(name)
        if Path(name).suffix in SUFFIXES:
            return read_user(Path(name))
        if ":" in name:
            feature = function_feature(name)
            return dataset or COLLECTIONS["pos"].load(folder), feature
    listed = get_collection(collection)
    if dataset is None:
        dataset = listed.load(folder, name)
    found = {feature.name: feature for feature in listed.features(dataset)}
    if name not in found:
        raise ValueError(f"no feature {name!r} in these texts; {_near(name, list(found))}")
    return dataset, found[name]


def _near(name: str, names: list[str]) -> str:
    """ "the nearest are ...", or all names where none is near."""
    near = get_close_matches(name, names, n=5, cutoff=0.6)
    return f"the nearest are {', '.join(near)}" if near else f"there are {', '.join(names)}"
