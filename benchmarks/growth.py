"""How the native engine's time grows: python benchmarks/growth.py [FILE] [--out growth]

From a base point one of n, d, k and lam is changed at a time. Without FILE the rows are synthetic
(`bench.instances`: rho 0.5, SNR 6, ten relevant columns); of a file, the first n training rows and
the first d usable columns in one random order each (seed 0), so that every smaller problem is part
of the larger ones. Prints a Markdown table with the slope of log(seconds) over log(value) and the
wall, the value at which the time limit came first; draws growth.png. One run each, gap 1e-4, in a
process that has loaded its compiled loops; the proof is written but not checked.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from optprobe.bench.instances import Synthetic
from optprobe.bench.report.figures import new_figure, save, style
from optprobe.bench.worker import COMPILED
from optprobe.files import read
from optprobe.machine import in_words, machine
from optprobe.problem import Problem
from optprobe.result import Limits
from optprobe.solver import solve

RELEVANT = 10
"""Columns behind the synthetic labels."""

FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Of the base point's n and d."""

KS = (1, 2, 3, 4, 5, 6, 8)

LAMS = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003)


@dataclass(frozen=True)
class Point:
    """Rows, columns, k and ridge of one solve."""

    n: int
    d: int
    k: int
    lam: float


class Solved(NamedTuple):
    """One value of an axis: what it took, and the gap that is left."""

    value: float
    seconds: float
    nodes: int
    fits: int
    gap: float
    closed: bool


Make = Callable[[Point], Problem]


def synthetic(loss: str) -> Make:
    """Problems on rows that are made for each n and d."""

    def make(at: Point) -> Problem:
        rows = Synthetic(at.n, at.d, RELEVANT, rho=0.5, snr=6.0, placement="equal").activations(0)
        return rows.problem(k=at.k, lam=at.lam, loss=loss, weights="uniform")

    return make


def part_of(path: Path, loss: str) -> tuple[Make, int, int]:
    """Problems on part of a file; the training rows and usable columns that there are."""
    held = read(path)
    whole = held.problem(k=1, lam=1.0, loss=loss)
    rng = np.random.default_rng(0)
    rows, columns = rng.permutation(whole.data.train), rng.permutation(whole.usable)

    def make(at: Point) -> Problem:
        some = np.sort(rows[: at.n])
        X = held.X[some][:, np.sort(columns[: at.d])]
        return Problem.of(X, held.y[some], k=at.k, lam=at.lam, loss=loss)

    return make, len(rows), len(columns)


def axes(base: Point, rows: int, columns: int) -> dict[str, list[Point]]:
    """The points of each axis, from the easy end to the hard one."""
    return {
        "n": [replace(base, n=n) for n in _within(base.n, rows)],
        "d": [replace(base, d=d) for d in _within(base.d, columns)],
        "k": [replace(base, k=k) for k in KS],
        "lam": [replace(base, lam=lam) for lam in LAMS],
    }


def _within(base: int, most: int) -> list[int]:
    return sorted({min(round(factor * base), most) for factor in FACTORS})


def measure(make: Make, axis: str, points: list[Point], limits: Limits) -> list[Solved]:
    """Solve along an axis, up to the wall."""
    found: list[Solved] = []
    for point in points:
        result = solve(make(point), limits=limits, check=False)
        closed = result.limit is None
        fits = int(result.statistics["supports_fitted"])
        value, gap = getattr(point, axis), result.claimed.gap
        found.append(Solved(value, result.time_s, result.nodes, fits, gap, closed))
        print(f"| {axis} = {value:g} | {result.time_s:.2g} | {result.nodes} | {fits} |", end="")
        print(" |" if closed else f" {100 * gap:.2g} % |", flush=True)
        if not closed:
            break
    return found


def slope(found: list[Solved]) -> float:
    """Of log(seconds) over log(value), by least squares over what was closed; NaN below two."""
    closed = [(np.log(one.value), np.log(one.seconds)) for one in found if one.closed]
    return float(np.polyfit(*np.transpose(closed), 1)[0]) if len(closed) > 1 else float("nan")


def draw(path: Path, title: str, lines: dict[str, list[Solved]], limit: float) -> None:
    """One panel per axis; a cross where the time limit came first."""
    figure = new_figure(3.2 * len(lines), 3.4)
    figure.suptitle(title)
    panels = figure.subplots(1, len(lines), sharey=True, squeeze=False)[0]
    for axes, (axis, found) in zip(panels, lines.items(), strict=True):
        axes.plot(
            [one.value for one in found], [one.seconds for one in found], marker="o", **style(0)
        )
        open_ = [one for one in found if not one.closed]
        axes.plot(
            [one.value for one in open_], [one.seconds for one in open_], "x", ms=11, color="black"
        )
        axes.axhline(limit, color="0.7", lw=0.8)
        axes.set(xscale="log", yscale="log", xlabel=f"{axis}, slope {slope(found):.2g}")
        axes.set_xticks([one.value for one in found], [f"{one.value:g}" for one in found])
        axes.set_xticks([], minor=True)
        if axis == "lam":
            axes.invert_xaxis()
    panels[0].set_ylabel("seconds")
    save(figure, path)


def main() -> None:
    """Measure every axis, print the table and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--rows", type=int, default=1000, help="n of the base point")
    parser.add_argument("--columns", type=int, default=200, help="d of the base point")
    parser.add_argument("--k", type=int, default=3)
    parser.add_argument("--lam", type=float, default=0.03)
    parser.add_argument("--loss", default="logistic")
    parser.add_argument("--time-limit", type=float, default=20.0, help="seconds a solve")
    parser.add_argument("--out", type=Path, default=Path("growth"))
    asked = parser.parse_args()
    if asked.file is None:
        make, rows, columns = synthetic(asked.loss), 2**31, 2**31
    else:
        make, rows, columns = part_of(asked.file, asked.loss)
    base = Point(min(asked.rows, rows), min(asked.columns, columns), asked.k, asked.lam)
    name = "synthetic" if asked.file is None else asked.file.stem
    title = f"{name}, {asked.loss}, from n={base.n}, d={base.d}, k={base.k}, lam={base.lam:g}"
    print(f"{in_words(machine())}\n\n{title}\n")
    solve(COMPILED.problem(), check=False)  # compiles, or loads what was compiled
    print("| | seconds | nodes | fits | gap at the limit |\n|---|---|---|---|---|")
    limits = Limits(gap=1e-4, time_s=asked.time_limit)
    lines = {
        axis: measure(make, axis, points, limits)
        for axis, points in axes(base, rows, columns).items()
    }
    print(f"\n| axis | slope | wall at {asked.time_limit:g} s |\n|---|---|---|")
    for axis, found in lines.items():
        last = found[-1]
        wall = f"none up to {last.value:g}" if last.closed else f"{axis} = {last.value:g}"
        print(f"| {axis} | {slope(found):.2g} | {wall} |")
    asked.out.mkdir(parents=True, exist_ok=True)
    draw(asked.out / "growth.png", title, lines, asked.time_limit)


if __name__ == "__main__":
    main()
