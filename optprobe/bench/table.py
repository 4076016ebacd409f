"""Records as tables: results.parquet, a row per run; traces.parquet, a row per point."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from optprobe.bench.instances import Instance
from optprobe.bench.runs import Outcome, Record
from optprobe.run import REFUTED
from optprobe.storage import require_package, write_parquet

Row = dict[str, Any]

COLUMNS: dict[str, str] = {
    "run": "string", "instance": "string", "instance_name": "string", "seed": "int64",
    "source": "string", "rows": "int64", "columns": "int64", "searched": "int64",
    "loss": "string", "lam": "float64", "k": "int64",
    "solver": "string", "method": "string", "backend": "string", "formulation": "string",
    "repetition": "int64", "gap_asked": "float64", "time_limit": "float64", "threads": "int64",
    "memory_gb": "float64",
    "outcome": "string", "detail": "string", "status": "string", "limit": "string",
    "solver_seconds": "float64", "proof_seconds": "float64", "check_seconds": "float64",
    "wall_seconds": "float64", "cpu_seconds": "float64", "peak_memory_mb": "float64",
    "nodes": "int64", "objective": "float64",
    "claimed_lower": "float64", "claimed_upper": "float64", "claimed_gap": "float64",
    "verified_lower": "float64", "verified_upper": "float64", "verified_gap": "float64",
    "recovered": "float64", "support": "list", "exit_code": "int64", "started": "string",
    "output": "string",
}  # fmt: skip
"""Columns of results.parquet and their types; what a run does not have is null."""

SAME_NAME = (
    "run", "repetition", "rows", "columns", "searched", "outcome", "detail", "status", "limit",
    "solver_seconds", "proof_seconds", "check_seconds", "wall_seconds", "cpu_seconds",
    "peak_memory_mb", "nodes", "objective", "recovered", "support", "exit_code", "started",
    "output",
)  # fmt: skip
"""Keys that a record and a row share."""


def require_pyarrow() -> None:
    """Raise ValueError, with what to do, where pyarrow is missing."""
    require_package("pyarrow", "the benchmark", "bench")


def rows(records: Iterable[Record]) -> list[Row]:
    """One row a record; a claim that another solver's support disproves becomes "refuted"."""
    found = [_row(record) for record in records]
    by_instance: defaultdict[str, list[Row]] = defaultdict(list)
    for row in found:
        by_instance[row["instance"]].append(row)
    for group in by_instance.values():
        _refute(group)
    return found


def _row(record: Record) -> Row:
    """The columns of one record."""
    instance = Instance.from_json(record["instance"])
    solver, settings = record["solver"], record["settings"]
    row: Row = dict.fromkeys(COLUMNS)
    row |= {key: record.get(key) for key in SAME_NAME}
    row |= {
        "instance": instance.id,
        "instance_name": instance.name,
        "seed": instance.seed,
        "source": instance.source.kind,
        "loss": instance.loss,
        "lam": instance.lam,
        "k": instance.k,
        "solver": solver["name"],
        "method": solver["method"],
        "backend": solver["backend"],
        "formulation": solver["formulation"],
        "gap_asked": settings["gap"],
        "time_limit": settings["time_limit"],
        "threads": settings["threads"],
        "memory_gb": settings["memory_gb"],
    }
    for kind in ("claimed", "verified"):
        bounds = record.get(kind) or {}
        row |= {f"{kind}_{end}": bounds.get(end) for end in ("lower", "upper", "gap")}
    return row


def _refute(group: Sequence[Row]) -> None:
    """Compare every claimed bound with the best support that any run found for the instance."""
    found = [row for row in group if row["support"] is not None]
    if not found:
        return
    best = min(found, key=lambda row: row["objective"])
    value = best["objective"]
    for row in group:
        lower = row["claimed_lower"]
        if lower is not None and lower > value + REFUTED * abs(value):
            row["outcome"] = str(Outcome.REFUTED)
            row["detail"] = (
                f"claimed that no support is better than {lower:.9g}, but {best['solver']} found "
                f"{value:.9g}"
            )


TRACE = {"run": "string", "seconds": "float64", "lower": "float64", "upper": "float64"}
"""Columns of traces.parquet."""


def write_tables(
    folder: Path,
    records: Sequence[Record],
    table: Sequence[Row],
    columns: Mapping[str, str] = COLUMNS,
) -> None:
    """results.parquet with these columns, and traces.parquet (run, seconds, lower, upper)."""
    points = [
        {"run": record["run"], **point} for record in records for point in record.get("trace", [])
    ]
    write_parquet(folder / "results.parquet", table, columns)
    write_parquet(folder / "traces.parquet", points, TRACE)
