"""COPT: one tree, cuts added inside it by a callback (`separation.py`).

On one thread, whatever number is asked for: with more, COPT 8 runs Python in its own threads as
if they were the one that called it. What asks there for the interpreter's lock, as the destructor
of another solver's model does, then waits for ever.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable
from functools import cache
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

FREE_COLUMNS = 1990
"""Candidates that fit without a licence (2000 variables, 2000 rows)."""

HOW = 'pip install "optprobe[copt]"'

UNLICENSED = "No license found"
"""What COPT says when it starts without a licence, with its size limit."""

NO_LICENCE = 4
"""COPT's return code for a licence that is refused, or that does not cover the model."""

LIMIT: dict[str, Limit | None] = {
    "OPTIMAL": None,
    "TIMEOUT": Limit.TIME,
    "NODELIMIT": Limit.NODES,
    "INTERRUPTED": Limit.INTERRUPTED,
    "NUMERICAL": Limit.STALLED,
    "IMPRECISE": Limit.STALLED,
}
"""COPT's status -> what stopped it. A status that is not here raises."""


def _coptpy() -> ModuleType:
    """The solver's package, imported on first use."""
    try:
        import coptpy
    except ImportError as error:
        raise NotInstalledError(f"the backend 'copt' needs coptpy: {HOW}") from error
    return coptpy


def _environment(coptpy: ModuleType) -> tuple[Any, str]:
    """A COPT environment, and what COPT says of its licence.

    COPT writes that to the process's standard output, whatever its options: it is caught there,
    or it would stand in the middle of somebody's results.

    Raises:
        LicenceError: COPT refuses to start.
    """
    config = coptpy.EnvrConfig()
    config.set("nobanner", "1")
    refused: Exception | None = None
    environment = None
    with tempfile.TemporaryFile("w+") as file:
        sys.stdout.flush()
        kept = os.dup(1)
        os.dup2(file.fileno(), 1)
        try:
            with contextlib.redirect_stdout(file):
                environment = coptpy.Envr(config)
        except coptpy.CoptError as error:
            refused = error
        finally:
            os.dup2(kept, 1)
            os.close(kept)
        file.seek(0)
        said = file.read()
    if refused is not None:
        reasons = [
            line.split("[ERROR]")[1].strip() for line in said.splitlines() if "[ERROR]" in line
        ]
        raise LicenceError(_no_licence("; ".join(reasons) or str(refused))) from refused
    return environment, said


def _no_licence(reason: str) -> str:
    """What to do about a licence that COPT refuses."""
    return (
        f"COPT found no valid licence ({reason}); use another backend, or put a valid license.dat "
        "and license.key where COPT_LICENSE_DIR says (without any, COPT solves up to "
        f"{FREE_COLUMNS} candidates)"
    )


