"""HiGHS behind optprobe's schemes."""

from benchmark_utils import BackedSolver


class Solver(BackedSolver):
    """One tree after another; on wide gaps our branch and cut on its linear programs."""

    name = "highs"
    requirements = ["pip::highspy"]  # noqa: RUF012
