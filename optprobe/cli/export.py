"""`optprobe export`: a compact model as a file for other solvers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from optprobe.cli import common


def export(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="Activation file, as for `optprobe solve`.")
    ],
    k: Annotated[int, typer.Option(help="Cardinality.")],
    formulation: Annotated[
        str, typer.Option(help="perspective, big_m, indicator, logistic_tangents, ...")
    ] = "outer_approximation",
    format: Annotated[
        str,
        typer.Option(help="mps (read by all), lp, nl, or pyomo (a .py file with `model`)."),
    ] = "mps",
    loss: Annotated[str, typer.Option(help="logistic, hinge or squared_hinge.")] = "logistic",
    ridge: Annotated[float, typer.Option(help="Ridge strength, > 0.")] = 0.1,
    weights: Annotated[
        str | None, typer.Option(help="balanced (the default), uniform or given.")
    ] = None,
    candidates: Annotated[
        str, typer.Option(help="Columns of the model: all, or the best N by a prefilter.")
    ] = "all",
    time_limit: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", help="How long outer_approximation collects cuts before it writes."
        ),
    ] = 10.0,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Default: DATA.kK.FORMULATION.FORMAT here.")
    ] = None,
) -> None:
    """Write the k-sparse probe as a model that other solvers read.

    Their solution files come back through `optprobe solve DATA --k K
    --solution FILE`, which judges them. Exit codes: 0, written; 2, bad input.
    """
    mistakes = (ValueError, TypeError, ModuleNotFoundError, OSError, RuntimeError)
    with common.stoppable(), common.bad_input(*mistakes):
        from formulations.parts import checked
        from optprobe import export as job
        from optprobe import files
        from optprobe.prefilter import best_columns
        from optprobe.result import Limits

        if format not in job.FORMATS:
            raise ValueError(f"--format {format}: choose one of {', '.join(job.FORMATS)}")
        wanted, limits = common.parse_candidates(candidates), Limits(time_s=time_limit)
        problem = files.read(data).problem(k=k, lam=ridge, loss=loss, weights=weights)
        checked(problem, None, formulation, job.get_formulation(formulation).LOSSES)
        columns = problem.usable if wanted is None else best_columns(problem, wanted)
        suffix = "py" if format == "pyomo" else format
        path = out or Path(f"{data.stem}.k{k}.{formulation}.{suffix}")
        if path.suffix != f".{suffix}":
            raise ValueError(f"--out {path}: a file of format {format} ends in .{suffix}")
        if format == "pyomo":
            weighting = problem.data.weighting
            written = job.write_script(problem, columns, formulation, path, data, weighting)
        else:
            cuts = formulation == job.MASTER
            points = job.cuts_of_a_solve(problem, columns, limits) if cuts else ()
            written = job.write_model(problem, columns, formulation, path, points)
    size = "" if written.variables is None else (
        f": {written.variables} variables, {written.binary} of them binary, {written.rows} rows"
    )  # fmt: skip
    typer.echo(f"{written.path}{size}")
