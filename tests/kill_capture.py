"""Run by test_capture.py: captures that are killed with SIGKILL, and one that is not.

    python kill_capture.py FOLDER KILLS

It imports torch once and forks a child per capture; it computes nothing itself, so that the
children have no threads of its to miss. Prints the texts that were stored at each kill.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from optprobe.activations import capture as captures
from optprobe.activations import writer
from optprobe.activations.doors.base import Collector, Encoded, Reduce

WIDTH, TEXTS, SITES = 8, 400, ("one", "two")
BATCH_S = 0.008


class PretendDoor:
    """Numbers that depend on the token, the site and, as a model's last digits do, on the batch."""

    model, revision, tokenizer_name, layers, context = "pretend", None, "pretend", 1, None

    def sites(self) -> list[str]:
        return list(SITES)

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        found: list[Encoded] = []
        for text in texts:
            ids = np.frombuffer(text.encode(), np.uint8).astype(np.int32)
            starts = np.arange(len(ids), dtype=np.int32)
            offsets = np.stack([starts, starts + 1], 1)
            found.append(Encoded(ids, offsets, np.zeros(len(ids), bool)))
        return found

    def run(
        self, ids: torch.Tensor, mask: torch.Tensor, sites: Sequence[str], reduce: Reduce
    ) -> dict[str, torch.Tensor]:
        time.sleep(BATCH_S)
        collector = Collector([*sites, "never"], reduce)
        waves = torch.arange(1, WIDTH + 1) / 7.0
        for number, site in enumerate(sites):
            values = torch.sin(ids[:, :, None] * waves + number) + 0.01 * ids.numel()
            collector.take(site, values)
        return collector.found


def texts() -> list[str]:
    draw = random.Random(3)
    return ["x" * draw.randrange(0, 9) + "abc"[: draw.randrange(0, 3)] for _ in range(TEXTS)]


def capture(folder: Path) -> None:
    captures.WINDOW_BYTES, writer.SHARD_BYTES = 1500, 1000
    captures.capture(PretendDoor(), texts(), folder, sites=SITES, batch_tokens=20)


def child(folder: Path) -> int:
    """A forked process that captures; its number."""
    number = os.fork()
    if number:
        return number
    try:
        capture(folder)
    except BaseException as error:
        sys.stderr.write(f"{error!r}\n")
        os._exit(1)
    os._exit(0)


def finish(number: int) -> None:
    _, status = os.waitpid(number, 0)
    assert status == 0


def main() -> None:
    folder, kills = Path(sys.argv[1]), int(sys.argv[2])
    draw = random.Random(0)
    started = time.monotonic()
    finish(child(folder / "whole"))
    mean_s = 1.5 * (time.monotonic() - started) / kills
    stored: list[int] = []
    while len(stored) < kills:
        number = child(folder / "killed")
        time.sleep(draw.uniform(0.0, 2.0 * mean_s))
        os.kill(number, signal.SIGKILL)
        _, status = os.waitpid(number, 0)
        if not os.WIFSIGNALED(status):
            break
        listed = folder / "killed" / "shards.json"
        shards = json.loads(listed.read_bytes())["shards"] if listed.exists() else []
        stored.append(sum(shard["texts"] for shard in shards))
    finish(child(folder / "killed"))
    print(json.dumps(stored))  # noqa: T201


if __name__ == "__main__":
    main()
