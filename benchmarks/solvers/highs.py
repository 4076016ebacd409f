"""HiGHS behind optprobe's schemes."""

from benchmark_utils import BackedSolver


class Solver(BackedSolver):
    """Several trees, each cut at what the one before it found."""

    name = "highs"
    requirements = ["pip::highspy"]  # noqa: RUF012
