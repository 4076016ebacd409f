"""Texts to label, and what they are labelled as."""

from __future__ import annotations

from optprobe.activations.rows import RowFacts
from optprobe.features import (
    Dataset,
    load_feature,
)
from optprobe.features.rules import token_texts

TEXT = (
    "The",
    " do",
    "gs",
    " didn",
    "'t",
    " bark",
    ".",
    " A",
    " cat",
    " is",
    " heard",
    " here",
    ".",
)


def dataset_of(*texts: str) -> Dataset:
    """Texts that are their own documents."""
    return Dataset("t", texts, tuple(f"d{i}" for i in range(len(texts))), "here", "ours")


def labelled(feature: str, rows: RowFacts, dataset: Dataset) -> dict[str, int]:
    """Token -> label; a token that occurs twice has to agree with itself."""
    found = load_feature(feature, dataset=dataset)[1].labels(dataset, rows)
    labels: dict[str, int] = {}
    for token, label in zip(token_texts(dataset.texts, rows), found.tolist(), strict=True):
        assert labels.setdefault(token, label) == label
    return labels
