"""Gurobi behind optprobe's schemes."""

from benchmark_utils import BackedSolver


class Solver(BackedSolver):
    """One tree with lazy cuts; without a licence up to 2000 variables."""

    name = "gurobi"
    requirements = ["pip::gurobipy"]  # noqa: RUF012
