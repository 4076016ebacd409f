"""Gurobi: one tree, cuts added inside it.

At an integer point (s, t) whose t is below the oracle's cut the point is refused by a lazy cut.
Where the root gap is wide the relaxation's fractional points are cut as well, which is what closes
hard instances: the master's linear bound then follows the perspective bound down the tree.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Int

from optprobe.mip.backends.base import (
    FRACTIONAL_VIOLATION,
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
    TooLargeError,
)
from optprobe.result import Limit, Limits

Array = np.ndarray

SIZE_LIMIT = 10010
"""Gurobi's error number for a model that the licence does not cover."""

FREE_COLUMNS = 1990
"""Candidates that fit the licence inside the pip package (2000 variables, 2000 rows)."""

ROUNDS = 20
"""Fractional cuts at one node before Gurobi branches."""

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
            callback = _Callback(gurobipy, master, oracle, s.tolist(), t, stop, on_progress)
            try:
                model.optimize(callback)
            except gurobipy.GurobiError as error:
                if error.errno == SIZE_LIMIT:
                    raise TooLargeError(_too_large(master.p)) from error
                raise BackendError(f"Gurobi failed: {error}") from error
            if callback.error is not None:
                raise callback.error
            limits_by_status = {getattr(gurobipy.GRB, word): LIMIT[word] for word in LIMIT}
            if model.Status not in limits_by_status:
                raise BackendError(f"Gurobi ended with the unexpected status {model.Status}")
            limit = None if callback.stopped else limits_by_status[model.Status]
            return MipResult(
                max(0.0, float(model.ObjBound)),
                tuple(callback.held.values()),
                limit,
                int(model.NodeCount),
                {"lazy_cuts": float(callback.lazy), "fractional_cuts": float(callback.fractional)},
            )


BACKEND = Gurobi()


def _too_large(p: int) -> str:
    """What to do about Gurobi's size limit."""
    return (
        f"the master has {p} candidates, more than Gurobi's size-limited licence allows "
        f"({FREE_COLUMNS}): pass fewer candidates (--candidates {FREE_COLUMNS}), choose another "
        "backend (--backend highs), or install a full Gurobi licence"
    )


class _Callback:
    """Adds the oracle's cuts; an exception is kept, the solver stopped, `solve` raises it."""

    def __init__(
        self,
        gurobipy: ModuleType,
        master: Master,
        oracle: Oracle,
        s: list[Any],
        t: Any,
        stop: Callable[[float], bool],
        on_progress: Callable[[Progress], None],
    ) -> None:
        self.gurobipy, self.where = gurobipy, gurobipy.GRB.Callback
        self.master, self.oracle, self.s, self.t = master, oracle, s, t
        self.stop, self.on_progress = stop, on_progress
        self.upper = master.upper
        self.pending: Array | None = None
        self.held: dict[bytes, Array] = {}
        self.lazy = self.fractional = 0
        self.node, self.rounds = -1, 0
        self.stopped = False
        self.error: BaseException | None = None

    def __call__(self, model: Any, where: int) -> None:
        """Gurobi's entry."""
        try:
            if where == self.where.MIPSOL:
                self._integer(model)
            elif where == self.where.MIPNODE:
                self._relaxed(model)
            elif where == self.where.MIP:
                bound = max(0.0, model.cbGet(self.where.MIP_OBJBND))
                self.on_progress(Progress(int(model.cbGet(self.where.MIP_NODCNT)), bound))
                self.stopped |= self.stop(bound)
        except BaseException as error:  # gurobipy would swallow it and answer OPTIMAL
            self.error = error
        if self.stopped or self.error is not None:
            model.terminate()

    def _integer(self, model: Any) -> None:
        """Refuse (s, t) if t is too small; offer Gurobi the same s with its true t later."""
        point = np.array(model.cbGetSolution(self.s))
        support = np.flatnonzero(point > 0.5)
        self.held.setdefault(support.tobytes(), support)
        found = self.oracle.at_support(support)
        at = np.isin(np.arange(self.master.p), support).astype(float)
        if found.cut.at(at) - model.cbGetSolution(self.t) > self.master.violation:
            self._lazy(model, found.cut)
            self.lazy += 1
        if found.objective < self.upper:
            self.upper, self.pending = found.objective, support

    def _relaxed(self, model: Any) -> None:
        """Offer a better incumbent; cut the relaxation's point where that is wanted."""
        if self.pending is not None:
            value = np.isin(np.arange(self.master.p), self.pending).astype(float)
            model.cbSetSolution([*self.s, self.t], [*value.tolist(), self.upper])
            self.pending = None
        if not self.master.fractional:
            return
        if model.cbGet(self.where.MIPNODE_STATUS) != self.gurobipy.GRB.OPTIMAL:
            return
        node = int(model.cbGet(self.where.MIPNODE_NODCNT))
        self.node, self.rounds = node, self.rounds + 1 if node == self.node else 1
        if self.rounds > ROUNDS:
            return
        s = np.clip(np.array(model.cbGetNodeRel(self.s)), 0.0, 1.0)
        t = model.cbGetNodeRel(self.t)
        cut = self.oracle.at_fraction(s)
        if cut.at(s) - t > FRACTIONAL_VIOLATION:
            self._lazy(model, cut)
            self.fractional += 1

    def _lazy(self, model: Any, cut: Cut) -> None:
        """t + gain . s >= value."""
        used = np.flatnonzero(cut.gain)
        row = self.gurobipy.LinExpr(cut.gain[used].tolist(), [self.s[j] for j in used])
        model.cbLazy(row + self.t >= cut.value)
