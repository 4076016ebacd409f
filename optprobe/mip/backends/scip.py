"""SCIP: one tree, cuts added inside it by a constraint handler.

The handler stands for all rows t >= c(a) - g(a) . s that are not in the master yet: it refuses
integer points, adds cuts at fractional ones, and locks every column in both directions, so that
no reduction by SCIP can take an unseen row for granted.
"""

from __future__ import annotations

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
    Master,
    MipResult,
    NotInstalledError,
    Oracle,
    Progress,
)
from optprobe.mip.backends.separation import Separator
from optprobe.result import Limit, Limits

Array = np.ndarray

LAST = -5_000_000
"""Priority of the handler's checks: after every other one, which then has nothing to refuse."""

HOW = 'pip install "optprobe[scip]"'

LIMIT: dict[str, Limit | None] = {
    "optimal": None,
    "gaplimit": None,
    "timelimit": Limit.TIME,
    "nodelimit": Limit.NODES,
    "totalnodelimit": Limit.NODES,
    "memlimit": Limit.MEMORY,
    "userinterrupt": Limit.INTERRUPTED,
}
"""SCIP's status -> what stopped it. A status that is not here raises."""


def _pyscipopt() -> ModuleType:
    """The solver's package, imported on first use."""
    try:
        import pyscipopt
    except ImportError as error:
        raise NotInstalledError(f"the backend 'scip' needs pyscipopt: {HOW}") from error
    return pyscipopt


class Scip:
    """SCIP behind the backend protocol."""

    name = "scip"
    capabilities = (
        Capability.LAZY_INTEGER
        | Capability.LAZY_FRACTIONAL
        | Capability.MIP_START
        | Capability.INTERRUPT
        | Capability.NODE_LIMIT
        | Capability.MEMORY_LIMIT
    )

    def check(self) -> None:
        """Raise NotInstalledError if pyscipopt is missing."""
        _pyscipopt()

    def available(self) -> Availability:
        """Installed or not; SCIP needs no licence."""
        version = reason = ""
        try:
            model = _pyscipopt().Model()
            version = (
                f"{model.getMajorVersion()}.{model.getMinorVersion()}.{model.getTechVersion()}"
            )
        except NotInstalledError:
            reason = "not installed"
        except Exception as error:  # a table must not fail on one row
            reason = str(error)
        return Availability(
            self.name, not reason, reason, version, "Apache-2.0, none needed", "none", HOW,
            self.capabilities,
        )  # fmt: skip

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
        """Single-tree outer approximation, see the module; one thread, whatever is asked."""
        pyscipopt = _pyscipopt()
        separator = Separator(master, oracle, stop, on_progress, forgetful=True)
        model = pyscipopt.Model()
        model.hideOutput()
        # Its own incumbents and cuts bring nothing, and presolve finds nothing to do.
        off = pyscipopt.SCIP_PARAMSETTING.OFF
        model.setHeuristics(off)
        model.setSeparating(off)
        model.setPresolve(off)
        for name, value in _parameters(master, limits, seed).items():
            model.setParam(name, value)
        s = [model.addVar(vtype="B") for _ in range(master.p)]
        t = model.addVar(vtype="C", lb=0.0, obj=1.0)
        model.addCons(pyscipopt.quicksum(s) <= master.k)
        for value, gain in zip(master.value, master.gain, strict=True):
            used = np.flatnonzero(gain)
            model.addCons(t + pyscipopt.quicksum(gain[j] * s[j] for j in used) >= value)
        handler = _handler_class()(separator, s, t)
        model.includeConshdlr(
            handler, "cuts", "t >= c - g . s", sepapriority=0, enfopriority=LAST,
            chckpriority=LAST, sepafreq=1, needscons=False,
        )  # fmt: skip
        start = model.createSol()
        for j, value in enumerate([*separator.indicator(mip_start), master.upper]):
            model.setSolVal(start, s[j] if j < master.p else t, value)
        model.addSol(start)
        try:
            model.optimizeNogil()
        except Exception as error:
            if separator.error is None:
                raise BackendError(f"SCIP failed: {error}") from error
        if separator.error is not None:
            raise separator.error
        status = model.getStatus()
        if status not in LIMIT:
            raise BackendError(f"SCIP ended with the unexpected status {status!r}")
        return MipResult(
            max(0.0, float(model.getDualbound())),
            separator.supports,
            None if separator.stopped else LIMIT[status],
            int(model.getNTotalNodes()),
            separator.statistics,
        )


