"""El0ps on one problem: .venv-peers/bin/python el0ps_solve.py TASK.npz

Its branch and bound solves  min F(Z beta) + n (lam/2) |beta|^2 + mu |beta|_0; `penalties.py`
looks for the mu whose answer has k columns. Its own logistic datafit has neither weights nor an
intercept, so ours stands in its place, by the interface it has for that purpose.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from el0ps.compilation import CompilableClass
from el0ps.datafit import BaseDatafit
from el0ps.penalty import L2norm
from el0ps.solver import BnbSolver, Status
from el0ps.utils import compute_lmbd_max
from exchange import Reporter, Task
from numba import float64
from penalties import Solved, bound, search

Array = np.ndarray

SHARE = 0.1
"""Of the gap asked for: its gap is relative to the value with the penalty in it."""


class LogisticWithIntercept(CompilableClass, BaseDatafit):
    """F(w) = min_b sum_i c_i log(1 + exp(-y_i (w_i + b))).

    By the envelope theorem its gradient is that of the sum at the best b, and sums to 0; its
    conjugate is the sum's for points that sum to 0, the only ones that El0ps asks for. Its Hessian
    is at most that of the sum, so the Lipschitz constant is max c_i / 4.
    """

    def __init__(self, y: Array, c: Array) -> None:
        self.y = y
        self.c = c
        self.b = np.zeros(1)

    def get_spec(self) -> tuple:
        return (("y", float64[::1]), ("c", float64[::1]), ("b", float64[::1]))

    def params_to_dict(self) -> dict:
        return {"y": self.y, "c": self.c}

    def intercept(self, w: Array) -> float:
        """The best b, by Newton steps from the last one; `self.b` keeps it for the next call."""
        b = self.b[0]
        for _ in range(100):
            slope, curvature = 0.0, 0.0
            for i in range(w.size):
                p = 1.0 / (1.0 + np.exp(self.y[i] * (w[i] + b)))
                slope -= self.c[i] * self.y[i] * p
                curvature += self.c[i] * p * (1.0 - p)
            step = min(max(slope / curvature, -1.0), 1.0)
            b -= step
            if abs(step) < 1e-12:
                break
        self.b[0] = b
        return b

    def value(self, w: Array) -> float:
        b = self.intercept(w)
        return np.sum(self.c * np.log(1.0 + np.exp(-self.y * (w + b))))

    def conjugate(self, u: Array) -> float:
        p = -(u * self.y) / self.c
        if not np.all((p > 0.0) & (p < 1.0)):
            return np.inf
        q = 1.0 - p
        return np.sum(self.c * (p * np.log(p) + q * np.log(q)))

    def gradient(self, w: Array) -> Array:
        b = self.intercept(w)
        return -self.c * self.y / (1.0 + np.exp(self.y * (w + b)))

    def gradient_lipschitz_constant(self) -> float:
        return 0.25 * np.max(self.c)


class BoundedSolver(BnbSolver):
    """El0ps' solver, whose result drops the bound that its tree search knows."""

    def package_results(self, problem, results):
        self.bound = results.bound
        if results.best_node is None:  # time was up before the root had an answer
            return None
        return super().package_results(problem, results)


def warm_up() -> None:
    """Compile everything on a tiny problem: seconds that are not the solver's."""
    rng = np.random.default_rng(0)
    y = np.where(np.arange(40) % 2 > 0, 1.0, -1.0)
    solver = BoundedSolver(time_limit=60.0)
    solver.solve(
        LogisticWithIntercept(y, np.ones(40)), L2norm(1.0), rng.standard_normal((40, 3)), 0.1
    )


def main(path: Path) -> None:
    """Search the penalties until k columns are proved, or time is up."""
    task = Task.read(path)
    warm_up()
    n = len(task.y)
    A = np.asfortranarray(task.Z.T, float)
    datafit = LogisticWithIntercept(task.y.astype(float), n * task.weights)
    ridge = L2norm(0.5 * n * task.lam)
    report = Reporter(task)
    best = np.inf
    at = np.zeros(A.shape[1])

    def solve(penalty: float) -> Solved[Array]:
        nonlocal best, at
        solver = BoundedSolver(relative_gap=SHARE * task.gap, time_limit=max(report.left, 0.0))
        result = solver.solve(datafit, ridge, A, penalty, at)
        if result is None:
            return Solved(0, np.inf, solver.bound, False, np.empty(0, int))
        support = np.flatnonzero(result.x)
        value = result.objective_value - penalty * len(support)
        optimal = result.status == Status.OPTIMAL
        solved = Solved(len(support), value, solver.bound, optimal, support)
        at = np.array(result.x)
        shown = report.support
        if len(support) <= task.k and value < best:
            best, shown = value, support
        report.tell(bound(solved, penalty, task.k) / n, shown)
        return solved

    nothing = datafit.value(np.zeros(n))
    found = search(solve, task.k, nothing, compute_lmbd_max(datafit, ridge, A))
    if found is not None:
        report.end("optimal")
    else:
        report.end("time" if report.left <= 0.0 else f"no penalty has {task.k} columns")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
