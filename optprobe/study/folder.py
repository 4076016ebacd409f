"""The folder of a study: what is there is not computed again.

DIR/settings.json                        what all results share; another study is refused
DIR/activations/DATASET/                 a store of activations
DIR/results/COLLECTION/FEATURE.L12.json  the probes of one feature on one layer
DIR/certificates/COLLECTION/FEATURE.L12.k3.npz
DIR/table.md, table.parquet              all probes so far
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from optprobe.files import InputError
from optprobe.storage import write_json

if TYPE_CHECKING:
    from optprobe.study.schema import Study

OWN = ("features", "folder", "batch_tokens", "budget")
"""Settings that may change from run to run: results stay true."""


class Folder:
    """Where a study keeps its results.

    Args:
        path: made if need be.
        study: whose results it holds.

    Raises:
        InputError: it holds another study (the first setting that differs is named), or cannot be
            written.
    """

    def __init__(self, path: Path, study: Study) -> None:
        self.path = path
        settings = study.model_dump(mode="json", exclude={*OWN})
        settings["gap"] = study.budget.gap
        try:
            path.mkdir(parents=True, exist_ok=True)
            held = path / "settings.json"
            if not held.exists():
                write_json(held, settings)
            self._same(json.loads(held.read_text("utf-8")), settings)
        except OSError as error:
            raise InputError(f"{path} cannot be written ({error}); pass another --out") from error

    def _same(self, held: dict[str, Any], settings: dict[str, Any]) -> None:
        """Refuse to mix two studies."""
        differing = [key for key in settings if held.get(key) != settings[key]]
        if differing:
            first = differing[0]
            raise InputError(
                f"{self.path} holds a study with another {', '.join(differing)} ({first}: "
                f"{held.get(first)} there, {settings[first]} now); pass another --out"
            )

    def activations(self, dataset: str) -> Path:
        """The store of a data set."""
        return self.path / "activations" / quote(dataset, safe="")

    def result(self, feature: str, layer: int) -> Path:
        """The results of a feature on a layer."""
        return self.path / "results" / f"{_place(feature)}.L{layer}.json"

    def certificate(self, feature: str, layer: int, k: int) -> Path:
        """The proof of one probe."""
        return self.path / "certificates" / f"{_place(feature)}.L{layer}.k{k}.npz"

    def read(self, feature: str, layer: int) -> dict[str, Any] | None:
        """The results that are there, or None.

        Raises:
            InputError: a damaged file.
        """
        path = self.result(feature, layer)
        if not path.exists():
            return None
        try:
            held = json.loads(path.read_text("utf-8"))
            if (held["feature"], held["layer"]) != (feature, layer):
                raise ValueError(f"it is of {held['feature']}, layer {held['layer']}")
            return held
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path} is no result of this study ({error}); remove it, and it is computed again"
            ) from error

    def write(self, record: dict[str, Any]) -> None:
        """Keep the results of a feature on a layer."""
        path = self.result(record["feature"], record["layer"])
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, record)


def _place(feature: str) -> Path:
    """COLLECTION/FEATURE with what a file's name cannot hold escaped."""
    collection, _, name = feature.partition("/")
    return Path(quote(collection, safe=""), quote(name, safe=" =,"))
