"""CPLEX: one tree, cuts added inside it by a generic callback (`separation.py`)."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Float64, Int

from optprobe.mip.backends.base import (
    Availability,
    BackendError,
    Capability,
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

SIZE_LIMIT = 1016
"""CPLEX's error number for a model that the Community Edition does not cover."""

LICENCE_ERRORS = range(32000, 33000)
"""CPLEX's error numbers for a licence that is missing, expired or refused."""

FREE_COLUMNS = 990
"""Candidates that fit the Community Edition (1000 variables, 1000 rows)."""

HOW = 'pip install "optprobe[cplex]"'

LIMIT: dict[str, Limit | None] = {
    "MIP_optimal": None,
    "optimal_tolerance": None,
    "MIP_time_limit_feasible": Limit.TIME,
    "MIP_time_limit_infeasible": Limit.TIME,
    "node_limit_feasible": Limit.NODES,
    "node_limit_infeasible": Limit.NODES,
    "mem_limit_feasible": Limit.MEMORY,
    "mem_limit_infeasible": Limit.MEMORY,
    "MIP_abort_feasible": Limit.INTERRUPTED,
    "MIP_abort_infeasible": Limit.INTERRUPTED,
}
"""CPLEX's name of a status -> what stopped it. A status that is not here raises."""


def _cplex() -> ModuleType:
    """The solver's package, imported on first use."""
    try:
        import cplex
    except ImportError as error:
        raise NotInstalledError(f"the backend 'cplex' needs cplex: {HOW}") from error
    return cplex


@contextmanager
def _model(cplex: ModuleType, p: int) -> Generator[Any]:
    """A silent empty model, disposed of afterwards, with CPLEX's errors turned into ours.

    Raises:
        LicenceError, TooLargeError, BackendError: what CPLEX said while it was used for p columns.
    """
    try:
        with cplex.Cplex() as model:
            for silence in (
                model.set_log_stream,
                model.set_results_stream,
                model.set_warning_stream,
                model.set_error_stream,
            ):
                silence(None)
            yield model
    except cplex.exceptions.CplexError as error:
        raise _translated(error, p) from error


def _translated(error: Exception, p: int) -> BackendError:
    """What a CplexError means for somebody who wanted p candidates."""
    said = str(error.args[0]) if error.args else str(error)
    number = error.args[2] if len(error.args) > 2 else 0
    if number == SIZE_LIMIT:
        return too_large("CPLEX", p, FREE_COLUMNS)
    if number in LICENCE_ERRORS:
        return LicenceError(
            f"CPLEX found no valid licence ({said}); use another backend, or set its "
            "licence right (the package from pip needs none up to its size limit)"
        )
    return BackendError(f"CPLEX failed: {said}")


class Cplex:
    """CPLEX behind the backend protocol."""

    name = "cplex"
    capabilities = (
        Capability.LAZY_INTEGER
        | Capability.LAZY_FRACTIONAL
        | Capability.MIP_START
        | Capability.INTERRUPT
        | Capability.NODE_LIMIT
        | Capability.MEMORY_LIMIT
    )

    def check(self) -> None:
        """Raise NotInstalledError if cplex is missing."""
        _cplex()

    def available(self) -> Availability:
        """Installed or not, and which edition: found by asking for 1001 variables."""
        version = reason = limits = ""
        licence = "commercial or academic; the Community Edition comes with the package"
        try:
            cplex = _cplex()
            try:
                with _model(cplex, 1001) as model:
                    version = str(model.get_version())
                    model.variables.add(types="B" * 1001)
                    model.solve()
                licence, limits = "full", "none"
            except BackendError as error:
                if error.status != "too_large":
                    raise
                licence, limits = "Community Edition", f"{FREE_COLUMNS} candidates"
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
        cplex, p = _cplex(), master.p
        separator = Separator(master, oracle, stop, on_progress)
        with _model(cplex, p) as model:
            _set_parameters(model.parameters, master, limits, seed, threads)
            model.variables.add(
                obj=[0.0] * p + [1.0],
                lb=[0.0] * (p + 1),
                ub=[1.0] * p + [cplex.infinity],
                types="B" * p + "C",
            )
            model.linear_constraints.add(
                lin_expr=[[list(range(p)), [1.0] * p], *(_row(gain) for gain in master.gain)],
                senses="L" + "G" * len(master.value),
                rhs=[float(master.k), *master.value.tolist()],
            )
            start = [*separator.indicator(mip_start).tolist(), master.upper]
            model.MIP_starts.add(
                [list(range(p + 1)), start], model.MIP_starts.effort_level.check_feasibility
            )
            where = cplex.callbacks.Context.id
            model.set_callback(
                _Callback(cplex, separator),
                where.candidate | where.relaxation | where.global_progress,
            )
            try:
                model.solve()
            finally:
                if separator.error is not None:
                    raise separator.error
            status = model.solution.status[model.solution.get_status()]
            if status not in LIMIT:
                raise BackendError(f"CPLEX ended with the unexpected status {status!r}")
            return MipResult(
                max(0.0, float(model.solution.MIP.get_best_objective())),
                separator.supports,
                None if separator.stopped else LIMIT[status],
                int(model.solution.progress.get_num_nodes_processed()),
                separator.statistics,
            )


