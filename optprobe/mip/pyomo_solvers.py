"""The solvers that Pyomo calls: what each can take, its option names, and what its words mean.

All are driven through Pyomo's `SolverFactory`, which also finds solvers that are not named here:
those get the model and the time limit, and are taken at their word.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import os
import time
import warnings
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from formulations.base import ConcreteModel, Kind
from optprobe.mip.backends.base import (
    BackendError,
    LicenceError,
    NotInstalledError,
    TooLargeError,
)
from optprobe.mip.backends.gurobi import LICENCE_VARIABLES
from optprobe.result import Limit

LINEAR = frozenset({Kind.LP, Kind.MILP})
EVERY = frozenset(Kind)


@dataclass(frozen=True)
class Settings:
    """What is asked of one solve: seconds, relative gap, feasibility tolerance, seed, threads."""

    time_s: float
    gap: float
    feasibility: float
    seed: int
    threads: int


@dataclass(frozen=True)
class PyomoSolver:
    """One solver as Pyomo knows it.

    Attributes:
        factory: its name in Pyomo's `SolverFactory`.
        package: the Python package behind it, "" if unknown; `how` installs it.
        kinds: the classes of problem it takes.
        time, gap, seed, threads: names of its options, "" where there is none.
        zero: options set to 0: absolute gaps, so that the relative one decides.
        feasibility: names of its tolerances.
        too_large: what its error says of a model past the size that the licence covers.
        licence: what it says where there is none.
        environment: options to be set before the solver's environment starts.
        prepare: called before every solve.
    """

    name: str
    factory: str
    package: str = ""
    how: str = ""
    kinds: frozenset[Kind] = EVERY
    time: str = ""
    gap: str = ""
    zero: tuple[str, ...] = ()
    seed: str = ""
    threads: str = ""
    feasibility: tuple[str, ...] = ()
    too_large: str = ""
    licence: str = ""
    environment: Callable[[], Mapping[str, Any]] = field(default=dict)
    prepare: Callable[[], None] = field(default=lambda: None)

    def options(self, settings: Settings) -> dict[str, Any]:
        """The settings under the solver's own names."""
        wanted: dict[str, Any] = {self.gap: settings.gap, self.seed: settings.seed % 2**31}
        wanted |= dict.fromkeys(self.zero, 0.0)
        wanted |= dict.fromkeys(self.feasibility, settings.feasibility)
        if settings.threads:
            wanted[self.threads] = settings.threads
        if settings.time_s < 1e9:
            wanted[self.time] = settings.time_s
        return {name: value for name, value in wanted.items() if name}


def _gurobi_environment() -> dict[str, Any]:
    """A silent environment, on the web licence of the environment variables if all are set."""
    params: dict[str, Any] = {"OutputFlag": 0}
    if all(os.environ.get(name) for name in LICENCE_VARIABLES):
        params |= {key: os.environ[name] for name, key in LICENCE_VARIABLES.items()}
        params["LICENSEID"] = int(params["LICENSEID"])
    return {"manage_env": True, "options": params}


def _reset_highs() -> None:
    """Without it HiGHS keeps the first thread count that the process asked for."""
    importlib.import_module("highspy").Highs.resetGlobalScheduler(True)


SOLVERS = {
    solver.name: solver
    for solver in (
        PyomoSolver(
            "highs",
            "highs",
            "highspy",
            'pip install "highspy>=1.15.1"',
            LINEAR,
            time="time_limit",
            gap="mip_rel_gap",
            zero=("mip_abs_gap",),
            seed="random_seed",
            threads="threads",
            feasibility=(
                "mip_feasibility_tolerance",
                "primal_feasibility_tolerance",
                "dual_feasibility_tolerance",
            ),
            prepare=_reset_highs,
        ),
        PyomoSolver(
            "gurobi",
            "gurobi_direct",
            "gurobipy",
            'pip install "optprobe[gurobi]"',
            time="TimeLimit",
            gap="MIPGap",
            zero=("MIPGapAbs",),
            seed="Seed",
            threads="Threads",
            feasibility=("FeasibilityTol", "IntFeasTol", "OptimalityTol", "BarQCPConvTol"),
            too_large="Model too large for size-limited license",
            licence="icense",
            environment=_gurobi_environment,
        ),
        PyomoSolver(
            "scip",
            "scip_direct",
            "pyscipopt",
            "pip install pyscipopt",
            time="limits/time",
            gap="limits/gap",
            zero=("limits/absgap",),
            seed="randomization/randomseedshift",
            threads="lp/threads",
            feasibility=("numerics/feastol", "numerics/dualfeastol"),
        ),
        PyomoSolver(
            "cplex",
            "cplex_direct",
            "cplex",
            "pip install cplex",
            time="timelimit",
            gap="mip_tolerances_mipgap",
            zero=("mip_tolerances_absmipgap",),
            seed="randomseed",
            threads="threads",
            feasibility=(
                "mip_tolerances_integrality",
                "simplex_tolerances_feasibility",
                "simplex_tolerances_optimality",
                "barrier_qcpconvergetol",
            ),
            too_large="1016",
            licence="icens",
        ),
        PyomoSolver(
            "xpress",
            "xpress_direct",
            "xpress",
            "pip install xpress",
            time="timelimit",
            gap="miprelstop",
            zero=("mipabsstop", "mipaddcutoff", "miprelcutoff"),
            seed="randomseed",
            threads="threads",
            feasibility=("feastol", "miptol", "optimalitytol"),
            too_large="too many rows and columns",
            licence="icens",
        ),
    )
}
"""The solvers that the project knows; any other name goes to Pyomo as it is."""

