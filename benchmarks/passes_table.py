"""What one pass over a layer costs: python benchmarks/passes_table.py [FILE ...]

Seconds of every ranking on all rows of a file (the test rows too), of the exact probe on every
single neuron, and of the local search for one k at a time. Without FILE the packaged activations
are measured. The medians of --repeat runs are printed as Markdown.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import numpy as np

from optprobe.files import read
from optprobe.heuristics import HEURISTICS
from optprobe.machine import in_words, machine
from optprobe.neurons import rank_neurons
from optprobe.problem import Problem

PACKAGED = Path(str(files("optprobe"))) / "data" / "digit_L01.npz"

RANKINGS = ("mean_difference", "f_statistic", "correlation", "l2_logistic", "svm", "random")
"""Those that are to take 2 s together on 6000 rows x 1536 columns."""

SLOW = ("l1_logistic", "mutual_information")
"""Those that are not."""


def seconds(work: Callable[[], object], repeat: int) -> float:
    """The median duration of some calls."""
    taken: list[float] = []
    for _ in range(repeat):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


def rankings(problem: Problem, repeat: int) -> None:
    """Every ranking up to k = 8, and the exact single neurons."""
    print(f"\n{len(problem.weights)} rows x {problem.d} columns, ridge {problem.lam:g}\n")
    print("| method | s |\n|---|---|")
    total = 0.0
    for name in (*RANKINGS, *SLOW):
        path = HEURISTICS[name].path
        path(problem.with_k(1), [1])  # imports and the standardised columns
        taken = seconds(lambda path=path: path(problem, [1, 2, 4, 8]), repeat)
        total += taken if name in RANKINGS else 0.0
        print(f"| {name} | {taken:.3f} |")
    print(f"| the first {len(RANKINGS)} together | {total:.3f} |")
    print(f"| k = 1 exactly, every neuron | {seconds(lambda: rank_neurons(problem), repeat):.3f} |")


def searches(problem: Problem, repeat: int) -> None:
    """The local search on the training rows, for one k at a time."""
    search = HEURISTICS["local_search"].path
    taken = [seconds(lambda k=k: search(problem, [k]), repeat) for k in range(1, 9)]
    print(f"| {problem.lam:g} | " + " | ".join(f"{one:.2f}" for one in taken) + " |")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, default=[PACKAGED])
    parser.add_argument("--ridges", default="0.1,0.01")
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    lams = [float(word) for word in arguments.ridges.split(",")]
    print(in_words(machine(("numpy", "scipy", "scikit-learn"))))
    for path in arguments.files:
        held = read(path)
        print(f"\n### {path.stem}")
        for lam in lams:
            rankings(Problem.of(held.X, held.y, k=8, lam=lam), arguments.repeat)
        print("\nLocal search, s for each k\n")
        print("| ridge | " + " | ".join(map(str, np.arange(1, 9))) + " |\n" + "|---" * 9 + "|")
        for lam in lams:
            searches(held.problem(k=8, lam=lam), arguments.repeat)


if __name__ == "__main__":
    main()
