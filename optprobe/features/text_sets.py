"""The labelled text sets of the wheel sae-probes [Kantamneni et al. 2025], one feature each.

Several are the paper's own: 21 compound words, and facts about people from Wikidata. The label
belongs to the whole text; where the paper reads the last token, that token ends the name or word.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from optprobe.features.base import Collection, Dataset
from optprobe.features.rules import signs
from optprobe.features.sources import HOW_TO_GET_WHEEL, read_csv, wheel_folder
from optprobe.features.text_labels import join, text_features

SOURCE = "sae-probes (PyPI)"
LICENCE = "MIT package; each text keeps its own"
POSITIVE = ("1", "True", "yes", "correct", "A", "bigram", "clickbait", "female", "Democratic Party")
"""The positive one of two targets."""

PEOPLE = ("hist_fig_", "wikidata", "athlete_sport_")
FACTS = ("nyc_borough_", "us_state_", "us_timezone_", "world_country_", "art_type_")
CODE = ("code_",)
DISTRIBUTIONS = ("agnews_", "news_class_", "ai_gen", "aimade_")


def is_compound(tag: str) -> bool:
    """The paper's compound words are the only tags with a hyphen."""
    return "-" in tag


def starts_with(prefixes: tuple[str, ...]) -> Callable[[str], bool]:
    """Tags that start with one of these."""
    return lambda tag: tag.startswith(prefixes)


def is_other(tag: str) -> bool:
    """Tags that belong to none of the paper's collections."""
    return not is_compound(tag) and not tag.startswith(PEOPLE + FACTS + CODE + DISTRIBUTIONS)


def installed() -> bool:
    """Whether the wheel is here."""
    return wheel_folder() is not None


def tags() -> dict[str, Path]:
    """Tag -> file of every set with two targets; none without the wheel."""
    folder = wheel_folder()
    if folder is None:
        return {}
    master = read_csv(folder / "probing_datasets_MASTER.csv.zst")
    return {
        row["Dataset Tag"]: folder / f"{row['Dataset save name']}.zst"
        for row in master
        if row["Data type"] == "Binary Classification"
    }


def read(collection: str, wanted: Callable[[str], bool], feature: str | None) -> list[Dataset]:
    """One data set per text set that belongs to a collection, or that of one feature of it.

    A text that occurs twice is one document, so that no split puts it on both sides.
    """
    files = {
        f"{collection}/{tag.replace(' ', '_')}": path for tag, path in tags().items() if wanted(tag)
    }
    if feature in files:
        files = {feature: files[feature]}
    return [_read_one(name, path) for name, path in files.items()]


def collection(name: str, title: str, wanted: Callable[[str], bool]) -> Collection:
    """The text sets of some tags as a collection, read at the last token."""
    return Collection(
        name,
        title,
        SOURCE,
        LICENCE,
        HOW_TO_GET_WHEEL,
        lambda _: installed(),
        lambda _, feature: join(name, read(name, wanted, feature)),
        lambda dataset: text_features(dataset, name, "last"),
    )


def _read_one(name: str, path: Path) -> Dataset:
    rows = read_csv(path)
    targets = sorted({row["target"] for row in rows})
    positive = [target for target in targets if target in POSITIVE]
    if len(targets) != 2 or len(positive) != 1:
        raise ValueError(
            f"{path}: targets {', '.join(targets[:5])}; expected two, one of them among "
            f"{', '.join(POSITIVE)}"
        )
    texts = tuple(row["prompt"] for row in rows)
    first: dict[str, int] = {}
    documents = tuple(f"{name} {first.setdefault(text, i)}" for i, text in enumerate(texts))
    (other,) = set(targets) - set(positive)
    return Dataset(
        name,
        texts,
        documents,
        SOURCE,
        LICENCE,
        {name: signs(np.array([row["target"] == positive[0] for row in rows]))},
        {name: f"target {positive[0]}, not {other}, of {path.name.removesuffix('.csv.zst')}"},
    )
