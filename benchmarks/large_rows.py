"""A million rows: passes over the file, time against a plain read, and peak memory.

    python benchmarks/large_rows.py --rows 1000000 --out /tmp

Writes a memory-mapped float16 file of 1536 correlated columns with a label that a few of them
make, then takes each step in a process of its own: 512 candidates by mean difference, the root
relaxation over all columns with what it fixes, the exact single neuron and the check of its
certificate. A pass is as many rows asked of the file as it has. The file lies in the page cache
throughout, so that times are those of the work and not of the disk; the plain read is the fastest
of three from there. Peak memory includes what of the file is mapped. Prints a Markdown table and
deletes the file.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from optprobe.bounds import DualPoints
from optprobe.prefilter import best_columns, root_relaxation, screen
from optprobe.problem import Problem
from optprobe.solver import solve
from optprobe.support import fit_support
from optprobe.threads import workers
from optprobe.verdict import judge

WIDTH, FACTORS, BLOCK = 1536, 32, 2**14
PLANTED = {100: 1.2, 400: -0.9, 900: 0.7, 1300: 0.5}
K, LAM, CANDIDATES = 4, 0.1, 512


class CountedMap(np.memmap):
    """A memory-mapped file that counts the rows asked of it."""

    rows_read = 0

    def __getitem__(self, key: Any) -> Any:
        """As of any array, which is what comes back."""
        found = self.view(np.ndarray)[key]
        row = key[0] if isinstance(key, tuple) else key
        CountedMap.rows_read += len(found) if isinstance(row, slice) else np.size(row)
        return found


def generate(folder: Path, rows: int) -> None:
    """X = means + scales (F L + noise) in float16, and the label of a logistic model."""
    rng = np.random.default_rng(0)
    X = np.lib.format.open_memmap(folder / "X.npy", "w+", np.float16, (rows, WIDTH))
    loadings = rng.standard_normal((FACTORS, WIDTH), np.float32) / np.sqrt(FACTORS)
    mean, scale = rng.uniform(-1.0, 1.0, WIDTH), rng.uniform(0.2, 2.0, WIDTH)
    columns, effects = np.array(list(PLANTED)), np.array(list(PLANTED.values()))
    y = np.empty(rows, bool)
    for first in range(0, rows, BLOCK):
        part = slice(first, min(first + BLOCK, rows))
        size = part.stop - part.start
        block = rng.standard_normal((size, FACTORS), np.float32) @ loadings
        block += rng.standard_normal((size, WIDTH), np.float32)
        score = block[:, columns] @ effects - 1.0
        y[part] = rng.random(size) < 1.0 / (1.0 + np.exp(-score))
        X[part] = block * scale.astype(np.float32) + mean.astype(np.float32)
    np.save(folder / "y.npy", y)


@dataclass
class Meter:
    """Prints what happened since the last lap."""

    file: Path
    disk_s: float
    cached_s: float
    began: float = 0.0

    def lap(self, step: str, note: str = "") -> None:
        """A row of the table."""
        seconds = time.perf_counter() - self.began
        passes = CountedMap.rows_read / len(np.load(self.file, mmap_mode="r"))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        times = f"{seconds:.1f} | {seconds / self.disk_s:.1f} | {seconds / self.cached_s:.0f}"
        print(f"| {step} | {passes:.1f} | {times} | {peak:.2f} | {note} |")
        CountedMap.rows_read, self.began = 0, time.perf_counter()

    def problem(self, k: int) -> Problem:
        """The problem on the mapped file."""
        X = np.load(self.file, mmap_mode="r").view(CountedMap)
        self.began = time.perf_counter()  # not before: the process has started and imported
        return Problem.of(X, np.load(self.file.with_name("y.npy")), k=k, lam=LAM)


def read(file: Path, cached: bool) -> float:
    """Seconds that every byte takes, four megabytes at a time."""
    room = bytearray(2**22)
    with file.open("rb", buffering=0) as stream:
        if not cached:
            os.fsync(stream.fileno())
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        began = time.perf_counter()
        while stream.readinto(room):
            pass
    return time.perf_counter() - began


def prefilter(meter: Meter) -> None:
    """512 candidates."""
    problem = meter.problem(K)
    meter.lap("Problem.of")
    kept = best_columns(problem, CANDIDATES)
    planted = np.isin(list(PLANTED), kept).sum()
    meter.lap(f"{CANDIDATES} by mean difference", f"{planted} of {len(PLANTED)} planted")


def relaxation(meter: Meter) -> None:
    """The root bound over all columns, and what it fixes against the support it rounds to."""
    problem = meter.problem(K)
    meter.lap("Problem.of")
    free = ~problem.data.by.constant
    relaxed = root_relaxation(problem.matrix, problem.rows, problem.k, free, np.inf)
    bound, gap = float(relaxed.bound[0]), float(relaxed.primal[0] - relaxed.bound[0])
    meter.lap(f"root relaxation, k = {K}", f"bound {bound:.6f}, its own gap {gap:.1e}")
    support = np.sort(np.argsort(-np.abs(relaxed.beta[0]), kind="stable")[: problem.k])
    columns = problem.data.columns(support, problem.data.train)
    upper = float(fit_support(columns, problem.rows).primal[0])
    left = screen(DualPoints(relaxed.value, relaxed.gain), problem.k, free, upper)
    note = f"upper {upper:.6f}, {free.sum() - left.free.sum()} of {free.sum()} fixed"
    meter.lap("incumbent and fixing", note)


def single(meter: Meter) -> None:
    """k = 1 over all columns, and the check of its certificate."""
    problem = meter.problem(1)
    meter.lap("Problem.of")
    result = solve(problem, check=False)
    support = result.support.tolist()
    meter.lap("solve, k = 1", f"column {support[0]}, gap {result.claimed.gap:.1e}")
    if result.certificate is None:
        raise RuntimeError("no certificate")
    verdict = judge(problem, result.certificate)
    meter.lap("check", f"gap {verdict.gap:.1e} {verdict.reason}")


def apart(work: Callable[..., None], *args: object) -> None:
    """Run it in a process of its own, whose memory is its own."""
    process = multiprocessing.get_context("spawn").Process(target=work, args=args)
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError(f"{work.__name__} ended with {process.exitcode}")


STEPS = (prefilter, relaxation, single)


def main() -> None:
    """Generate, measure, print, delete."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=10**6)
    options.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()))
    asked = options.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="large_rows_", dir=asked.out))
    try:
        began = time.perf_counter()
        apart(generate, folder, asked.rows)
        file = folder / "X.npy"
        size, seconds = file.stat().st_size, time.perf_counter() - began
        disk_s, cached_s = read(file, cached=False), min(read(file, cached=True) for _ in range(3))
        print(f"{size / 1e9:.2f} GB written in {seconds:.0f} s, read in {disk_s:.2f} s from the ")
        print(f"disk and {cached_s:.2f} s from the page cache; ", end="")
        print(f"{workers()} threads, load {os.getloadavg()[0]:.1f}\n")
        print("| step | passes | seconds | x read | x cached read | peak GiB | |")
        print("|---|---|---|---|---|---|---|")
        for step in STEPS:
            apart(step, Meter(file, disk_s, cached_s))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
