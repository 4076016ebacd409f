"""COPT behind optprobe's schemes."""

from benchmark_utils import BackedSolver


class Solver(BackedSolver):
    """One tree with lazy cuts; without a licence up to 2000 variables."""

    name = "copt"
    requirements = ["pip::coptpy"]  # noqa: RUF012
