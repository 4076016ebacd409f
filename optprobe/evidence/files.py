"""Neuron evidence on disk.

DIR/evidence.json     histogram, contexts, tokens, effects: everything but the rows
DIR/rows.parquet      one row per stored row: where it lies, label, activation, losses
DIR/evidence.png      histogram, effects, tokens
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from optprobe.evidence.api import Evidence
from optprobe.evidence.figure import draw
from optprobe.storage import write_json, write_parquet

FILES = ("evidence.json", "rows.parquet", "evidence.png")

COLUMNS = {
    "text": "int64", "position": "int64", "token": "int64", "start": "int64", "stop": "int64",
    "label": "int64", "activation": "float64",
    "loss": "float64", "loss_zero": "float64", "loss_mean": "float64",
}  # fmt: skip
"""Columns of rows.parquet; losses are null where the text was not run."""

LOSSES = {"loss": "as it is", "loss_zero": "zero", "loss_mean": "mean"}


def write_evidence(folder: Path, found: Evidence) -> None:
    """Write the three files; the folder is made if need be.

    Raises:
        OSError: it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "evidence.json", record(found))
    write_parquet(folder / "rows.parquet", _rows(found), COLUMNS)
    draw(folder / "evidence.png", found)


def record(found: Evidence) -> dict[str, Any]:
    """Everything but the rows as plain JSON values."""
    return {
        "model": found.model,
        "neuron": found.neuron.name,
        "site": found.neuron.site,
        "feature": found.feature,
        "rows": len(found.values),
        "mean": found.mean,
        "histogram": {
            "edges": found.histogram.edges.tolist(),
            "negative": found.histogram.negative.tolist(),
            "positive": found.histogram.positive.tolist(),
        },
        "effects": [asdict(effect) for effect in found.effects],
        "promotes": [asdict(token) for token in found.promotes],
        "suppresses": [asdict(token) for token in found.suppresses],
        "top": [asdict(context) for context in found.top],
        "bottom": [asdict(context) for context in found.bottom],
    }


def _rows(found: Evidence) -> list[dict[str, Any]]:
    """One flat record per stored row."""
    facts = found.rows
    columns: dict[str, list[Any]] = {
        name: getattr(facts, name).tolist()
        for name in ("text", "position", "token", "start", "stop")
    }
    columns |= {"label": found.labels.tolist(), "activation": found.values.tolist()}
    for name, key in LOSSES.items():
        if key in found.losses:
            values = found.losses[key]
            columns[name] = [None if np.isnan(value) else float(value) for value in values]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
