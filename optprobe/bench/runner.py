"""All runs of a benchmark into a folder, one process each; what is finished is not repeated.

OUT/settings.json    gap, limits and threads of every run in it
OUT/machine.json     what they ran on
OUT/runs/ID.json     one record per finished run, written whole
OUT/scratch/ID/      a run under way
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from optprobe.bench.processes import GRACE_S, WORKER, Process
from optprobe.bench.runs import Outcome, Record, Run, Settings
from optprobe.machine import machine
from optprobe.storage import write_json

POLL_S = 0.05
"""Seconds between two looks at the running processes."""

Log = Callable[[str], None]


class Folder:
    """An output folder.

    Raises:
        ValueError: it cannot be written, or holds runs with other settings or of another machine.
    """

    def __init__(self, path: Path, settings: Settings) -> None:
        self.path, self.runs, self.scratch = path, path / "runs", path / "scratch"
        self.machine = machine()
        try:
            self.runs.mkdir(parents=True, exist_ok=True)
            self._same("settings.json", asdict(settings))
            self._same("machine.json", self.machine)
        except OSError as error:
            raise ValueError(f"{path} cannot be written ({error}); pass another --out") from error

    def _same(self, name: str, value: dict[str, object]) -> None:
        """Write what all runs share, or refuse to mix runs that differ in it."""
        path = self.path / name
        if not path.exists():
            write_json(path, value)
            return
        held = json.loads(path.read_text("utf-8"))
        differing = [key for key in value if held.get(key) != value[key]]
        if differing:
            raise ValueError(
                f"{self.path} holds runs with another {', '.join(differing)} ({name}); times would "
                "not compare: pass another --out"
            )

    def finished(self, run: Run) -> Record | None:
        """The record of a run, None if it has to be done (again): a damaged file, say.

        A solver that was not installed may be by now.
        """
        record = _read(self.runs / f"{run.id}.json")
        if record is None or record["outcome"] in (Outcome.INTERRUPTED, Outcome.NOT_INSTALLED):
            return None
        return record

    def records(self) -> list[Record]:
        """Every finished run, whoever planned it, in the order of their ids."""
        found = (_read(path) for path in sorted(self.runs.glob("*.json")))
        return [record for record in found if record is not None]


def _read(path: Path) -> Record | None:
    """A record, None if there is none or the file is damaged."""
    try:
        held = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return held if isinstance(held, dict) and "outcome" in held else None


def execute(
    runs: Sequence[Run],
    folder: Folder,
    *,
    jobs: int = 1,
    log: Log | None = None,
    worker: Sequence[str] = WORKER,
    grace: float = GRACE_S,
) -> bool:
    """Do what is not finished yet; False if Ctrl-C ended it, with no process left behind.

    Args:
        runs: in the order in which they are started.
        folder: takes the records.
        jobs: processes at a time. More than one share caches, memory and clock: their times are
            rough.
        log: takes a line per finished run.
        worker, grace: see `Process`.

    Raises:
        ValueError: jobs < 1.
    """
    if jobs < 1:
        raise ValueError(f"jobs={jobs}: pass at least 1")
    waiting = [run for run in runs if folder.finished(run) is None]
    waiting.reverse()
    under_way: list[Process] = []
    done = len(runs) - len(waiting)
    if done and log is not None:
        log(f"{done} of {len(runs)} runs are finished already")
    try:
        while waiting or under_way:
            while waiting and len(under_way) < jobs:
                run = waiting.pop()
                scratch = folder.scratch / run.id
                under_way.append(Process(run, scratch, worker=worker, grace=grace))
            for process in list(under_way):
                record = process.poll()
                if record is None:
                    continue
                under_way.remove(process)
                write_json(folder.runs / f"{process.run.id}.json", record)
                done += 1
                if log is not None:
                    log(_line(done, len(runs), process.run, record))
            time.sleep(POLL_S)
    except KeyboardInterrupt:
        return False
    finally:
        for process in under_way:
            process.kill()
        with contextlib.suppress(OSError):
            shutil.rmtree(folder.scratch)
    return True


def _line(done: int, total: int, run: Run, record: Record) -> str:
    """Progress: which run, and what came of it."""
    seconds = record.get("solver_seconds")
    took = record["wall_seconds"] if seconds is None else seconds
    return (
        f"{done}/{total} {run.instance.name} seed {run.instance.seed} {run.solver.name}: "
        f"{record['outcome']} after {took:.2f} s"
    )
