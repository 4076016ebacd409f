"""Capture against running the same model to the same hook point and throwing the values away.

    python benchmarks/capture_throughput.py smollm2 texts.txt --layers 12 --tokens 20000
    python benchmarks/capture_throughput.py smollm2 texts.txt --repeats 0 --memory --tokens 100000

The two alternate in one process, over the same batches, and are told in wall-clock and in processor
time: the second is the one to read on a busy machine. --memory samples the resident memory of a
capture and writes a figure, memory.png, beside memory.json.
"""

from __future__ import annotations

import argparse
import json
import shutil
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch

from optprobe.activations import Store
from optprobe.activations.capture import batch_plan, capture
from optprobe.activations.doors import Door, get_door, layer_sites
from optprobe.activations.doors.base import widths
from optprobe.activations.texts import read_texts
from optprobe.activations.tokens import Tokens
from optprobe.cli.common import parse_numbers
from optprobe.machine import machine

SAMPLE_S = 0.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("texts", type=Path)
    parser.add_argument("--door", default="bridge")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--site", default="blocks.{l}.mlp.hook_post")
    parser.add_argument("--layers", default="12")
    parser.add_argument("--tokens", type=int, default=20_000, help="the texts again and again")
    parser.add_argument("--batch-tokens", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("capture-throughput"))
    asked = parser.parse_args()
    door = get_door(asked.door).open(asked.model, device=asked.device)
    sites = layer_sites([asked.site], parse_numbers(asked.layers, "--layers"))
    texts = _enough(door, read_texts(asked.texts), asked.tokens)
    asked.out.mkdir(parents=True, exist_ok=True)
    print(json.dumps(machine(("optprobe", "torch", "transformers", "transformer-lens"))))
    if asked.repeats:
        _throughput(door, texts, sites, asked.batch_tokens, asked.repeats, asked.out)
    if asked.memory:
        _memory(door, texts, sites, asked.batch_tokens, asked.out)


def _enough(door: Door, texts: list[str], tokens: int) -> list[str]:
    """The texts repeated, and cut after so many tokens."""
    lengths = [len(encoded.ids) for encoded in door.encode(texts)]
    found: list[str] = []
    have = 0
    while have < tokens:
        found.append(texts[len(found) % len(texts)])
        have += lengths[(len(found) - 1) % len(texts)]
    return found


def _throughput(
    door: Door, texts: list[str], sites: Sequence[str], batch_tokens: int, repeats: int, out: Path
) -> None:
    """Seconds of both, turn by turn."""
    row_bytes = 2 * sum(widths(door, sites).values())
    tokens = Tokens.of(door, texts, max_tokens=None, skip_first=0)
    plan = batch_plan(tokens, row_bytes, batch_tokens)
    folder = out / "store"

    def keep() -> None:
        capture(door, texts, folder, sites=sites, batch_tokens=batch_tokens)

    def discard() -> None:
        for window in plan:
            for batch in window.batches:
                ids, mask, _ = tokens.batch(batch)
                door.run(torch.from_numpy(ids), torch.from_numpy(mask), sites[-1:], _nothing)

    took: dict[str, list[tuple[float, float]]] = {"capture": [], "run and discard": []}
    for turn in range(repeats + 1):
        for name, work in (("run and discard", discard), ("capture", keep)):
            shutil.rmtree(folder, ignore_errors=True)
            wall, cpu = time.perf_counter(), time.process_time()
            work()
            if turn:  # the first warms both up
                took[name].append((time.perf_counter() - wall, time.process_time() - cpu))
                print(
                    "{}: {:.2f} s, {:.2f} s of processor".format(name, *took[name][-1]), flush=True
                )
    store = Store.open(folder)
    total = len(tokens.ids)
    padded = sum(len(b) * int(tokens.lengths[b].max()) for w in plan for b in w.batches)
    print(f"{total} tokens ({padded} with padding), {len(sites)} hook points")
    for number, kind in enumerate(("wall", "processor")):
        kept, thrown = (median(pair[number] for pair in took[name]) for name in took)
        print(
            f"{kind}: capture {total / kept:.0f} tokens/s, run and discard {total / thrown:.0f}, "
            f"ratio of the medians {kept / thrown:.3f}"
        )
    size, exact = sum(file.stat().st_size for file in folder.iterdir()), len(store) * row_bytes
    print(f"on the disk {size} bytes, n x d x 2 is {exact}: {100 * (size / exact - 1):.2f} % more")
    shutil.rmtree(folder)


def _nothing(site: str, values: torch.Tensor) -> torch.Tensor:
    """Of a site's values."""
    return values[:0, :0]


def _memory(
    door: Door, texts: list[str], sites: Sequence[str], batch_tokens: int, out: Path
) -> None:
    """Resident memory while texts are captured."""
    folder = out / "store"
    shutil.rmtree(folder, ignore_errors=True)
    samples: list[tuple[int, float]] = []
    stop, read, run = threading.Event(), [0], door.run

    def counted(*given: Any) -> dict[str, torch.Tensor]:
        read[0] += int(given[1].sum())
        return run(*given)

    def sample() -> None:
        while not stop.wait(SAMPLE_S):
            samples.append((read[0], _resident_mb()))

    watcher = threading.Thread(target=sample)
    watcher.start()
    door.run = counted
    capture(door, texts, folder, sites=sites, batch_tokens=batch_tokens)
    stop.set()
    watcher.join()
    shutil.rmtree(folder)
    total = read[0]
    for tenth in range(10):
        here = [mb for done, mb in samples if total * tenth <= 10 * done < total * (tenth + 1)]
        if here:
            print(f"{10 * tenth:3d} to {10 * tenth + 10} % of {total} tokens: {max(here):.0f} MB")
    (out / "memory.json").write_text(json.dumps({"tokens_mb": samples}), encoding="utf-8")
    _plot(samples, out / "memory.png")


def _resident_mb() -> float:
    """Of this process, in 10^6 bytes."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 1e6


def _plot(samples: list[tuple[int, float]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3), layout="constrained")
    axes = figure.subplots()
    axes.plot([done for done, _ in samples], [mb for _, mb in samples], ".", markersize=2)
    axes.set(xlabel="tokens captured", ylabel="resident memory, MB", ylim=(0, None))
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