BACKEND = Cplex()


def _set_parameters(
    parameters: Any, master: Master, limits: Limits, seed: int, threads: int
) -> None:
    """CPLEX's parameters for one solve."""
    for parameter, value in (
        (parameters.mip.tolerances.mipgap, 0.0),
        (parameters.mip.tolerances.absmipgap, 0.5 * master.tolerance),
        (parameters.mip.tolerances.integrality, master.feasibility),
        (parameters.simplex.tolerances.feasibility, master.feasibility),
        (parameters.simplex.tolerances.optimality, master.feasibility),
        (parameters.timelimit, min(limits.time_s, 1e75)),
        (parameters.mip.limits.nodes, int(min(limits.nodes, 2**62))),
        (parameters.mip.limits.treememory, min(limits.memory_bytes / 2**20, 1e75)),
        (parameters.randomseed, seed % 2**31),
        (parameters.threads, threads),
        (parameters.preprocessing.reduce, 0),  # reductions would assume that no other rows exist
        (parameters.preprocessing.symmetry, 0),
    ):
        parameter.set(value)


def _row(gain: Float64[Array, "p"]) -> list[list[Any]]:
    """The left-hand side of t + gain . s >= value."""
    used = np.flatnonzero(gain)
    return [[*used.tolist(), len(gain)], [*gain[used].tolist(), 1.0]]


class _Callback:
    """What CPLEX calls; the state is the separator's."""

    def __init__(self, cplex: ModuleType, separator: Separator) -> None:
        self.separator = separator
        self.keep = cplex.callbacks.UserCutCallback.use_cut.force

    def invoke(self, context: Any) -> None:
        """CPLEX's entry."""
        separator = self.separator
        with separator.guard():
            nodes = int(context.get_long_info(context.info.node_count))
            separator.report(nodes, context.get_double_info(context.info.best_bound))
            if context.in_candidate():
                point = np.array(context.get_candidate_point())
                cut = separator.integer(point[:-1], float(point[-1]))
                if cut is not None:
                    context.reject_candidate([_row(cut.gain)], "G", [cut.value])
            elif context.in_relaxation():
                self._relaxed(context, nodes)
        if separator.over:
            context.abort()

    def _relaxed(self, context: Any, nodes: int) -> None:
        """Offer a better incumbent; cut the relaxation's point where that is wanted."""
        better = self.separator.better()
        if better is not None:
            whole = [list(range(len(better))), better.tolist()]
            unchecked = context.solution_strategy.no_check
            context.post_heuristic_solution(whole, float(better[-1]), unchecked)
        point = np.array(context.get_relaxation_point())
        for cut in self.separator.fractional(point[:-1], float(point[-1]), nodes):
            context.add_user_cut(_row(cut.gain), "G", cut.value, self.keep, False)