class Copt:
    """COPT behind the backend protocol."""

    name = "copt"
    capabilities = (
        Capability.LAZY_INTEGER
        | Capability.LAZY_FRACTIONAL
        | Capability.MIP_START
        | Capability.INTERRUPT
        | Capability.NODE_LIMIT
    )

    def check(self) -> None:
        """Raise NotInstalledError if coptpy is missing."""
        _coptpy()

    def available(self) -> Availability:
        """Installed or not, and which licence: as COPT says when it starts."""
        version = reason = limits = ""
        licence = "commercial or academic; none needed for small problems"
        try:
            coptpy = _coptpy()
            numbers = (coptpy.COPT.VERSION_MAJOR, coptpy.COPT.VERSION_MINOR)
            version = ".".join(map(str, (*numbers, coptpy.COPT.VERSION_TECHNICAL)))
            environment, said = _environment(coptpy)
            environment.close()
            licence, limits = "full", "none"
            if UNLICENSED in said:
                licence, limits = "none, size-limited", f"{FREE_COLUMNS} candidates"
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
        coptpy, p = _coptpy(), master.p
        separator = Separator(master, oracle, stop, on_progress, forgetful=True)
        environment, said = _environment(coptpy)
        try:
            model = environment.createModel("master")
            model.setParam("Logging", 0)
            for name, value in _parameters(master, limits).items():
                model.setParam(name, value)
            columns = [model.addVar(vtype=coptpy.COPT.BINARY) for _ in range(p)]
            model.addConstr(coptpy.LinExpr(columns, [1.0] * p), coptpy.COPT.LESS_EQUAL, master.k)
            columns.append(model.addVar(lb=0.0, obj=1.0))
            for value, gain in zip(master.value, master.gain, strict=True):
                row = coptpy.LinExpr(columns, [*gain.tolist(), 1.0])
                model.addConstr(row, coptpy.COPT.GREATER_EQUAL, value)
            start = [*separator.indicator(mip_start).tolist(), master.upper]
            model.setMipStart(columns, start)
            model.loadMipStart()
            callback = _callback_class()(separator, columns)
            where = coptpy.COPT.CBCONTEXT_MIPSOL | coptpy.COPT.CBCONTEXT_MIPRELAX
            model.setCallback(callback, where | coptpy.COPT.CBCONTEXT_MIPNODE)
            model.solve()
            status, lower, nodes = int(model.status), float(model.bestbnd), int(model.nodecnt)
        except coptpy.CoptError as error:
            if error.retcode == NO_LICENCE and UNLICENSED in said:
                raise too_large("COPT", p, FREE_COLUMNS) from error
            if error.retcode == NO_LICENCE:
                raise LicenceError(_no_licence(str(error))) from error
            raise BackendError(f"COPT failed: {error}") from error
        finally:
            environment.close()
        if separator.error is not None:
            raise separator.error
        limits_by_status = {getattr(coptpy.COPT, word): LIMIT[word] for word in LIMIT}
        if status not in limits_by_status:
            raise BackendError(f"COPT ended with the unexpected status {status}")
        limit = None if separator.stopped else limits_by_status[status]
        return MipResult(max(0.0, lower), separator.supports, limit, nodes, separator.statistics)


BACKEND = Copt()


def _parameters(master: Master, limits: Limits) -> dict[str, float | int]:
    """COPT's parameters for one solve."""
    return {
        "AbsGap": 0.5 * master.tolerance,
        "RelGap": 0.0,
        "FeasTol": master.feasibility,
        "IntTol": master.feasibility,
        "DualTol": master.feasibility,
        "TimeLimit": min(limits.time_s, 1e20),
        "NodeLimit": int(min(limits.nodes, 2**31 - 1)),
        "LazyConstraints": 1,
        "Threads": 1,  # see the module
        "HeurLevel": 0,  # its own incumbents cost a third of the time and bring nothing
    }


@cache
def _callback_class() -> Any:
    """The callback, a subclass of a class that is imported on first use."""
    coptpy = _coptpy()
    contexts = coptpy.COPT

    class Callback(coptpy.CallbackBase):
        """What COPT calls; the state is the separator's."""

        def __init__(self, separator: Separator, columns: list[Any]) -> None:
            super().__init__()
            self.separator, self.columns, self.nodes = separator, columns, 0

        def callback(self) -> None:
            """COPT's entry."""
            where = self.where()
            with self.separator.guard():
                self.separator.report(self.nodes, float(self.getInfo(contexts.CbInfo.BestBnd)))
                if where == contexts.CBCONTEXT_MIPSOL:
                    point = np.array(self.getSolution(self.columns))
                    cut = self.separator.integer(point[:-1], float(point[-1]))
                    if cut is not None:
                        self.addLazyConstr(*self._row(cut))
                elif where == contexts.CBCONTEXT_MIPRELAX:
                    self._relaxed()
                elif where == contexts.CBCONTEXT_MIPNODE:
                    self.nodes += 1
            if self.separator.over:
                self.interrupt()

        def _relaxed(self) -> None:
            """Offer a better incumbent; cut the relaxation's point where that is wanted."""
            better = self.separator.better()
            if better is not None:
                self.setSolution(self.columns, better.tolist())
                self.loadSolution()
            point = np.array(self.getRelaxSol(self.columns))
            for cut in self.separator.fractional(point[:-1], float(point[-1]), self.nodes):
                self.addUserCut(*self._row(cut))

        def _row(self, cut: Cut) -> tuple[Any, Any, float]:
            """t + gain . s >= value."""
            used = np.append(np.flatnonzero(cut.gain), len(cut.gain))
            values = np.append(cut.gain, 1.0)[used].tolist()
            row = coptpy.LinExpr([self.columns[j] for j in used], values)
            return row, contexts.GREATER_EQUAL, cut.value

    return Callback
