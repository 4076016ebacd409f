"""SCIP behind optprobe's schemes."""

from benchmark_utils import BackedSolver


class Solver(BackedSolver):
    """One tree with a constraint handler."""

    name = "scip"
    requirements = ["pip::pyscipopt"]  # noqa: RUF012
