"""The filter of a whole layer, device by device: python benchmarks/gpu_filter.py [FILE]

    python benchmarks/gpu_filter.py my_layer.npz --devices host,cuda
    python benchmarks/gpu_filter.py --columns 200 --devices host,cpu

`host` is NumPy and the compiled loops, `cpu` and `cuda` the tensor operations that a problem takes
whose X lives on a GPU. Per device, at the root with nothing fixed, against the objective of
greedy with swaps: seconds to fetch the columns and to make one centre (its two Gram products); to
list the supports that it leaves for k = 3, and for the whole filter with all its centres; what that
leaves; microseconds to fit one of its first centre's supports. For k = 4, seconds of the filter at
the root, and its hubs, the columns that are split on first; then the sum over the nodes that these
make, interpolated from some of them, "open" those that too many supports are left of. Prints a
Markdown table.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from optprobe import demo
from optprobe.engine.leaves import Filter, Filtered, fit_leaf
from optprobe.files import read
from optprobe.heuristics import get_heuristic
from optprobe.machine import in_words, machine
from optprobe.prefilter import best_columns, root_relaxation
from optprobe.problem import Problem
from optprobe.support import fit_support
from optprobe.threads import single_threaded_blas, workers

Value = TypeVar("Value")

FITTED, CHUNK = 4096, 512
"""Supports that are fitted, and so many at once."""

NODES = 6
"""Nodes of the hubs that are filtered, at most."""


def timed(work: Callable[[], Value]) -> tuple[float, Value]:
    """Seconds and what came out."""
    started = time.perf_counter()
    found = work()
    return time.perf_counter() - started, found


class Root:
    """The root of a problem with nothing fixed, and what its search starts from."""

    def __init__(self, problem: Problem) -> None:
        self.rows = problem.rows
        self.Z = problem.data.columns(problem.usable, problem.data.train)
        self.members = np.arange(len(self.Z))
        free = ~problem.data.by.constant
        relaxed = root_relaxation(problem.matrix, problem.rows, problem.k, free, np.inf)
        self.beta, self.intercept = relaxed.beta[0, free], float(relaxed.intercept[0])
        (choice,) = get_heuristic("greedy_swaps").path(problem, [problem.k])
        best = problem.data.columns(choice.support, problem.data.train)
        self.cutoff = float(fit_support(best, problem.rows).primal[0])

    def fetch(self, columns: np.ndarray) -> np.ndarray:
        """A copy of some columns."""
        return self.Z[columns]

    def filter(self, device: torch.device | None) -> Filter:
        """A new filter."""
        return Filter(self.fetch, self.rows, lambda: False, device)


def third(root: Root, device: torch.device | None) -> list[float]:
    """The seconds of k = 3."""
    held, members, none = root.filter(device), root.members, np.empty(0, int)
    theta, offset = np.array([root.intercept]), root.beta
    fetched, free = timed(lambda: held._held_columns(members))
    forced = root.Z[:0]
    held.centres.centre(forced, free, theta, offset, 3, root.cutoff)  # chooses the share
    asked = (forced, free, theta, offset, 3, root.cutoff)
    made, centre = timed(lambda: held.centres.centre(*asked)[0])

    given = centre, len(members), 3, root.cutoff, np.inf
    held._left(*given)  # compiles
    bounded, first = timed(lambda: held._left(*given))
    whole, found = timed(lambda: held(none, members, theta, offset, 3, root.cutoff))
    if first is None or not len(first.sets):
        return [fetched, made, bounded, whole, math.nan, math.nan]
    some = np.linspace(0, len(first.sets) - 1, min(FITTED, len(first.sets))).astype(int)
    supports = first.sets[some]

    def fit() -> None:
        for start in range(0, len(supports), CHUNK):
            part = supports[start : start + CHUNK]
            fit_leaf(held.columns, root.rows, none, part, root.cutoff, held.compiled, None)

    fit()
    fitted = timed(fit)[0] / len(supports)
    count = math.nan if found.left is None else len(found.left)
    return [fetched, made, bounded, whole, count, 1e6 * fitted]


def fourth(root: Root, device: torch.device | None) -> tuple[float, int, float, int]:
    """k = 4: seconds and hubs of the root, seconds of its nodes, and those that stay open."""
    held, members, theta = root.filter(device), root.members, np.array([root.intercept])
    held._held_columns(members)

    def whole(chosen: np.ndarray, free: np.ndarray) -> tuple[float, Filtered]:
        own = np.append(root.beta[chosen], theta)
        return timed(lambda: held(chosen, free, own, root.beta[free], 4 - len(chosen), root.cutoff))

    seconds, found = whole(members[:0], members)
    hubs = found.hubs
    if not len(hubs):
        return seconds, 0, 0.0, int(found.left is None)
    places = np.unique(np.linspace(0, len(hubs) - 1, NODES).astype(int))
    nodes = [(hubs[[place]], np.setdiff1d(members, hubs[: place + 1])) for place in places]
    whole(*nodes[-1])  # chooses the share
    spent = [whole(*node) for node in nodes]
    rest, left = whole(members[:0], np.setdiff1d(members, hubs))
    still_open = sum(node.left is None for _, node in [*spent, (rest, left)])
    between = np.interp(np.arange(len(hubs)), places, [passed for passed, _ in spent])
    return seconds, len(hubs), float(between.sum()) + rest, still_open


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("file", type=Path, nargs="?", help="default: the packaged activations")
    options.add_argument("--columns", type=int, help="the best so many; default: all of them")
    options.add_argument("--lam", type=float, default=0.01)
    options.add_argument("--devices", help="of host, cpu, cuda; default: host, and cuda if there")
    asked = options.parse_args()
    torch.set_num_threads(workers())
    with_gpu = torch.cuda.is_available()
    names = (asked.devices or ("host,cuda" if with_gpu else "host")).split(",")
    activations = demo.activations() if asked.file is None else read(asked.file)
    problem = activations.problem(k=3, lam=asked.lam)
    if asked.columns is not None:
        kept = best_columns(problem, asked.columns)
        activations = replace(activations, X=activations.X[:, kept], names=None)
        problem = activations.problem(k=3, lam=asked.lam)
    print(in_words(machine(["optprobe", "numpy", "numba", "torch"])) + f", {workers()} threads")
    if with_gpu:
        print(f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}")
    print(f"\n{len(problem.weights)} rows, {len(problem.usable)} columns, lam = {asked.lam:g}\n")
    print("| device | fetch | centre | supports, k = 3 | filter, k = 3 | left | us a fit ", end="")
    print("| root, k = 4 | hubs | nodes | open |\n|" + "---|" * 11)
    with single_threaded_blas():
        roots = [Root(problem.with_k(k)) for k in (3, 4)]
        for name in names:
            device = None if name == "host" else torch.device(name)
            fetched, made, bounded, whole, left, fit = third(roots[0], device)
            root, hubs, nodes, still_open = fourth(roots[1], device)
            print(f"| {name} | {fetched:.2f} | {made:.2f} | {bounded:.2f} | {whole:.2f} ", end="")
            print(f"| {left:.0f} | {fit:.0f} | {root:.2f} | {hubs} | {nodes:.1f} ", end="")
            print(f"| {still_open} |")


if __name__ == "__main__":
    main()
