"""What something ran on: processor, memory, system and versions."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "optprobe", "numpy", "scipy", "highspy", "gurobipy", "pyscipopt", "coptpy", "cplex", "xpress",
    "pyomo",
)  # fmt: skip
"""Of the exact solvers."""


def machine(packages: Sequence[str] = PACKAGES) -> dict[str, Any]:
    """Facts as JSON values; the version of a package that is not installed is null."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return {
        "processor": _processor(),
        "cores": cores,
        "memory_gb": round(memory, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in packages},
    }


def in_words(facts: dict[str, Any]) -> str:
    """What `machine` found as one line, for the head of a table."""
    versions = ", ".join(f"{name} {found}" for name, found in facts["packages"].items())
    return f"{facts['processor']}, {facts['cores']} cores, Python {facts['python']}, {versions}"


def peak_memory_mb(pid: int | str = "self") -> float | None:
    """Most memory that a running process has held, in 10^6 bytes; None where nobody says.

    Not from `resource`: what it tells of a child includes its parent's memory before the exec.
    """
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text("utf-8"))
    except OSError:
        return None
    return None if found is None else int(found[1]) * 1024.0 / 1e6


def _processor() -> str:
    """The model's name, as the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        found = re.search(r"model name\s*: (.+)", info.read_text(encoding="utf-8"))
        if found:
            return found[1].strip()
    return platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
