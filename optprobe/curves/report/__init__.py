"""A curve on disk: curve.json, curve.parquet, curve.png and curve.html."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from optprobe.curves.result import COLUMNS, Curve
from optprobe.machine import machine
from optprobe.storage import finite, require_package, write_json, write_parquet

FILES = ("curve.json", "curve.parquet", "curve.png", "curve.html")

PACKAGES = (
    "optprobe", "numpy", "scipy", "scikit-learn", "torch", "abess", "fasterrisk", "skglm",
    "transformer-lens",
)  # fmt: skip
"""Whose versions the heuristics depend on."""


def require_packages() -> None:
    """Raise ValueError, with what to do, where plotly or pyarrow is missing."""
    for package in ("plotly", "pyarrow"):
        require_package(package, "the report of a curve", "curve")


def write_report(folder: Path, curve: Curve) -> None:
    """All four files, each whole or not at all.

    Raises:
        ValueError: plotly or pyarrow is missing.
    """
    from optprobe.curves.report.page import write_html
    from optprobe.curves.report.png import write_png
    from optprobe.curves.report.text import notes

    require_packages()
    held = finite(asdict(curve)) | {"notes": notes(curve), "machine": machine(PACKAGES)}
    write_json(folder / "curve.json", held)
    write_parquet(folder / "curve.parquet", curve.rows(), COLUMNS)
    if curve.points:
        write_png(folder / "curve.png", curve)
        write_html(folder / "curve.html", curve)
