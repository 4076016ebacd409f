"""Labelled texts of a Hugging Face data set."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import numpy as np

from optprobe.features.base import Dataset, Feature
from optprobe.features.rules import ByText, signs

SCHEME = "hf://"
OPTIONS = ("positive", "subset", "split", "text", "label", "document", "limit")
OFFLINE = "use texts that lie here: `optprobe features` lists them, or pass a .csv or .jsonl file"


def read_hub(
    name: str,
    *,
    positive: str,
    subset: str | None = None,
    split: str = "train",
    text: str = "text",
    label: str = "label",
    document: str | None = None,
    limit: int | None = None,
) -> tuple[Dataset, Feature]:
    """The first texts of a data set, and the feature "label is `positive`".

    Args:
        name, subset, split: as for `datasets.load_dataset`; a local folder will do as name.
        positive: value of the label column, as text, that is +1; every other value is -1.
        text, label, document: columns; without documents each text is its own.
        limit: read only so many texts.

    Raises:
        ValueError: the package is missing, the hub cannot be reached, or a column is not there.
    """
    try:
        import datasets
    except ImportError as error:
        raise ValueError(
            'Hugging Face data sets need a package: pip install "optprobe[lens]"'
        ) from error
    try:
        table: Any = datasets.load_dataset(name, subset, split=split)
    except Exception as error:  # connection, cache, script, split: the package raises many kinds
        raise ValueError(f"{name} cannot be loaded ({error}); {OFFLINE}") from error
    for column in filter(None, (text, label, document)):
        if column not in table.column_names:
            raise ValueError(
                f"{name} has no column {column!r}; it has {', '.join(table.column_names)}"
            )
    count = len(table) if limit is None else min(limit, len(table))
    table = table.select(range(count))
    feature = f"user/{name.rpartition('/')[2]}"
    documents = [f"text {i}" for i in range(count)] if document is None else table[document]
    dataset = Dataset(
        name,
        tuple(table[text]),
        tuple(map(str, documents)),
        f"Hugging Face {name}",
        str(table.info.license or "see the data set's page"),
        {feature: signs(np.array([str(value) == positive for value in table[label]]))},
    )
    return dataset, Feature(feature, f"{label} is {positive}", "text", ByText(feature), "mean")


def read_address(address: str) -> tuple[Dataset, Feature]:
    """The same from one line: hf://OWNER/NAME?positive=1&label=label&split=train&limit=2000.

    Raises:
        ValueError: as `read_hub`; no `positive`, or an option that there is not.
    """
    parts = urlsplit(address)
    options: dict[str, Any] = dict(parse_qsl(parts.query))
    unknown = sorted(set(options) - set(OPTIONS))
    if unknown or "positive" not in options:
        what = f"no option {unknown[0]!r}" if unknown else "no 'positive', the label that is +1"
        raise ValueError(
            f"{address}: {what}; pass hf://OWNER/NAME?positive=VALUE, with & between any of "
            f"{', '.join(OPTIONS)}"
        )
    if "limit" in options:
        if not options["limit"].isdecimal() or int(options["limit"]) < 1:
            raise ValueError(f"{address}: limit={options['limit']}; pass a number of texts")
        options["limit"] = int(options["limit"])
    return read_hub(parts.netloc + parts.path, **options)
