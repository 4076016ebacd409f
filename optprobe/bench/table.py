"""Records as tables: results.parquet, a row per run; traces.parquet, a row per point."""

from __future__ import annotations

import importlib.util
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optprobe.bench.instances import Instance
from optprobe.bench.runs import Outcome, Record
from optprobe.run import REFUTED

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]

COLUMNS: dict[str, str] = {
    "run": "string", "instance": "string", "instance_name": "string", "seed": "int64",
    "source": "string", "rows": "int64", "columns": "int64", "searched": "int64",
    "loss": "string", "lam": "double", "k": "int64",
    "solver": "string", "method": "string", "backend": "string", "formulation": "string",
    "repetition": "int64", "gap_asked": "double", "time_limit": "double", "threads": "int64",
    "memory_gb": "double",
    "outcome": "string", "detail": "string", "status": "string", "limit": "string",
    "solver_seconds": "double", "proof_seconds": "double", "check_seconds": "double",
    "wall_seconds": "double", "cpu_seconds": "double", "peak_memory_mb": "double",
    "nodes": "int64", "objective": "double",
    "claimed_lower": "double", "claimed_upper": "double", "claimed_gap": "double",
    "verified_lower": "double", "verified_upper": "double", "verified_gap": "double",
    "recovered": "double", "support": "list", "exit_code": "int64", "started": "string",
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
    if importlib.util.find_spec("pyarrow") is None:
        raise ValueError(
            'the benchmark needs pyarrow; install it with: pip install "optprobe[bench]"'
        )


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


def write_parquet(folder: Path, records: Sequence[Record], table: Sequence[Row]) -> None:
    """results.parquet and traces.parquet (run, seconds, lower, upper)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {"list": pa.list_(pa.int64())}
    schema = pa.schema(
        [(name, types.get(kind) or getattr(pa, _TYPES[kind])()) for name, kind in COLUMNS.items()]
    )
    points = [
        {"run": record["run"], **point} for record in records for point in record.get("trace", [])
    ]
    trace = pa.schema([("run", pa.string()), *((name, pa.float64()) for name in TRACE)])
    for name, held, form in (("results", table, schema), ("traces", points, trace)):
        partial = folder / f"{name}.parquet.partial"
        pq.write_table(_table(held, form), partial)
        partial.replace(folder / f"{name}.parquet")


TRACE = ("seconds", "lower", "upper")
_TYPES = {"string": "string", "int64": "int64", "double": "float64"}


def _table(held: Sequence[Row], schema: Any) -> pa.Table:
    import pyarrow as pa

    return pa.Table.from_pylist(list(held), schema=schema)
