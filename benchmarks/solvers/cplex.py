"""CPLEX behind optprobe's schemes."""

from benchmark_utils import BackedSolver


class Solver(BackedSolver):
    """Without a licence up to 1000 variables and rows."""

    name = "cplex"
    requirements = ["pip::cplex"]  # noqa: RUF012
