"""Xpress behind optprobe's schemes."""

from benchmark_utils import BackedSolver


class Solver(BackedSolver):
    """Without a licence up to 5000 rows and columns."""

    name = "xpress"
    requirements = ["pip::xpress"]  # noqa: RUF012
