"""A run's process: started with fixed threads, watched, ended, and its record written.

Whatever happens inside, the record is made out here: from the answer that the process left, from
its exit status, or from the bounds that it told before it was killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from optprobe.bench.runs import Outcome, Record, Run
from optprobe.machine import peak_memory_mb
from optprobe.storage import write_json

WORKER = (sys.executable, "-m", "optprobe.bench.worker")

SETUP_S = 300.0
"""Seconds to import, and to make or read the rows."""

GRACE_S = 15.0
"""Seconds that a solver may overrun its limit (it polls now and then) before it is killed."""

TAIL = 2000
"""Characters of stderr that are kept."""

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)

OUT_OF_MEMORY = ("memoryerror", "bad_alloc", "out of memory", "cannot allocate memory")
"""Words on stderr that tell a crash for want of memory from any other, in lower case."""


class Process:
    """One run under way.

    Args:
        run: what to do.
        folder: scratch, made here and removed when the record is taken.
        worker: command that takes a folder.
        grace: see GRACE_S.
    """

    def __init__(
        self, run: Run, folder: Path, *, worker: Sequence[str] = WORKER, grace: float = GRACE_S
    ) -> None:
        self.run, self.folder, self.grace = run, folder, grace
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        write_json(folder / "spec.json", run.as_json())
        threads = dict.fromkeys(THREAD_VARIABLES, str(run.settings.threads))
        self.started = datetime.now(UTC).isoformat(timespec="seconds")
        self.begun = time.monotonic()
        self.killed = ""
        self.peak: float | None = None
        with (folder / "output.txt").open("wb") as output:
            self.child = subprocess.Popen(
                [*worker, str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **threads},
                start_new_session=True,  # Ctrl-C reaches us alone, a kill reaches its children
            )
        self.phase, self.phase_begun = "setup", self.begun

    def poll(self) -> Record | None:
        """The record if the run has ended; kills it if a phase has taken too long."""
        done, status, usage = os.wait4(self.child.pid, os.WNOHANG)
        if not done:
            self.peak = peak_memory_mb(self.child.pid) or self.peak
            self._enforce()
            return None
        self.child.returncode = os.waitstatus_to_exitcode(status)
        wall = time.monotonic() - self.begun
        self._signal()  # what it may have left behind; its group keeps the number from reuse
        record = self.run.as_json() | {"peak_memory_mb": self.peak} | self._answer()
        record |= {
            "exit_code": self.child.returncode,
            "wall_seconds": wall,
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
            "started": self.started,
            "output": self._output(),
        }
        shutil.rmtree(self.folder, ignore_errors=True)
        return record

    def kill(self) -> None:
        """End it without a record."""
        self._signal()
        self.child.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _signal(self) -> None:
        """Kill the process and all that it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.child.pid, signal.SIGKILL)

    def _enforce(self) -> None:
        """Kill a phase that overruns: set-up, the solver with its proof, the check."""
        now = time.monotonic()
        phase = next((e["phase"] for e in reversed(self._events()) if "phase" in e), "setup")
        if phase != self.phase:
            self.phase, self.phase_begun = phase, now
        allowed = SETUP_S if phase == "setup" else self.run.settings.time_limit + self.grace
        if now - self.phase_begun > allowed and not self.killed:
            self.killed = f"killed {allowed:g} s into its {phase} phase"
            self._signal()

    def _events(self) -> list[dict[str, Any]]:
        """What the process told so far; a line cut short by a kill is left out."""
        path = self.folder / "events.jsonl"
        if not path.exists():
            return []
        events: list[dict[str, Any]] = []
        for line in path.read_text("utf-8", "replace").splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                events.append(json.loads(line))
        return events

    def _answer(self) -> Record:
        """The worker's answer, or what can be said without one."""
        path = self.folder / "answer.json"
        if path.exists():
            answer = json.loads(path.read_text("utf-8"))
            if self.child.returncode:
                answer["detail"] = f"not checked: {self._ending()}"
            return answer
        return {"outcome": str(self._outcome()), "detail": self._ending(), **self._told()}

    def _outcome(self) -> Outcome:
        """Of a process that left no answer."""
        if self.killed:
            return Outcome.CRASHED if self.phase == "setup" else Outcome.TIME
        words = self._output().lower()
        if any(word in words for word in OUT_OF_MEMORY):
            return Outcome.MEMORY
        return Outcome.CRASHED

    def _ending(self) -> str:
        """How the process ended, in words."""
        if self.killed:
            return self.killed
        code = self.child.returncode
        if code < 0:
            return f"ended by {signal.Signals(-code).name}"
        lines = self._output().strip().splitlines()
        return lines[-1] if lines else f"exit code {code}"

    def _told(self) -> Record:
        """The bounds that it told before it ended: a claim like any other."""
        trace = [event for event in self._events() if "upper" in event]
        if not trace:
            return {"trace": []}
        lower, upper = trace[-1]["lower"], trace[-1]["upper"]
        gap = None
        if lower is not None and upper is not None:
            gap = (upper - lower) / max(abs(upper), 1e-12)
        claimed = {"lower": lower, "upper": upper, "gap": gap}
        return {"trace": trace, "claimed": claimed, "objective": upper}

    def _output(self) -> str:
        """The end of what the process printed."""
        path = self.folder / "output.txt"
        return path.read_text("utf-8", "replace")[-TAIL:]
