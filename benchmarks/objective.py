"""The k-sparse probe as a benchopt objective: lower is better, and a gap says how far it may be."""

from __future__ import annotations

from benchopt import BaseObjective

from optprobe.problem import Problem


class Objective(BaseObjective):
    """f(beta, b) = sum_i w_i l(y_i (z_i . beta + b)) + (lam/2) |beta|^2  s.t. |beta|_0 <= k.

    The value is recomputed from the data for the support and coefficients that a solver hands in;
    the bound is the solver's claim.
    """

    name = "k-sparse probe"
    min_benchopt_version = "1.10"
    sampling_strategy = "run_once"
    parameters = {  # noqa: RUF012
        "loss": ["logistic"],
        "lam": [0.1],
        "k": [4],
        "candidates": [50],
    }
    test_dataset_name = "synthetic"

    def set_data(self, activations, weights, seed) -> None:
        """Make the problem of a dataset's rows."""
        self.problem: Problem = activations.problem(
            k=self.k, lam=self.lam, loss=self.loss, weights=weights
        )
        self.seed = seed

    def get_objective(self) -> dict:
        """What a solver is given."""
        return {"problem": self.problem, "candidates": self.candidates, "seed": self.seed}

    def evaluate_result(self, support, beta, intercept, lower, nodes) -> dict:
        """Objective and claimed gap."""
        value = self.problem.objective(support, beta, intercept)
        gap = max(value - lower, 0.0) / max(abs(value), 1e-12)
        return {"value": value, "claimed_gap": gap, "support_size": len(support), "nodes": nodes}

    def get_one_result(self) -> dict:
        """The empty probe."""
        nothing = self.problem.usable[:0]
        return {
            "support": nothing, "beta": nothing.astype(float), "intercept": 0.0, "lower": 0.0,
            "nodes": 0,
        }  # fmt: skip
