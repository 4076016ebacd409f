"""Solver names of a benchmark -> arguments of `optprobe.solve`.

native             method bnb
SOLVER             method oa: outer approximation with a root phase and every cut that pays
SOLVER:plain       method oa-plain: cuts at integer points only, the literature's scheme
SOLVER:FORMULATION method compact: a formulation of the entry points "optprobe.formulations"
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from optprobe.mip.backends import BACKENDS, backend_table
from optprobe.mip.compact import formulations

PLAIN = "plain"


@dataclass(frozen=True)
class SolverSpec:
    """One column of the tables: a name, and what `solve` takes for it.

    A `method` that `solve` does not know is for a worker of its own, see `runner.execute`.
    """

    name: str
    method: str
    backend: str | None = None
    formulation: str | None = None

    @property
    def arguments(self) -> dict[str, Any]:
        """Of `solve`."""
        return {
            "method": self.method,
            "backend": self.backend,
            "formulation": self.formulation,
        }


NATIVE = SolverSpec("native", "bnb")


def parse_solver(name: str) -> SolverSpec:
    """The solver of that name.

    Raises:
        ValueError: an unknown backend or formulation; the sentence names the choices.
    """
    if name == NATIVE.name:
        return NATIVE
    backend, colon, variant = name.partition(":")
    if backend not in BACKENDS:
        choices = ", ".join((NATIVE.name, *BACKENDS))
        raise ValueError(f"unknown solver {name!r}; choose one of {choices}")
    if not colon:
        return SolverSpec(name, "oa", backend)
    if variant == PLAIN:
        return SolverSpec(name, "oa-plain", backend)
    if variant not in formulations():
        choices = ", ".join((PLAIN, *formulations()))
        raise ValueError(f"unknown variant {variant!r} of {backend}; choose one of {choices}")
    return SolverSpec(name, "compact", backend, variant)


def parse_solvers(
    names: str, parse: Callable[[str], SolverSpec] = parse_solver
) -> list[SolverSpec]:
    """A list such as "native,highs,gurobi:plain", each once.

    Raises:
        ValueError: as `parse`, or no name at all.
    """
    found = {name: parse(name) for part in names.split(",") if (name := part.strip())}
    if not found:
        raise ValueError("no solver named; pass e.g. native,highs")
    return list(found.values())


def available_solvers() -> list[SolverSpec]:
    """The native engine and outer approximation on every backend that can run here."""
    able = [state.name for state in backend_table() if state.available]
    return [NATIVE, *(parse_solver(name) for name in able)]
