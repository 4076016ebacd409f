"""The MIP solvers by name. A new one is a file with a `BACKEND` and a line in `BACKENDS`."""

from __future__ import annotations

import importlib

from optprobe.mip.backends.base import Availability, Backend

BACKENDS = {
    "highs": "optprobe.mip.backends.highs",
    "gurobi": "optprobe.mip.backends.gurobi",
    "scip": "optprobe.mip.backends.scip",
    "copt": "optprobe.mip.backends.copt",
    "cplex": "optprobe.mip.backends.cplex",
    "xpress": "optprobe.mip.backends.xpress",
}
"""Name -> module; a solver's own package is imported when it is asked for."""


def get_backend(name: str) -> Backend:
    """The backend of that name; ValueError names the choices."""
    if name not in BACKENDS:
        raise ValueError(f"unknown backend {name!r}; choose one of {', '.join(BACKENDS)}")
    return importlib.import_module(BACKENDS[name]).BACKEND


def backend_table() -> list[Availability]:
    """Every backend, installed or not."""
    return [get_backend(name).available() for name in BACKENDS]
