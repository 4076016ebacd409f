"""A solution from outside: what a solver wrote for an exported model, judged under the true loss.

Read are the text files "name value" of Gurobi, SCIP, COPT and HiGHS (its style 0) and the XML of
CPLEX. The names are those of the formulations: chosen(j), beta(j) and intercept, where j is a
column of X; other names are left alone. AMPL's .sol files carry no names and are refused.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int

from optprobe.problem import Problem
from optprobe.result import Bounds
from optprobe.support import fit_support

Array = np.ndarray

INTEGRAL = 1e-3
"""How far a value of chosen(j) may be from 0 or 1."""

LARGEST = 2**26
"""Bytes of a file that will be read."""

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
TEXT = re.compile(rf"^(\w+)(?:[(\[](\d+)[)\]])?[ \t]+({NUMBER})(?=\s|$)", re.MULTILINE)
XML = re.compile(rf'<variable name="(\w+)(?:[(\[](\d+)[)\]])?"[^>]*?\bvalue="({NUMBER})"')


class SolutionError(ValueError):
    """A file that holds no solution of ours; the message names it and says what is wrong."""


@dataclass(frozen=True)
class Solution:
    """What a file says.

    Attributes:
        support: columns of X, increasing.
        beta, intercept: None if the file has no values for them.
    """

    support: Int[Array, "s"]
    beta: Float64[Array, "s"] | None
    intercept: float | None


@dataclass(frozen=True)
class Judgement:
    """A solution beside certified bounds on the optimum.

    Attributes:
        stated: objective with the file's own coefficients, None if it has none.
        refitted: best objective on its support.
    """

    support: Int[Array, "s"]
    stated: float | None
    refitted: float

    def regret(self, bounds: Bounds) -> tuple[float, float]:
        """Least and most relative distance of `refitted` from the optimum."""
        above = [(self.refitted - best) / abs(best) for best in (bounds.upper, bounds.lower)]
        return max(above[0], 0.0), max(above[1], 0.0)


def read_solution(path: Path) -> Solution:
    """The support and, where they are given, the coefficients of a solution file.

    Raises:
        SolutionError: no such file, or not one that can be read; what is missing or wrong in it.
    """
    text = _text(path)
    values: dict[tuple[str, int], float] = {}
    for name, index, value in (XML if text.lstrip().startswith("<?xml") else TEXT).findall(text):
        if (name in ("chosen", "beta")) == bool(index) and name in ("chosen", "beta", "intercept"):
            values[name, int(index or 0)] = float(value)
    chosen = {j: value for (name, j), value in values.items() if name == "chosen"}
    beta = {j: value for (name, j), value in values.items() if name == "beta"}
    if not chosen:
        raise SolutionError(
            f"{path} names no variable chosen(j): pass a text or CPLEX solution file of a model "
            "written by `optprobe export` with its names kept"
        )
    for j, value in chosen.items():
        if not min(abs(value), abs(value - 1.0)) <= INTEGRAL:
            raise SolutionError(f"{path}: chosen({j}) = {value:g} is neither 0 nor 1")
    support = np.array(sorted(j for j, value in chosen.items() if value > 0.5), np.int64)
    if not beta:
        return Solution(support, None, None)
    # SCIP leaves out what is zero.
    coefficients = np.array([beta.get(int(j), 0.0) for j in support])
    return Solution(support, coefficients, values.get(("intercept", 0), 0.0))


def _text(path: Path) -> str:
    """The file as text, if it is a file of a sane size."""
    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise SolutionError(f"{path} has {size} bytes; a solution file has less than {LARGEST}")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise SolutionError(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise SolutionError(f"{path} is no text file; pass a solver's solution file") from error


def judge_solution(problem: Problem, solution: Solution) -> Judgement:
    """Its objectives under the true loss, in float64.

    Raises:
        SolutionError: more than k columns, or columns that no support may hold.
    """
    support = solution.support
    outside = np.setdiff1d(support, problem.usable)
    if len(outside):
        raise SolutionError(
            f"the solution uses column {int(outside[0])}, which is constant or not one of the "
            f"{problem.d} columns"
        )
    if len(support) > problem.k:
        raise SolutionError(f"the solution uses {len(support)} columns, more than k={problem.k}")
    stated = None
    if solution.beta is not None and solution.intercept is not None:
        with np.errstate(all="ignore"):
            stated = problem.objective(support, solution.beta, solution.intercept)
        if not math.isfinite(stated):
            raise SolutionError("the solution's coefficients give no finite objective")
    columns = problem.data.columns(support, problem.data.train)
    fit = fit_support(columns, problem.rows).solution[0]
    refitted = problem.objective(support, fit[:-1], float(fit[-1]))
    return Judgement(support, stated, refitted)
