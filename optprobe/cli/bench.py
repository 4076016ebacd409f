"""`optprobe bench`: solvers against each other on the same instances."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from optprobe.cli import common

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optprobe.bench.instances import Instance
    from optprobe.bench.runner import Folder
    from optprobe.bench.specs import SolverSpec


def bench(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILES]...", help="Activation files to solve, beside the grid."),
    ] = None,
    grid: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PATH",
            help="quick, synthetic, real, or a TOML file; quick if no FILES are given.",
        ),
    ] = None,
    solvers: Annotated[
        str | None,
        typer.Option(
            help="Such as native,highs,gurobi:plain,highs:big_m; by default native and every "
            "backend that can run here."
        ),
    ] = None,
    time_limit: Annotated[float, typer.Option(metavar="SECONDS", help="Per run.")] = 60.0,
    gap: Annotated[float, typer.Option(help="Relative gap at which a run is solved.")] = 1e-4,
    seeds: Annotated[int, typer.Option(help="Data and solver seeds 0 to N-1.")] = 1,
    repeat: Annotated[int, typer.Option(help="Repetitions of every run, for its median.")] = 1,
    threads: Annotated[int, typer.Option(help="Of the solver and of BLAS.")] = 1,
    memory_gb: Annotated[float, typer.Option(help="Address space of a run.")] = 8.0,
    jobs: Annotated[
        int, typer.Option(help="Runs at a time; more than one makes the times rough.")
    ] = 1,
    k: Annotated[
        str | None, typer.Option(help="Cardinalities instead of the grid's: 3, 1:8 or 1,2,4.")
    ] = None,
    ridge: Annotated[
        str | None, typer.Option(help="Ridges instead of the grid's: 1,0.1 or 1/sqrt(n).")
    ] = None,
    loss: Annotated[
        str | None, typer.Option(help="Losses instead of the grid's, such as hinge,logistic.")
    ] = None,
    candidates: Annotated[
        str | None, typer.Option(help="Columns instead of the grid's: all, or the best N.")
    ] = None,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Where records, tables and reports go.")
    ] = Path("optprobe-bench"),
) -> None:
    """Time solvers on the same problems, every run in a process of its own.

    A run that is in DIR already is not repeated. Exit codes: 0, every run is
    done, whatever came of it; 2, bad input; 3, Ctrl-C, with a report on what
    was done by then.
    """
    with common.stoppable():
        with common.bad_input(ValueError, TypeError):
            if sys.platform == "win32":
                raise ValueError("the benchmark limits memory by POSIX means; run it under WSL")
            from optprobe.bench.grid import Overrides, instances
            from optprobe.bench.runner import Folder, execute
            from optprobe.bench.runs import Settings, plan
            from optprobe.bench.table import require_pyarrow

            require_pyarrow()
            chosen = _solvers(solvers)
            settings = Settings(gap, time_limit, threads, memory_gb)
            if jobs < 1:
                raise ValueError(f"--jobs {jobs}: pass at least 1")
            found = instances(
                grid or (None if files else "quick"),
                files or (),
                seeds=seeds,
                overrides=Overrides(
                    loss=_words(loss),
                    lam=_ridges(ridge),
                    k=None if k is None else common.parse_ks(k),
                    candidates=_counts(candidates),
                ),
            )
            runs = plan(found, chosen, repeat, settings)
            _check_problems(found)
            folder = Folder(out, settings)
        complete = execute(runs, folder, jobs=jobs, log=common.progress(False))
        _report(folder)
    raise typer.Exit(0 if complete else common.STOPPED)


def _solvers(names: str | None) -> list[SolverSpec]:
    """What --solvers names, or what can run here."""
    from optprobe.bench.specs import available_solvers, parse_solvers

    return available_solvers() if names is None else parse_solvers(names)


def _words(text: str | None) -> list[str] | None:
    """A list of words, None if the option was not given."""
    return None if text is None else [word.strip() for word in text.split(",")]


def _ridges(text: str | None) -> list[float | str] | None:
    """Numbers, or 1/sqrt(n).

    Raises:
        ValueError: anything else.
    """
    from optprobe.bench.grid import INVERSE_ROOT

    found: list[float | str] = []
    for word in _words(text) or []:
        try:
            found.append(word if word == INVERSE_ROOT else float(word))
        except ValueError:
            raise ValueError(
                f"--ridge {text}: pass numbers such as 1,0.1, or {INVERSE_ROOT}"
            ) from None
    return found or None


def _counts(text: str | None) -> list[int | str] | None:
    """Numbers of columns, or all."""
    words = _words(text)
    return None if words is None else [common.parse_candidates(word) or "all" for word in words]


def _check_problems(instances: Sequence[Instance]) -> None:
    """Read every file once, at its greatest k.

    Raises:
        ValueError, TypeError: it cannot be probed; the sentence names the file.
    """
    hardest: dict[str, Instance] = {}
    for one in instances:
        if one.source.kind == "real":
            known = hardest.setdefault(one.source.name, one)
            hardest[one.source.name] = max(known, one, key=lambda instance: instance.k)
    for name, one in hardest.items():
        try:
            one.problem()
        except (ValueError, TypeError) as error:
            raise ValueError(f"{name}: {error}") from error


def _report(folder: Folder) -> None:
    """Write the reports on all that is in the folder, and show the tables."""
    from optprobe.bench.report import write_reports
    from optprobe.bench.report.text import tables

    summary = write_reports(folder.path, folder.records(), folder.machine)
    console = common.console()
    if summary is None:
        console.print(f"No run has finished: nothing to report in {folder.path}", markup=False)
        return
    for table in tables(summary):
        console.print(table)
    for note in summary.notes:
        console.print(f"- {note}", markup=False)
    console.print(
        f"\nWritten to {folder.path}: report.html, report.md, profile.png, traces.png, "
        "results.parquet, traces.parquet",
        markup=False,
    )
