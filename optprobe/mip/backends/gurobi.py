"""Gurobi: one tree, cuts added inside it by a callback (`separation.py`)."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
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

SIZE_LIMIT = 10010
"""Gurobi's error number for a model that the licence does not cover."""

FREE_COLUMNS = 1990
"""Candidates that fit the licence inside the pip package (2000 variables, 2000 rows)."""

SEARCH = {"MIPFocus": 3, "Heuristics": 0.0, "Cuts": 0}
"""Gurobi's own incumbents and cuts bring nothing: without them the bound rises twice as fast."""

HOW = 'pip install "optprobe[gurobi]"'

LICENCE_VARIABLES = {
    "GRB_WLSACCESSID": "WLSACCESSID",
    "GRB_WLSSECRET": "WLSSECRET",
    "GRB_LICENSEID": "LICENSEID",
}
"""Environment variables of a web licence, which gurobipy does not read -> its parameters."""

LIMIT: dict[str, Limit | None] = {
    "OPTIMAL": None,
    "TIME_LIMIT": Limit.TIME,
    "NODE_LIMIT": Limit.NODES,
    "MEM_LIMIT": Limit.MEMORY,
    "INTERRUPTED": Limit.INTERRUPTED,
    "SUBOPTIMAL": Limit.STALLED,
    "NUMERIC": Limit.STALLED,
}
"""Gurobi's status -> what stopped it. A status that is not here raises."""


def _gurobipy() -> ModuleType:
    """The solver's package, imported on first use."""
    try:
        import gurobipy
    except ImportError as error:
        raise NotInstalledError(f"the backend 'gurobi' needs gurobipy: {HOW}") from error
    return gurobipy


def environment(gurobipy: ModuleType) -> Any:
    """A silent Gurobi environment, on the web licence of the environment variables if all are set.

    Raises:
        LicenceError: Gurobi refuses to start.
    """
    params: dict[str, Any] = {"OutputFlag": 0}
    if all(os.environ.get(name) for name in LICENCE_VARIABLES):
        params |= {key: os.environ[name] for name, key in LICENCE_VARIABLES.items()}
        params["LICENSEID"] = int(params["LICENSEID"])
    try:
        return gurobipy.Env(params=params)
    except gurobipy.GurobiError as error:
        raise LicenceError(
            f"Gurobi found no valid licence ({error}); use another backend, update gurobipy for "
            "the size-limited licence inside it, or set GRB_LICENSE_FILE or "
            f"{', '.join(LICENCE_VARIABLES)}"
        ) from error


@contextmanager
def _model(gurobipy: ModuleType) -> Generator[Any]:
    """An empty model in an environment of its own, both disposed of afterwards."""
    with environment(gurobipy) as env, gurobipy.Model(env=env) as model:
        yield model


