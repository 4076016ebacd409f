"""The native branch and bound."""

from benchmark_utils import ExactSolver


class Solver(ExactSolver):
    """optprobe's own engine; its answer comes with a certificate."""

    name = "native"
