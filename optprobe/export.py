"""Compact models as files that the solvers' own readers accept.

    mps, lp   for MIP solvers;  nl  for AMPL solvers;  pyomo  a Python file that holds `model`

Variables keep their names, chosen(j), beta(j) and intercept with j a column of X, so that a
solver's solution file can be read back (`solution_file.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Int

from formulations.parts import pyomo
from optprobe.bounds import DualPoint
from optprobe.mip.compact import get_formulation
from optprobe.mip.outer_approximation import outer_approximation
from optprobe.problem import Problem
from optprobe.result import Limits

Array = np.ndarray
Format = Literal["mps", "lp", "nl", "pyomo"]
FORMATS: tuple[str, ...] = get_args(Format)

MASTER = "outer_approximation"
"""The formulation whose model consists of cuts."""

SCRIPT = '''"""The {formulation} model of {data}, k = {k}: `pyomo solve` and Python read `model`."""

from pathlib import Path

import numpy as np

from optprobe import files
from optprobe.mip.compact import get_formulation

problem = files.read(Path({data!r})).problem(
    k={k}, lam={lam!r}, loss={loss!r}, weights={weights!r}
)
columns = np.array({columns})
model = get_formulation({formulation!r}).build(problem, columns)
'''


@dataclass(frozen=True)
class Written:
    """A model file.

    Attributes:
        variables, binary, rows: how large the model is; None for a Python file.
    """

    path: Path
    variables: int | None = None
    binary: int | None = None
    rows: int | None = None


def cuts_of_a_solve(
    problem: Problem, columns: Int[Array, "p"], limits: Limits
) -> Sequence[DualPoint]:
    """The dual points of every cut that a solve on HiGHS has made when a limit stops it."""
    return outer_approximation(problem, columns, limits=limits).points


def write_model(
    problem: Problem,
    columns: Int[Array, "p"],
    formulation: str,
    path: Path,
    points: Sequence[DualPoint] = (),
) -> Written:
    """Write a model; the path's suffix, .mps, .lp or .nl, is the format.

    Args:
        points: the cuts of "outer_approximation", see `cuts_of_a_solve`; no use to the others.

    Raises:
        ValueError: unknown formulation, a loss it does not cover, or candidates it cannot have.
        ModuleNotFoundError: Pyomo is missing; the message names the pip command.
        OSError: the file cannot be written.
    """
    pyo = pyomo()
    found: Any = get_formulation(formulation)
    more = {"points": points} if formulation == MASTER else {}
    model = found.build(problem, columns, **more)
    model.write(str(path), io_options={"symbolic_solver_labels": True})
    return Written(
        path,
        sum(1 for _ in model.component_data_objects(pyo.Var)),
        len(columns),
        sum(1 for _ in model.component_data_objects(pyo.Constraint)),
    )


def write_script(
    problem: Problem,
    columns: Int[Array, "p"],
    formulation: str,
    path: Path,
    data: Path,
    weights: str,
) -> Written:
    """Write Python that builds the model from the activation file it came from."""
    get_formulation(formulation)
    text = SCRIPT.format(
        formulation=formulation,
        data=str(data.resolve()),
        k=problem.k,
        lam=problem.lam,
        loss=problem.loss_name,
        weights=weights,
        columns=columns.tolist(),
    )
    path.write_text(text, encoding="utf-8")
    return Written(path)