NO_INTERFACE = {
    "copt": "the coptpy package brings none, COPT's own plug-in comes with its installer"
}
"""Solvers that have a Python package and no way from Pyomo to it."""

LIMIT: dict[str, Limit | None] = {
    "optimal": None,
    "globallyOptimal": None,
    "maxTimeLimit": Limit.TIME,
    "maxIterations": Limit.NODES,
    "maxEvaluations": Limit.NODES,
    "userInterrupt": Limit.INTERRUPTED,
    "resourceInterrupt": Limit.INTERRUPTED,
    "feasible": Limit.STALLED,
    "other": Limit.STALLED,  # Xpress: a solution, and a limit of whatever sort
    "unknown": Limit.STALLED,  # among them memory limits
}
"""Pyomo's termination condition -> what stopped the solver. A word that is not here raises."""

UNDECIDED = ("feasible", "other", "unknown", "error")
"""Words that some interfaces use for a time limit: then the clock decides."""


@dataclass(frozen=True)
class Claim:
    """What a solver says of a model; its solution, if any, is in the model's variables.

    Attributes:
        lower: bound on the optimum, minus infinity if there is none.
        solved: the variables hold a feasible point.
    """

    lower: float
    solved: bool
    limit: Limit | None


def find_solver(name: str) -> PyomoSolver:
    """The solver of that name, installed.

    Raises:
        NotInstalledError: Pyomo or the solver is missing, or Pyomo does not know it.
    """
    solver = SOLVERS.get(name, PyomoSolver(name, name))
    if name in NO_INTERFACE:
        raise NotInstalledError(
            f"Pyomo has no interface to {name!r} ({NO_INTERFACE[name]}): write the model to a file "
            f"for it, or choose one of {', '.join(SOLVERS)}"
        )
    with _quiet():  # Pyomo follows the import of a solver's package with calls of its own
        pyo = _pyomo()
        if solver.package:
            try:
                importlib.import_module(solver.package)
            except ImportError as error:
                raise NotInstalledError(
                    f"the solver {name!r} needs {solver.package}: {solver.how}"
                ) from error
            return solver
        known = pyo.SolverFactory(name).available(exception_flag=False)
    if not known:
        raise NotInstalledError(
            f"Pyomo finds no solver {name!r}: install it so that "
            f"pyomo.environ.SolverFactory({name!r}).available() is true, or choose one of "
            f"{', '.join(SOLVERS)}"
        )
    return solver


def run(solver: PyomoSolver, model: ConcreteModel, settings: Settings) -> Claim:
    """Solve a model and leave the solution, if there is one, in its variables.

    Raises:
        TooLargeError, LicenceError: the solver's licence refuses the model.
        BackendError: the solver fails, or ends in a way that `LIMIT` does not know.
    """
    began = time.monotonic()
    known = solver.name in SOLVERS
    extra: dict[str, Any] = {}
    if known:
        extra["options"] = solver.options(settings)
    elif settings.time_s < 1e9:
        extra["timelimit"] = settings.time_s
    try:
        with _quiet():
            solver.prepare()
            interface = _pyomo().SolverFactory(solver.factory, **solver.environment())
            with interface:
                results = interface.solve(model, load_solutions=False, **extra)
                solved = len(results.solution) > 0 and _has_values(results)
                if solved:
                    model.solutions.load_from(results)
    except Exception as error:
        raise _translated(solver, error) from error
    word = str(results.solver.termination_condition)
    over = time.monotonic() - began >= 0.9 * settings.time_s
    if word in UNDECIDED and over:
        limit: Limit | None = Limit.TIME
    elif word in LIMIT:
        limit = LIMIT[word]
    else:
        raise BackendError(
            f"{solver.name} ended with {word!r} ({results.solver.termination_message}) on a model "
            "that has a solution: try another solver, or report this with the data and settings"
        )
    lower = results.problem.lower_bound
    return Claim(float("-inf") if lower is None else float(lower), solved, limit)


def _has_values(results: Any) -> bool:
    """Whether the first solution holds variables (a solver may return an empty one)."""
    return len(results.solution(0).variable) > 0


def _translated(solver: PyomoSolver, error: Exception) -> BackendError:
    """The solver's own exception as one that says what to do."""
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if solver.too_large and solver.too_large in str(error):
        return TooLargeError(
            f"the model exceeds what the licence of {solver.name} allows ({text}): pass fewer "
            "candidates or rows, choose the solver highs or scip, or install a full licence"
        )
    if solver.licence and solver.licence in str(error):
        return LicenceError(
            f"{solver.name} found no valid licence ({text}): install one, or choose the solver "
            "highs or scip, which need none"
        )
    return BackendError(f"{solver.name} failed: {text}")


def _pyomo() -> Any:
    """pyomo.environ, imported on first use."""
    try:
        return importlib.import_module("pyomo.environ")
    except ModuleNotFoundError as error:
        raise NotInstalledError(
            'the formulations need Pyomo; install it with: pip install "optprobe[pyomo]"'
        ) from error


@contextlib.contextmanager
def _quiet() -> Generator[None]:
    """Keep what the solvers and Pyomo's interfaces print, warn of and log to themselves."""
    log = logging.getLogger("pyomo")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            # Pyomo calls functions of Xpress that Xpress has renamed, and Xpress its free licence.
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
