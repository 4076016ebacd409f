"""Xpress: one tree, cuts added inside it by callbacks (`separation.py`).

A node's relaxation is cut in `optnode`, its integer point in `preintsol`; a heuristic's or a
caller's point, which no row can be added for there, is rejected. Presolve is off, so that a row
in the original columns fits the node's problem as it is (`presolveRow` crashes in 9.9).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from datetime import date, timedelta
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Int

from optprobe.mip.backends.base import (
    Availability,
    BackendError,
    Capability,
    Cut,
    LicenceError,
    Master,
    MipResult,
    NotInstalledError,
    Oracle,
    Progress,
    too_large,
)
from optprobe.mip.backends.separation import Separator
from optprobe.result import Limit, Limits

Array = np.ndarray

SIZE_LIMIT = "?120 "
"""How Xpress's message begins for a model that the Community licence does not cover."""

FREE_COLUMNS = 4900
"""Candidates that fit the Community licence (5000 rows and columns together)."""

FOR_EVER = 20_000
"""Days left from which a licence counts as permanent."""

HOW = 'pip install "optprobe[xpress]"'

LIMIT: dict[str, Limit | None] = {
    "NONE": None,
    "SOLVECOMPLETE": None,
    "MIPGAP": None,
    "TIMELIMIT": Limit.TIME,
    "NODELIMIT": Limit.NODES,
    "MEMORYERROR": Limit.MEMORY,
    "CTRLC": Limit.INTERRUPTED,
    "USER": Limit.INTERRUPTED,
    "NUMERICALERROR": Limit.STALLED,
}
"""Xpress's reason to stop -> what stopped it. A reason that is not here raises."""


def _xpress() -> ModuleType:
    """The solver's package, imported on first use."""
    try:
        import xpress
    except ImportError as error:
        raise NotInstalledError(f"the backend 'xpress' needs xpress: {HOW}") from error
    return xpress


