"""A study from its file to its table: capture what is missing, then probe what is missing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optprobe.activations.capture import capture
from optprobe.activations.doors import get_door, layer_sites
from optprobe.activations.manifest import text_digest
from optprobe.activations.shards import LIST
from optprobe.activations.store import Store
from optprobe.features import load_feature
from optprobe.files import InputError
from optprobe.study.folder import Folder
from optprobe.study.probes import layer_problem, probe, settled, solved
from optprobe.study.rows import feature_rows
from optprobe.study.table import write_tables

if TYPE_CHECKING:
    from optprobe.features.base import Dataset, Feature
    from optprobe.study.schema import Study

Log = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """What a run left behind.

    Attributes:
        records: per feature and layer, of this run and of those before.
        left: how many are still to do.
        capture_seconds, probe_seconds: wall-clock of this run.
        solved: nothing is left, and every probe of an exact method is certified.
    """

    records: list[dict[str, Any]]
    left: int
    capture_seconds: float
    probe_seconds: float
    solved: bool


def run_study(study: Study, out: Path, *, log: Log | None = None) -> Outcome:
    """Do what the folder does not hold yet, and write its tables.

    Ctrl-C during the probes ends the run after the current one's incumbent and bound are written;
    during a capture it is a KeyboardInterrupt, and the next run goes on with the store.

    Args:
        study: as `read_study` gives it.
        out: the folder.
        log: takes progress lines.

    Raises:
        ValueError: an unknown feature, model, hook or layer (near ones are named), a feature
            without rows of both classes, or a folder that holds something else.
        ImportError: a package is missing; the message has the pip command.
    """
    told = log or _silent
    folder = Folder(out, study)
    found = study_features(study)
    begun = time.monotonic()
    stores: dict[str, Store] = {}
    for dataset, _ in found:  # one that is there has its texts compared
        stores[dataset.name] = _captured(study, dataset, folder, told)
    captured = time.monotonic()
    deadline = captured + (study.budget.seconds or float("inf"))
    records: list[dict[str, Any]] = []
    left, stopped = 0, False
    for dataset, feature in found:
        store, rows = stores[dataset.name], None
        for layer, site in stored_layers(study, store):
            record = folder.read(feature.name, layer)
            if not settled(record, study.exact, study.budget):
                stopped = stopped or time.monotonic() > deadline
                if not stopped:
                    rows = rows or feature_rows(feature, dataset, store.rows, study.sampling)
                    problem = layer_problem(store, site, rows, study)
                    record = probe(problem, study, folder, feature.name, layer)
                    folder.write(record)
                    told(_line(record))
                    stopped = record["interrupted"]
                left += not settled(record, study.exact, study.budget)
            records += [] if record is None else [record]
    write_tables(out, records)
    return Outcome(
        records,
        left,
        captured - begun,
        time.monotonic() - captured,
        not left and (not study.exact or solved(records)),
    )


def study_features(study: Study) -> list[tuple[Dataset, Feature]]:
    """The features with their texts.

    Raises:
        ValueError: two of one name.
    """
    found = [load_feature(name, study.folder) for name in study.features]
    names = [feature.name for _, feature in found]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two features are called {name}; keep or rename one of them")
    return found


def _captured(study: Study, dataset: Dataset, folder: Folder, log: Log) -> Store:
    """The store of a data set, captured as far as it is not there.

    Raises:
        InputError: the folder holds activations of other texts.
    """
    path = folder.activations(dataset.name)
    if (path / LIST).exists():  # a capture that ended before its first shard has none
        store = Store.open(path)
        if store.manifest.text_digest != text_digest(dataset.texts):
            raise InputError(
                f"{path} holds activations of other texts than {dataset.name} has now; pass "
                "another --out, or remove it"
            )
        if store.finished:
            return store
    log(f"{dataset.name}: {len(dataset.texts)} texts into {path}")
    door = get_door(study.door).open(study.model, device=study.device, revision=study.revision)
    layers = range(door.layers) if study.layers is None else study.layers
    return capture(
        door,
        dataset.texts,
        path,
        sites=layer_sites([study.hook], layers),
        aggregation=study.aggregation,
        dtype=study.dtype,
        batch_tokens=study.batch_tokens,
        max_tokens=study.max_tokens,
        log=log,
    )


def stored_layers(study: Study, store: Store) -> list[tuple[int, str]]:
    """The layers that were captured, with their hook points."""
    before, _, after = study.hook.partition("{l}")
    return [
        (int(site.removeprefix(before).removesuffix(after)), site) for site in store.manifest.sites
    ]


def _line(record: dict[str, Any]) -> str:
    """How the probes of a feature on a layer ended."""
    ends = ", ".join(
        f"k = {one['k']} {'certified' if one['certified'] else one['limit'] or one['method']}"
        for one in record["probes"]
    )
    return f"{record['feature']}, layer {record['layer']}: {ends}"


def _silent(line: str) -> None:
    """Nobody listens."""
