"""What the suite expects of each backend, and where one is an exception."""

from __future__ import annotations

from dataclasses import dataclass

from optprobe.mip.backends.base import Capability

ONE_TREE = (
    Capability.LAZY_INTEGER
    | Capability.LAZY_FRACTIONAL
    | Capability.MIP_START
    | Capability.INTERRUPT
    | Capability.NODE_LIMIT
)


@dataclass(frozen=True)
class Declared:
    """One backend.

    Attributes:
        package: the Python package it needs.
        capabilities: what it must declare.
        statuses: the module whose LIMIT translates the solver's words.
        columns: candidates that must fit without a licence of one's own; None where all do.
        licence: environment variable that names a licence (a file or, for COPT, a folder); "" where
            there is none to spoil.
        notes: why it differs.
    """

    package: str
    capabilities: Capability
    statuses: str
    columns: int | None = None
    licence: str = ""
    notes: str = ""


DECLARED = {
    "highs": Declared(
        "highspy",
        ONE_TREE,
        "optprobe.mip.multi_tree",
        notes="branch and cut of our own where the master is fractional, else tree after tree",
    ),
    "gurobi": Declared(
        "gurobipy",
        ONE_TREE | Capability.MEMORY_LIMIT,
        "optprobe.mip.backends.gurobi",
        columns=1990,
        licence="GRB_LICENSE_FILE",
    ),
    "scip": Declared("pyscipopt", ONE_TREE | Capability.MEMORY_LIMIT, "optprobe.mip.backends.scip"),
    "copt": Declared(
        "coptpy",
        ONE_TREE,
        "optprobe.mip.backends.copt",
        columns=1990,
        licence="COPT_LICENSE_DIR",
        notes="without its environment variable it starts size-limited instead of refusing",
    ),
    "cplex": Declared(
        "cplex",
        ONE_TREE | Capability.MEMORY_LIMIT,
        "optprobe.mip.backends.cplex",
        columns=990,
        notes="the package reads no licence, so none can be spoilt",
    ),
    "xpress": Declared(
        "xpress",
        ONE_TREE,
        "optprobe.mip.backends.xpress",
        columns=4900,
        licence="XPAUTH_PATH",
        notes="a cut holds in its node's subtree only; the separator finds it again elsewhere",
    ),
}