def _problem(xpress: ModuleType) -> Any:
    """A silent empty problem.

    Raises:
        LicenceError: Xpress refuses to start.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of its Community licence, once
            problem = xpress.problem()
    except xpress.InterfaceError as error:
        raise LicenceError(
            f"Xpress found no valid licence ({error}); use another backend, or set XPAUTH_PATH to "
            "a valid licence file, or unset it for the Community licence inside the package"
        ) from error
    problem.setControl("outputlog", 0)
    return problem


class Xpress:
    """Xpress behind the backend protocol."""

    name = "xpress"
    capabilities = (
        Capability.LAZY_INTEGER
        | Capability.LAZY_FRACTIONAL
        | Capability.MIP_START
        | Capability.INTERRUPT
        | Capability.NODE_LIMIT
    )

    def check(self) -> None:
        """Raise NotInstalledError if xpress is missing."""
        _xpress()

    def available(self) -> Availability:
        """Installed or not, and which licence: found by asking for 5001 columns."""
        version = reason = limits = ""
        licence = "commercial or academic; a Community licence comes with the package"
        try:
            xpress = _xpress()
            version = str(xpress.__version__)
            problem = _problem(xpress)
            for _ in range(5001):
                problem.addVariable()
            try:
                problem.optimize()
                licence, limits = "full", "none"
            except xpress.SolverError as error:
                if not str(error).startswith(SIZE_LIMIT):
                    raise
                licence, limits = "Community, inside the package", f"{FREE_COLUMNS} candidates"
            days = int(xpress.getDaysLeft())
            if days < FOR_EVER:
                licence += f", until {date.today() + timedelta(days)}"
        except NotInstalledError:
            reason = "not installed"
        except Exception as error:  # a table must not fail on one row
            reason = str(error)
        return Availability(
            self.name, not reason, reason, version, licence, limits, HOW, self.capabilities
        )

    def solve(
        self,
        master: Master,
        oracle: Oracle,
        *,
        mip_start: Int[Array, "s"],
        limits: Limits,
        seed: int,
        threads: int,
        stop: Callable[[float], bool],
        on_progress: Callable[[Progress], None],
    ) -> MipResult:
        """Single-tree outer approximation, see the module."""
        xpress, p = _xpress(), master.p
        separator = Separator(master, oracle, stop, on_progress, forgetful=True)
        problem = _problem(xpress)
        for name, value in _controls(master, limits, seed, threads).items():
            problem.setControl(name, value)
        columns = [problem.addVariable(vartype=xpress.binary) for _ in range(p)]
        problem.addConstraint(xpress.Sum(columns) <= master.k)
        columns.append(problem.addVariable(lb=0.0))
        problem.setObjective(columns[-1])
        problem.addRows(
            ["G"] * len(master.value),
            master.value.tolist(),
            None,
            np.arange(0, (p + 1) * len(master.value) + 1, p + 1).tolist(),
            columns * len(master.value),
            np.column_stack([master.gain, np.ones(len(master.value))]).ravel().tolist(),
        )
        start = [*separator.indicator(mip_start).tolist(), master.upper]
        problem.addMipSol(start, columns, "start")
        callbacks = _Callbacks(separator, columns)
        problem.addPreIntsolCallback(callbacks.integer)
        problem.addOptnodeCallback(callbacks.relaxed)
        try:
            problem.optimize()
        except xpress.SolverError as error:
            if str(error).startswith(SIZE_LIMIT):
                raise too_large("Xpress", p, FREE_COLUMNS) from error
            raise BackendError(f"Xpress failed: {error}") from error
        if separator.error is not None:
            raise separator.error
        attributes = problem.attributes
        reason = xpress.StopType(attributes.stopstatus).name
        if reason not in LIMIT:
            raise BackendError(f"Xpress ended for the unexpected reason {reason!r}")
        return MipResult(
            max(0.0, float(attributes.bestbound)),
            separator.supports,
            None if separator.stopped else LIMIT[reason],
            int(attributes.nodes),
            separator.statistics,
        )


BACKEND = Xpress()


def _controls(master: Master, limits: Limits, seed: int, threads: int) -> dict[str, float | int]:
    """Xpress's controls for one solve."""
    return {
        "mipabsstop": 0.5 * master.tolerance,
        "miprelstop": 0.0,
        "mipaddcutoff": 0.0,  # or it asks each incumbent to be better by 1e-5
        "miprelcutoff": 0.0,
        "miptol": master.feasibility,
        "feastol": master.feasibility,
        "optimalitytol": master.feasibility,
        "timelimit": min(limits.time_s, 1e20),
        "maxnode": int(min(limits.nodes, 2**31 - 1)),
        "randomseed": seed % 2**31,
        "threads": threads or -1,
        "presolve": 0,
        "mippresolve": 0,
        "mipdualreductions": 0,
        "symmetry": 0,
        "heuremphasis": 0,  # its own incumbents and cuts cost a third of the time
        "cutstrategy": 0,
    }


class _Callbacks:
    """What Xpress calls; the state is the separator's."""

    def __init__(self, separator: Separator, columns: list[Any]) -> None:
        self.separator, self.columns = separator, columns

    def integer(self, problem: Any, data: Any, kind: int, cutoff: float) -> tuple[bool, float]:
        """Refuse an integer point: a node's by a row, any other one by rejecting it."""
        reject = False
        with self.separator.guard():
            point = np.array(problem.getCallbackSolution(self.columns))
            cut = self.separator.integer(point[:-1], float(point[-1]))
            if cut is not None and kind == 0:
                self._add(problem, cut)
            reject = cut is not None and kind != 0
        if self.separator.over:
            problem.interrupt()
        return reject, cutoff

    def relaxed(self, problem: Any, data: Any) -> int:
        """Report, offer a better incumbent, cut the node's relaxation where that is wanted."""
        separator = self.separator
        with separator.guard():
            attributes = problem.attributes
            separator.report(int(attributes.nodes), float(attributes.bestbound))
            better = separator.better()
            if better is not None:
                problem.addMipSol(better.tolist(), self.columns, "better")
            point = np.array(problem.getCallbackSolution(self.columns))
            s, t = point[:-1], float(point[-1])
            if np.minimum(s, 1.0 - s).max() > separator.master.feasibility:
                for cut in separator.fractional(s, t, int(attributes.nodes)):
                    self._add(problem, cut)
        if separator.over:
            problem.interrupt()
        return 0

    def _add(self, problem: Any, cut: Cut) -> None:
        """t + gain . s >= value, in this node and those below it."""
        used = np.flatnonzero(cut.gain)
        index, value = [*used.tolist(), len(cut.gain)], [*cut.gain[used].tolist(), 1.0]
        problem.addCuts([1], ["G"], [cut.value], [0, len(index)], index, value)
