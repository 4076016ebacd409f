"""The probes of a study as one table: per feature and layer a row for each k."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from optprobe.storage import write_parquet, write_text

COLUMNS = {
    "feature": "string", "layer": "int64", "k": "int64", "method": "string",
    "objective": "float64", "lower": "float64", "gap": "float64", "certified": "bool",
    "scope": "string", "status": "string", "limit": "string", "nodes": "int64",
    "seconds": "float64", "rows": "int64", "positives": "int64", "test_rows": "int64",
    "columns": "int64", "test_f1": "float64", "test_pr_auc": "float64", "test_roc_auc": "float64",
    "test_mcc": "float64", "support": "list", "names": "string", "certificate": "string",
    "data": "string",
}  # fmt: skip
"""Of table.parquet. `lower` and `gap` are the checker's, `certified` says that the gap asked for
is verified, `names` has spaces between; test metrics are null without held-out rows of both
classes."""

HEADS = (
    "feature", "layer", "k", "objective", "verified gap", "test F1", "PR-AUC", "seconds",
    "status", "support",
)  # fmt: skip
"""Of the table for people."""


def rows(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One flat row per probe, with the columns `COLUMNS`."""
    found: list[dict[str, Any]] = []
    for record in records:
        for probe in record["probes"]:
            row = {key: record.get(key, probe.get(key)) for key in COLUMNS}
            row |= {f"test_{name}": value for name, value in (probe["test"] or {}).items()}
            found.append({key: row[key] for key in COLUMNS} | {"names": " ".join(probe["names"])})
    return found


def cells(row: dict[str, Any]) -> list[str]:
    """A row in words, under `HEADS`."""
    return [
        row["feature"],
        str(row["layer"]),
        str(row["k"]),
        f"{row['objective']:.6f}",
        "-" if row["gap"] is None else f"{100.0 * max(row['gap'], 0.0):.4f} %",
        *("-" if row[key] is None else f"{row[key]:.3f}" for key in ("test_f1", "test_pr_auc")),
        "-" if row["seconds"] is None else f"{row['seconds']:.2f}",
        status(row),
        row["names"],
    ]


def status(row: dict[str, Any]) -> str:
    """How far a probe may be trusted."""
    if row["certified"]:
        return "certified" if row["scope"] == "all columns" else "certified among candidates"
    return row["method"] if row["status"] is None else f"stopped: {row['limit']}"


def write_tables(folder: Path, records: Sequence[dict[str, Any]]) -> None:
    """table.md and table.parquet."""
    found = rows(records)
    lines = [HEADS, ["---"] * len(HEADS), *(cells(row) for row in found)]
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    write_text(folder / "table.md", text + "\n")
    write_parquet(folder / "table.parquet", found, COLUMNS)
