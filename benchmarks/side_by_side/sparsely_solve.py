"""sparsely on one problem: .venv-peers/bin/python sparsely_solve.py TASK.npz

Its classifier solves our problem for a given k, by cuts and CBC, with gamma = 1 / (n lam) and rows
of equal weight. What its cutting planes know at each of their steps is reported as they go. Its
cuts  f(round(s)) + g . (x - s)  hold at integer s only, but it starts from s_j = 1/2 outside its
first guess and halves steps later on: its bounds can be false, and are passed on as they are.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import sparsely.base
from exchange import Reporter, Task
from halfspace import Model
from sparsely import SparseLinearClassifier

Array = np.ndarray


class TimeUpError(Exception):
    """Ends the cutting planes from inside their objective."""


def watched(report: Reporter, p: int, scale: float | None) -> type[Model]:
    """Its model class, with a clock, reporting to `report`.

    Args:
        report: takes lines.
        p: columns; they are the model's first variables.
        scale: of its objective over ours, None where its rows weigh otherwise than ours.
    """

    class Watched(Model):
        def add_objective_term(self, var, func, grad):
            return super().add_objective_term(var=var, func=self._timed(func), grad=grad)

        def optimize(self):
            status = super().optimize(max_seconds_per_iter=report.limit)
            self.tell()
            report.end("optimal" if self._closed() else "its iterations are used up")
            return status

        def _closed(self) -> bool:
            return self.gap <= self.max_gap or self.gap_abs <= self.max_gap_abs

        def _timed(self, func: Callable) -> Callable:
            def timed(selected: Array):
                self.tell()
                if report.left <= 0.0:
                    report.end("time")
                    raise TimeUpError
                return func(selected)

            return timed

        def tell(self) -> None:
            """A line, once there is a solution."""
            if self.best_solution:
                chosen = [self.best_solution[var] > 0.5 for var in self._model.vars[:p]]
                lower = -np.inf if scale is None else float(self.best_bound) / scale
                report.tell(lower, np.flatnonzero(chosen))

    return Watched


def main(path: Path) -> None:
    """Fit; warm up on a corner of the data first."""
    task = Task.read(path)
    n, Z = len(task.y), np.ascontiguousarray(task.Z.T, float)
    labels = (task.y > 0).astype(int)
    warnings.simplefilter("ignore")  # of scikit-learn, about arguments that sparsely passes

    def model(k: int) -> SparseLinearClassifier:
        return SparseLinearClassifier(
            k=k, gamma=1.0 / (n * task.lam), normalize=False, tol=task.gap, random_state=task.seed
        )

    model(1).fit(Z[:, :2], labels)
    report = Reporter(task)
    sparsely.base.Model = watched(report, len(task.Z), n if task.uniform else None)
    try:
        model(task.k).fit(Z, labels)
    except TimeUpError:
        return


if __name__ == "__main__":
    main(Path(sys.argv[1]))
