"""Natural language: sentences of treebanks in several languages, one language against the rest."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from optprobe.features.base import Collection, Dataset, Feature
from optprobe.features.conllu import read_conllu
from optprobe.features.rules import signs
from optprobe.features.sources import find_files
from optprobe.features.text_labels import text_features

NAMES = {
    "de": "German", "en": "English", "es": "Spanish", "fr": "French", "it": "Italian",
    "nl": "Dutch", "pt": "Portuguese", "sv": "Swedish",
}  # fmt: skip
PATTERN = "*_*-ud-*.conllu"
TREEBANKS = {
    "de": ("German-GSD", "de_gsd"),
    "en": ("English-EWT", "en_ewt"),
    "es": ("Spanish-GSD", "es_gsd"),
    "fr": ("French-GSD", "fr_gsd"),
    "nl": ("Dutch-Alpino", "nl_alpino"),
    "pt": ("Portuguese-GSD", "pt_gsd"),
    "sv": ("Swedish-Talbanken", "sv_talbanken"),
}
URLS = {
    f"ud/{name}-ud-dev.conllu": "https://raw.githubusercontent.com/UniversalDependencies/"
    f"UD_{bank}/master/{name}-ud-dev.conllu"
    for bank, name in TREEBANKS.values()
}
LEAST_CHARACTERS = 20
"""Shorter sentences are left out: many are headings, numbers and names."""


def _language(path: Path) -> str:
    """The code before the underscore of "fr_gsd-ud-dev.conllu"."""
    return path.name.partition("_")[0]


def found(folder: Path | None) -> bool:
    """Whether a folder holds treebanks of two languages."""
    return len({_language(path) for path in find_files(folder, PATTERN)}) > 1


def read(folder: Path | None, feature: str | None = None) -> Dataset:
    """One text per sentence, alike in all languages; every feature needs all of them."""
    texts: list[str] = []
    documents: list[str] = []
    spoken: list[str] = []
    for path in find_files(folder, PATTERN):
        for i, sentence in enumerate(read_conllu(path)):
            if len(sentence.text) >= LEAST_CHARACTERS:
                texts.append(sentence.text)
                documents.append(f"{path.stem} {sentence.document or sentence.name or i}")
                spoken.append(_language(path))
    code = np.array(spoken)
    labels = {f"language/{one}": signs(code == one) for one in sorted(set(spoken))}
    meanings = {name: f"in {NAMES.get(name[9:], name[9:])}" for name in labels}
    return Dataset(
        "ud_languages",
        tuple(texts),
        tuple(documents),
        COLLECTION.source,
        COLLECTION.licence,
        labels,
        meanings,
    )


def features(dataset: Dataset) -> list[Feature]:
    """language/de, language/en, ..."""
    return text_features(dataset, "language", "mean")


COLLECTION = Collection(
    "language",
    "natural language",
    "Universal Dependencies treebanks",
    "CC BY-SA 4.0 (GSD, EWT, Alpino, Talbanken); others: see the treebank",
    "optprobe features language --folder DIR --download, or put xx_*-ud-*.conllu files of at "
    "least two languages into DIR",
    found,
    read,
    features,
    URLS,
)