BACKEND = Scip()


def _parameters(master: Master, limits: Limits, seed: int) -> dict[str, float | int | bool]:
    """SCIP's parameters for one solve."""
    return {
        "limits/gap": 0.0,
        "limits/absgap": 0.5 * master.tolerance,
        "limits/time": min(limits.time_s, 1e20),
        "limits/totalnodes": int(min(limits.nodes, 2**62)),
        "limits/memory": min(limits.memory_bytes / 2**20, 8e6),
        "numerics/feastol": master.feasibility,
        "numerics/dualfeastol": master.feasibility,
        "randomization/randomseedshift": seed % 2**31,
        "misc/catchctrlc": False,  # Python's handler sets the flag that `stop` reads
        "misc/allowstrongdualreds": False,  # they would assume that no other rows exist
        "misc/allowweakdualreds": False,
        "misc/usesymmetry": 0,
    }


@cache
def _handler_class() -> Any:
    """The handler, a subclass of a class that is imported on first use."""
    pyscipopt = _pyscipopt()
    result = pyscipopt.SCIP_RESULT

    class Handler(pyscipopt.Conshdlr):
        """All the rows that the oracle knows, as one constraint."""

        def __init__(self, separator: Separator, s: list[Any], t: Any) -> None:
            self.separator, self.s, self.t = separator, s, t

        def conscheck(self, constraints: Any, solution: Any, *_: Any) -> dict[str, Any]:
            """Whether a solution, the MIP start or a heuristic's, meets every row."""
            cut: Cut | None = None
            with self.separator.guard():
                cut = self.separator.integer(*self._point(solution))
            return {"result": result.FEASIBLE if cut is None else result.INFEASIBLE}

        def consenfolp(self, constraints: Any, number: int, infeasible: bool) -> dict[str, Any]:
            """Refuse the LP's integer point by a row."""
            return self._add(self._integer) or {"result": result.FEASIBLE}

        def consenfops(self, *_: Any) -> dict[str, Any]:
            """Where the LP was not solved there is no point to cut: ask for it."""
            return {"result": result.SOLVELP}

        def conssepalp(self, constraints: Any, number: int) -> dict[str, Any]:
            """Cut the LP's fractional point; the place to report and to offer incumbents."""
            model, separator = self.model, self.separator
            with separator.guard():
                separator.report(int(model.getNTotalNodes()), float(model.getDualbound()))
                point = separator.better()
                if point is not None:
                    offer = model.createSol()
                    for j, value in enumerate(point):
                        model.setSolVal(offer, [*self.s, self.t][j], value)
                    model.trySol(offer)
            node = int(model.getNTotalNodes()) - 1
            return self._add(lambda s, t: separator.fractional(s, t, node)) or {
                "result": result.DIDNOTFIND
            }

        def conslock(self, constraint: Any, locktype: Any, positive: int, negative: int) -> None:
            """Every column may break a row, whichever way it moves."""
            both = positive + negative
            for column in [*self.s, self.t]:
                self.model.addVarLocksType(column, locktype, both, both)

        def _integer(self, s: Array, t: float) -> list[Cut]:
            cut = self.separator.integer(s, t)
            return [] if cut is None else [cut]

        def _point(self, solution: Any) -> tuple[Array, float]:
            value = self.model.getSolVal
            s = np.array([value(solution, column) for column in self.s])
            return s, float(value(solution, self.t))

        def _add(self, cuts_at: Callable[[Array, float], list[Cut]]) -> dict[str, Any] | None:
            """Put the rows for the LP's point into the LP, if there are any."""
            model, cuts, cutoff = self.model, list[Cut](), False
            with self.separator.guard():
                cuts = cuts_at(*self._point(None))
            if self.separator.over:
                model.interruptSolve()
            for cut in cuts:
                # Removable, a row is cut again and again: it stays in its subtree.
                row = model.createEmptyRowUnspec(lhs=cut.value, local=False, removable=False)
                model.cacheRowExtensions(row)
                for j in np.flatnonzero(cut.gain):
                    model.addVarToRow(row, self.s[j], float(cut.gain[j]))
                model.addVarToRow(row, self.t, 1.0)
                model.flushRowExtensions(row)
                cutoff = model.addCut(row, forcecut=True) or cutoff
                model.releaseRow(row)
            if not cuts:
                return None
            return {"result": result.CUTOFF if cutoff else result.SEPARATED}

    return Handler
