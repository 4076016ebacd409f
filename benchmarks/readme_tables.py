"""The tables of the README: python benchmarks/readme_tables.py [FILE ...] > tables.md

Without FILE the packaged activations are measured. Prints Markdown with the machine at the top.
Times are wall-clock seconds of one run each, on an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np

from optprobe.files import read
from optprobe.losses import LOSSES
from optprobe.machine import in_words, machine
from optprobe.problem import Problem
from optprobe.solver import solve_path
from optprobe.support import fit_support
from optprobe.verdict import judge

PACKAGED = Path(str(files("optprobe"))) / "data" / "digit_L01.npz"

PATHS = (
    # candidates, ridge, ks
    (None, 1.0, tuple(range(1, 9))),
    (None, 0.1, (1, 2, 4)),
    (50, 0.01, (1, 2, 3)),
)


def problem_of(path: Path, lam: float) -> Problem:
    """The file's problem with logistic loss and balanced weights; k is set later."""
    held = read(path)
    return Problem.of(
        held.X, held.y, k=1, lam=lam, names=held.names, test=held.test, groups=held.groups
    )


def engine_table(path: Path) -> None:
    """Paths over k with the native engine, each certificate checked."""
    print("\n| columns | lam | k | nodes | solve, s | verified gap | certificate | check, s |")
    print("|---|---|---|---|---|---|---|---|")
    for candidates, lam, ks in PATHS:
        problem = problem_of(path, lam)
        total_solve = total_check = 0.0
        for result in solve_path(problem, ks, candidates=candidates, check=False):
            assert result.certificate is not None
            started = time.perf_counter()
            verdict = judge(problem.with_k(result.k), result.certificate)
            checked = time.perf_counter() - started
            total_solve, total_check = total_solve + result.time_s, total_check + checked
            gap = f"{verdict.gap:.1e}" if verdict.valid else "refused"
            print(
                f"| {candidates or problem.d} | {lam:g} | {result.k} | {result.nodes} "
                f"| {result.time_s:.2f} | {gap} | {result.certificate.size / 1e3:.0f} kB "
                f"| {checked:.2f} |",
                flush=True,
            )
        print(f"| | {lam:g} | together | | {total_solve:.2f} | | | {total_check:.2f} |")


def fit_table(path: Path) -> None:
    """Fits on one fixed support of the file, from zero coefficients: medians of nine."""
    print("\n| loss, lam = 0.01 | k | fit, ms | relative duality gap |")
    print("|---|---|---|---|")
    rng = np.random.default_rng(0)
    for loss in LOSSES:
        problem = replace(problem_of(path, 0.01), loss_name=loss)
        for k in (4, 10, 64):
            support = np.sort(rng.permutation(problem.usable)[:k])
            columns = problem.data.columns(support, problem.data.train)
            seconds = []
            for _ in range(9):
                started = time.perf_counter()
                fits = fit_support(columns, problem.rows)
                seconds.append(time.perf_counter() - started)
            milliseconds = 1e3 * statistics.median(seconds)
            print(f"| {loss} | {k} | {milliseconds:.1f} | {max(fits.gap[0], 0.0):.0e} |")


def run(arguments: list[str]) -> tuple[float, float]:
    """Wall-clock seconds and peak resident megabytes of `python -m optprobe.cli ARGUMENTS`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    started = time.perf_counter()
    command = [sys.executable, "-m", "optprobe.cli", *arguments]
    subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seconds = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return seconds, max(before, after) / 1024.0


def process_table(path: Path) -> None:
    """Start-up times (medians of five) and peak memory of whole processes."""
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "small.npz"
        rng = np.random.default_rng(0)
        X = rng.standard_normal((200, 20))
        np.savez(small, X=X, y=X[:, 0] + rng.standard_normal(200) > 0)
        helps = statistics.median(run(["--help"])[0] for _ in range(5))
        solves = statistics.median(run(["solve", str(small), "--k", "2"])[0] for _ in range(5))
    _, peak = run(["solve", str(path), "--k", "1,2,4", "--ridge", "0.1"])
    held = read(path)
    single = 4.0 * held.X.size / 2**20
    print("\n| process | measured | target |")
    print("|---|---|---|")
    print(f"| `optprobe --help` | {helps:.2f} s | 0.5 s |")
    print(f"| `optprobe solve` on 200 x 20 | {solves:.2f} s | 2 s |")
    print(
        f"| peak memory of `optprobe solve --k 1,2,4 --ridge 0.1` | {peak:.0f} MB "
        f"| 2 x {single:.0f} MB (X in float32) + 500 MB |"
    )


def main() -> None:
    """Measure every file and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, default=[PACKAGED])
    print(f"Machine: {in_words(machine(('numpy', 'highspy', 'gurobipy')))}")
    for path in parser.parse_args().files:
        held = read(path)
        print(f"\n### {path.stem}: {held.X.shape[0]} rows x {held.X.shape[1]} neurons")
        process_table(path)
        fit_table(path)
        engine_table(path)


if __name__ == "__main__":
    main()
