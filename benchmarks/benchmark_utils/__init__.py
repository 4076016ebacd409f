"""What the solver files share."""

from __future__ import annotations

from benchopt import BaseSolver

from optprobe.bench.specs import parse_solver
from optprobe.mip.backends.base import BackendError
from optprobe.result import Limits
from optprobe.solver import solve


class ExactSolver(BaseSolver):
    """A solver of `optprobe bench`: its `spec` there, a time limit and a gap."""

    sampling_strategy = "run_once"
    parameters = {"time_limit": [60.0], "gap": [1e-4]}  # noqa: RUF012

    @property
    def spec(self) -> str:
        """The name under which `optprobe bench` knows it."""
        return self.name

    def set_objective(self, problem, candidates, seed) -> None:
        """Keep the problem and the settings."""
        self.problem, self.candidates, self.seed = problem, candidates, seed

    def skip(self, problem, candidates, seed) -> tuple[bool, str | None]:
        """Skipped where the solver cannot run or refuses the problem; warms it up on the way."""
        self.set_objective(problem, candidates, seed)
        try:
            self._solve(0.0)
        except (BackendError, ValueError) as error:
            return True, str(error)
        return False, None

    def run(self, _) -> None:
        """The solver alone: no proof of its answer, no check."""
        self.result = self._solve(self.time_limit)

    def _solve(self, seconds: float):
        return solve(
            self.problem,
            **parse_solver(self.spec).arguments,
            candidates=self.candidates,
            limits=Limits(gap=self.gap, time_s=seconds),
            seed=self.seed,
            threads=1,
            proof=False,
            check=False,
        )

    def get_result(self) -> dict:
        """The incumbent and the claimed bound."""
        result = self.result
        return {
            "support": result.support,
            "beta": result.beta,
            "intercept": result.intercept,
            "lower": result.claimed.lower,
            "nodes": result.nodes,
        }


class BackedSolver(ExactSolver):
    """A MIP solver: outer approximation, "plain" without its extras, or a formulation by name."""

    parameters = {  # noqa: RUF012
        "scheme": ["outer_approximation"],
        "time_limit": [60.0],
        "gap": [1e-4],
    }

    @property
    def spec(self) -> str:
        """The name under which `optprobe bench` knows it."""
        return self.name if self.scheme == "outer_approximation" else f"{self.name}:{self.scheme}"
