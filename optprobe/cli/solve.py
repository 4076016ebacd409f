"""`optprobe solve`: the k-sparse probes of one activation file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from optprobe.cli import common

if TYPE_CHECKING:
    from collections.abc import Iterator

    from optprobe.cli.output import Output
    from optprobe.problem import Problem
    from optprobe.result import Result


def solve(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help=".npz or .safetensors file with X, y and optionally names, test, groups, weights.",
        ),
    ],
    k: Annotated[str, typer.Option(help="Cardinality: 3, a range 1:8 or a list 1,2,4.")],
    loss: Annotated[str, typer.Option(help="logistic, hinge or squared_hinge.")] = "logistic",
    ridge: Annotated[float, typer.Option(help="Ridge strength, > 0.")] = 0.1,
    weights: Annotated[
        str, typer.Option(help="balanced, uniform or given (the file's array 'weights').")
    ] = "balanced",
    method: Annotated[
        str, typer.Option(help="bnb (native engine) or oa (outer approximation).")
    ] = "bnb",
    backend: Annotated[
        str | None,
        typer.Option(help="MIP solver of --method oa; see `optprobe backends`."),
    ] = None,
    candidates: Annotated[
        str, typer.Option(help="Columns to search: all, or the best N by a prefilter.")
    ] = "all",
    time_limit: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Per k; none by default.")
    ] = None,
    gap: Annotated[float, typer.Option(help="Relative gap at which a k is done.")] = 1e-4,
    json: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Write the results here after every k; - is stdout."),
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write one certificate per k here.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of every random choice.")] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress lines, no table.")] = False,
) -> None:
    """Find the best k-sparse probe and prove that it is the best.

    Exit codes: 0, every k reached the gap; 2, bad input; 3, a limit or
    Ctrl-C stopped one, and what was found by then is written.
    """
    from optprobe.cli.output import Output

    with common.stoppable():
        with common.bad_input(ValueError, TypeError):
            from optprobe import files
            from optprobe.result import Limits

            ks = common.parse_ks(k)
            columns = common.parse_candidates(candidates)
            limits = Limits(gap=gap) if time_limit is None else Limits(gap=gap, time_s=time_limit)
            _check_method(method, backend)
            activations = files.read(data)
            problem = activations.problem(k=ks[-1], lam=ridge, loss=loss, weights=weights)
            from optprobe.mip.backends.base import BackendError
            from optprobe.solver import solve_path

            results = solve_path(
                problem,
                ks,
                method="oa" if method == "oa" else "bnb",
                backend=backend,
                candidates=columns,
                limits=limits,
                seed=seed,
                log=common.progress(quiet),
            )
            out = Output(json, certificate, data.stem)
            out.prepare()
        with common.bad_input(BackendError):
            collect(results, problem, out)
    out.finish()
    if not quiet:
        from optprobe.cli.output import results_table

        console = common.console(to_stderr=json == "-")
        title = f"{data.name}: {loss}, ridge {ridge:g}, {len(problem.data.train)} training rows"
        console.print(results_table(problem, out.results, gap, title))
        console.print(proven(problem, out.results, gap))
    raise typer.Exit(0 if all_reached(out.results, ks, gap) else common.STOPPED)


def _check_method(method: str, backend: str | None) -> None:
    """Refuse what cannot run here before any file is read.

    Raises:
        ValueError: unknown method or backend, a backend without a use, or one that cannot run.
    """
    if method not in ("bnb", "oa"):
        raise ValueError(f"--method {method}: choose bnb or oa")
    if backend is None:
        return
    from optprobe.mip.backends import get_backend

    found = get_backend(backend)
    if method == "bnb":
        raise ValueError(f"--backend {backend} is for --method oa; bnb needs no solver")
    state = found.available()
    if not state.available:
        raise ValueError(
            f"the backend {backend} cannot run here: {state.reason.rstrip('.')}; {state.how_to_get}"
        )


def collect(results: Iterator[Result], problem: Problem, out: Output) -> None:
    """Write every result as it comes; Ctrl-C ends it between two results."""
    from optprobe.interrupt import Interrupt

    try:
        for result in results:
            with Interrupt() as stop:
                out.add(problem, result)
            if stop.raised:
                return
    except KeyboardInterrupt:
        return


def all_reached(results: list[Result], ks: list[int], gap: float) -> bool:
    """Whether every k was solved to the gap."""
    from optprobe.cli.output import reached

    return len(results) == len(ks) and all(reached(result, gap) for result in results)


def proven(problem: Problem, results: list[Result], gap: float) -> str:
    """One or two sentences on what was proven, and over which columns."""
    from optprobe.cli.output import certified

    sure = [(r.k, r.verified.gap) for r in results if r.verified and certified(r, gap)]
    if not sure:
        return "No bound was certified to the gap asked for."
    usable, first = len(problem.usable), results[0]
    over = f"all {usable} columns that vary on the training rows"
    if first.scope != "all columns":
        over = (
            f"the {first.candidates} candidate columns only; the other "
            f"{usable - first.candidates} were left out by the prefilter without proof"
        )
    return (
        f"Certified for k = {', '.join(str(k) for k, _ in sure)}, by a checker that shares no code "
        f"with the solver: within {100.0 * max(gap for _, gap in sure):.2g} % of the optimum over "
        f"{over}."
    )
