"""Small benchmark runs, and what they left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer
from typer.testing import CliRunner

from optprobe.bench.instances import Instance, Synthetic
from optprobe.cli.bench import bench

APP = typer.Typer()
APP.command()(bench)

SMALL = Synthetic(60, 7, relevant=2, rho=0.5, snr=2.0, placement="equal")
TINY = Instance(SMALL, "logistic", 0.1, k=2, candidates=None, seed=0)

MACHINE = {
    "processor": "abacus", "cores": 1, "memory_gb": 1.0, "python": "3", "packages": {"numpy": "2"},
}  # fmt: skip

GRID = """
[[synthetic]]
n = 60
d = 7
relevant = 2
snr = 2
loss = ["hinge", "logistic"]
"""


def run(*arguments: object):
    return CliRunner().invoke(APP, [str(part) for part in arguments])


def text_file(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def records(out: Path) -> dict[str, dict[str, Any]]:
    return {path.name: json.loads(path.read_text()) for path in sorted((out / "runs").iterdir())}