class Gurobi:
    """Gurobi behind the backend protocol."""

    name = "gurobi"
    capabilities = (
        Capability.LAZY_INTEGER
        | Capability.LAZY_FRACTIONAL
        | Capability.MIP_START
        | Capability.INTERRUPT
        | Capability.NODE_LIMIT
        | Capability.MEMORY_LIMIT
    )

    def check(self) -> None:
        """Raise NotInstalledError if gurobipy is missing."""
        _gurobipy()

    def available(self) -> Availability:
        """Installed or not, and which licence: found by asking for 2001 variables."""
        version = reason = limits = ""
        licence = "commercial or academic; a size-limited one comes with the package"
        try:
            gurobipy = _gurobipy()
            version = ".".join(str(part) for part in gurobipy.gurobi.version())
            with _model(gurobipy) as model:
                model.addVars(2001)
                expires = str(model.LicenseExpiration)
                try:
                    model.optimize()
                    licence, limits = "full", "none"
                except gurobipy.GurobiError as error:
                    if error.errno != SIZE_LIMIT:
                        raise
                    licence = "size-limited, inside the package"
                    limits = f"{FREE_COLUMNS} candidates"
            if expires != "99999999":
                licence += f", until {expires[:4]}-{expires[4:6]}-{expires[6:]}"
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
        gurobipy = _gurobipy()
        with _model(gurobipy) as model:
            params: dict[str, Any] = {
                "LazyConstraints": 1,
                "MIPGap": 0.0,
                "MIPGapAbs": 0.5 * master.tolerance,
                "FeasibilityTol": master.feasibility,
                "IntFeasTol": master.feasibility,
                "OptimalityTol": master.feasibility,
                "Seed": seed % 2**31,
                "Threads": threads,
                "TimeLimit": limits.time_s,
                "NodeLimit": limits.nodes,
                "SoftMemLimit": limits.memory_bytes / 1e9,
            }
            if master.fractional:
                params |= SEARCH
            for name, value in params.items():
                model.setParam(name, value)
            s = model.addMVar(master.p, vtype=gurobipy.GRB.BINARY)
            t = model.addVar(obj=1.0)
            model.addConstr(s.sum() <= master.k)
            model.addConstr(t + master.gain @ s >= master.value)
            s.Start = np.isin(np.arange(master.p), mip_start).astype(float)
            t.Start = master.upper
            separator = Separator(master, oracle, stop, on_progress)
            try:
                model.optimize(_Callback(gurobipy, separator, s.tolist(), t))
            except gurobipy.GurobiError as error:
                if error.errno == SIZE_LIMIT:
                    raise too_large("Gurobi", master.p, FREE_COLUMNS) from error
                raise BackendError(f"Gurobi failed: {error}") from error
            if separator.error is not None:
                raise separator.error
            limits_by_status = {getattr(gurobipy.GRB, word): LIMIT[word] for word in LIMIT}
            if model.Status not in limits_by_status:
                raise BackendError(f"Gurobi ended with the unexpected status {model.Status}")
            limit = None if separator.stopped else limits_by_status[model.Status]
            return MipResult(
                max(0.0, float(model.ObjBound)),
                separator.supports,
                limit,
                int(model.NodeCount),
                separator.statistics,
            )


BACKEND = Gurobi()


class _Callback:
    """What Gurobi calls; the state is the separator's."""

    def __init__(self, gurobipy: ModuleType, separator: Separator, s: list[Any], t: Any) -> None:
        self.gurobipy, self.where = gurobipy, gurobipy.GRB.Callback
        self.separator, self.s, self.t = separator, s, t

    def __call__(self, model: Any, where: int) -> None:
        """Gurobi's entry."""
        with self.separator.guard():
            if where == self.where.MIPSOL:
                point = np.array(model.cbGetSolution([*self.s, self.t]))
                self._add(model, self.separator.integer(point[:-1], float(point[-1])))
            elif where == self.where.MIPNODE:
                self._relaxed(model)
            elif where == self.where.MIP:
                nodes = int(model.cbGet(self.where.MIP_NODCNT))
                self.separator.report(nodes, model.cbGet(self.where.MIP_OBJBND))
        if self.separator.over:
            model.terminate()

    def _relaxed(self, model: Any) -> None:
        """Offer a better incumbent; cut the relaxation's point where that is wanted."""
        better = self.separator.better()
        if better is not None:
            model.cbSetSolution([*self.s, self.t], better.tolist())
        if model.cbGet(self.where.MIPNODE_STATUS) != self.gurobipy.GRB.OPTIMAL:
            return
        point = np.array(model.cbGetNodeRel([*self.s, self.t]))
        node = int(model.cbGet(self.where.MIPNODE_NODCNT))
        for cut in self.separator.fractional(point[:-1], float(point[-1]), node):
            self._add(model, cut)

    def _add(self, model: Any, cut: Cut | None) -> None:
        """t + gain . s >= value."""
        if cut is not None:
            used = np.flatnonzero(cut.gain)
            row = self.gurobipy.LinExpr(cut.gain[used].tolist(), [self.s[j] for j in used])
            model.cbLazy(row + self.t >= cut.value)
