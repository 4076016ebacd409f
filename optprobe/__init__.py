"""optprobe: provably optimal k-sparse probes, with certificates that anybody can check."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optprobe.checker import verify
    from optprobe.estimators import SparseProbeClassifier, SparseProbeCV, SparseProbeRegressor
    from optprobe.problem import Problem
    from optprobe.result import Bounds, Limit, Limits, Result, Status
    from optprobe.solver import solve, solve_path

__version__ = "0.1.0"

__all__ = [
    "Bounds",
    "Limit",
    "Limits",
    "Problem",
    "Result",
    "SparseProbeCV",
    "SparseProbeClassifier",
    "SparseProbeRegressor",
    "Status",
    "solve",
    "solve_path",
    "verify",
]

_HOME = {
    "Problem": "problem",
    "Bounds": "result",
    "Limit": "result",
    "Limits": "result",
    "Result": "result",
    "SparseProbeCV": "estimators",
    "SparseProbeClassifier": "estimators",
    "SparseProbeRegressor": "estimators",
    "Status": "result",
    "solve": "solver",
    "solve_path": "solver",
    "verify": "checker",
}


def __getattr__(name: str) -> Any:
    """Import on first use, so that `import optprobe` costs nothing."""
    if name in _HOME:
        return getattr(importlib.import_module(f"optprobe.{_HOME[name]}"), name)
    raise AttributeError(f"module 'optprobe' has no attribute {name!r}")
