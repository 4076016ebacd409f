"""Prefilter a store larger than memory: speed against a plain read of its files, and peak memory.

    python benchmarks/large_store.py --gigabytes 20 --folder /tmp

Writes a synthetic store of four layers (in another process, so that its memory does not count),
then in turn reads the files as they are, and makes a problem of all columns and keeps 512
candidates by mean difference. The page cache is dropped before each. Prints a Markdown table and
deletes the store.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from optprobe.activations import Manifest, RowFacts, Store, Writer
from optprobe.prefilter import best_columns
from optprobe.threads import workers

WIDTH, TOKENS, AT_ONCE, CANDIDATES = 1536, 512, 8, 512
SITES = {f"blocks.{layer}.mlp.hook_post": WIDTH for layer in (6, 12, 18, 24)}


def generate(folder: Path, texts: int) -> None:
    """Gaussian columns in float16, shifted from text to text so that no two shards are the same."""
    rng = np.random.default_rng(0)
    base = rng.standard_normal((2 * AT_ONCE * TOKENS, WIDTH * len(SITES))).astype(np.float16)
    manifest = Manifest("synthetic", None, "none", "0" * 64, texts, "token", SITES)
    with Writer.open(folder, manifest) as writer:
        for first in range(0, texts, AT_ONCE):
            count = min(AT_ONCE, texts - first)
            position = np.tile(np.arange(TOKENS), count)
            text = np.repeat(np.arange(first, first + count), TOKENS)
            rows = RowFacts(text, position, position, 4 * position, 4 * position + 3)
            start = rng.integers(len(base) // 2)
            block = base[start : start + count * TOKENS]
            columns = np.split(block, len(SITES), axis=1)
            writer.append(count, rows, dict(zip(SITES, columns, strict=True)))
        writer.finish()


def forget(folder: Path) -> None:
    """Drop the files from the page cache."""
    for path in folder.iterdir():
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read(folder: Path) -> None:
    """Every byte, four megabytes at a time."""
    room = bytearray(2**22)
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb", buffering=0) as stream:
            while stream.readinto(room):
                pass


def prefilter(folder: Path) -> None:
    """From the folder to the candidates."""
    store = Store.open(folder)
    y = np.random.default_rng(1).random(len(store)) < 0.3
    kept = best_columns(store.problem(y, k=8), CANDIDATES)
    if len(kept) != CANDIDATES:
        raise RuntimeError(f"{len(kept)} candidates")


def main() -> None:
    """Generate, measure, print, delete."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--gigabytes", type=float, default=20.0)
    options.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    options.add_argument("--repeats", type=int, default=3)
    asked = options.parse_args()
    texts = int(asked.gigabytes * 1e9 / (2 * WIDTH * len(SITES) * TOKENS))
    folder = Path(tempfile.mkdtemp(prefix="large_store_", dir=asked.folder))
    try:
        writer = multiprocessing.get_context("spawn").Process(target=generate, args=(folder, texts))
        started = time.perf_counter()
        writer.start()
        writer.join()
        size = sum(path.stat().st_size for path in folder.iterdir()) / 1e9
        seconds = time.perf_counter() - started
        numbers = 2 * texts * TOKENS * WIDTH * len(SITES) / 1e9
        print(f"{size:.2f} GB ({100 * (size / numbers - 1):.2f} % beside the numbers), written in ")
        print(f"{seconds:.0f} s; {workers()} threads, load {os.getloadavg()[0]:.1f}")
        print("\n| what | seconds | GB/s | processor seconds |\n|---|---|---|---|")
        for _ in range(asked.repeats):
            for what in (read, prefilter):
                forget(folder)
                started, before = time.perf_counter(), time.process_time()
                what(folder)
                seconds = time.perf_counter() - started
                spent = time.process_time() - before
                print(f"| {what.__name__} | {seconds:.1f} | {size / seconds:.2f} | {spent:.1f} |")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"\nPeak resident memory {peak:.2f} GB")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
