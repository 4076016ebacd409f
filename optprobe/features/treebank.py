"""UD English EWT as texts with annotated words: what pos, dep, morph and genre share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np

from optprobe.features.base import Collection, Dataset, Feature, Words
from optprobe.features.conllu import Sentence, read_conllu
from optprobe.features.rules import signs
from optprobe.features.sources import find_files

PATTERN = "en_ewt-ud-*.conllu"
SOURCE = "Universal Dependencies, UD_English-EWT"
LICENCE = "CC BY-SA 4.0"
HOW_TO_GET = "optprobe features pos --folder DIR --download, or put en_ewt-ud-*.conllu into DIR"
URLS = {
    f"ud/en_ewt-ud-{part}.conllu": "https://raw.githubusercontent.com/UniversalDependencies/"
    f"UD_English-EWT/master/en_ewt-ud-{part}.conllu"
    for part in ("dev", "test")
}
TEXT_CHARACTERS = 2000
"""Sentences of a document are joined by a space up to this length: about the 512 tokens of the
paper's contexts."""
GENRES = ("answers", "email", "newsgroup", "reviews", "weblog")
LEAST = 20
"""A tag with fewer words, or fewer words without it, is no feature."""


def found(folder: Path | None) -> bool:
    """Whether a folder holds the treebank."""
    return bool(find_files(folder, PATTERN))


def read(folder: Path | None, feature: str | None = None) -> Dataset:
    """The treebank's documents in one order, cut into texts; every feature needs all of them."""
    return _read_files(tuple(find_files(folder, PATTERN)))


def collection(
    name: str, title: str, listed: Callable[[Dataset], list[Feature]], *, computed: bool = False
) -> Collection:
    """A collection on the treebank's texts: its annotations, or what is computed from any text."""
    source = f"computed; on {SOURCE} unless other texts are given" if computed else SOURCE
    return Collection(name, title, source, LICENCE, HOW_TO_GET, found, read, listed, URLS)


@lru_cache(maxsize=1)
def _read_files(paths: tuple[Path, ...]) -> Dataset:
    """One data set for all collections that share the treebank."""
    sentences = [sentence for path in paths for sentence in read_conllu(path)]
    return of_sentences("en_ewt", sentences, SOURCE, LICENCE)


def of_sentences(name: str, sentences: list[Sentence], source: str, licence: str) -> Dataset:
    """Texts of whole sentences with their words, and the genre of their documents."""
    texts: list[str] = []
    documents: list[str] = []
    text_of: list[int] = []
    bounds: list[tuple[int, int]] = []
    tags: list[dict[str, str]] = []
    for document, group in _pieces(sentences):
        offset = 0
        for sentence in group:
            own = [word for word in sentence.words if word.stop > word.start]
            bounds += [(offset + word.start, offset + word.stop) for word in own]
            tags += [{"upos": word.upos, "deprel": word.deprel, **word.feats} for word in own]
            text_of += [len(texts)] * len(own)
            offset += len(sentence.text) + 1
        texts.append(" ".join(sentence.text for sentence in group))
        documents.append(document)
    keys = sorted({key for tag in tags for key in tag})
    place = np.array(bounds, np.int64).reshape(-1, 2)
    words = Words(
        np.array(text_of, np.int64),
        place[:, 0],
        place[:, 1],
        {key: np.array([tag.get(key, "") for tag in tags]) for key in keys},
    )
    genre = np.array([document.partition("-")[0] for document in documents])
    labels = {
        f"distribution/ewt_{one}": signs(genre == one) for one in GENRES if (genre == one).any()
    }
    meanings = {feature: f"document of the genre {feature[17:]}" for feature in labels}
    return Dataset(name, tuple(texts), tuple(documents), source, licence, labels, meanings, words)


def _pieces(sentences: list[Sentence]) -> Iterator[tuple[str, list[Sentence]]]:
    """Runs of sentences of one document, each up to TEXT_CHARACTERS long.

    A sentence of a file that names no document is its own.
    """
    group: list[Sentence] = []
    document, length = "", 0
    for i, sentence in enumerate(sentences):
        own = sentence.document or sentence.name or f"sentence {i + 1}"
        if group and (own != document or length + len(sentence.text) > TEXT_CHARACTERS):
            yield document, group
            group, length = [], 0
        group.append(sentence)
        document, length = own, length + len(sentence.text) + 1
    if group:
        yield document, group
