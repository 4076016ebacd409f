"""`optprobe solve`: the k-sparse probes of one activation file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer

from optprobe.cli import common

if TYPE_CHECKING:
    from collections.abc import Iterator

    from optprobe.cli.output import Output
    from optprobe.problem import Problem
    from optprobe.result import Result
    from optprobe.run import Method
    from optprobe.solution_file import Judgement


def solve(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help=".npz or .safetensors file with X, y and optionally names, test, groups, weights.",
        ),
    ],
    k: Annotated[str, typer.Option(help="Cardinality: 3, a range 1:8 or a list 1,2,4.")],
    loss: Annotated[
        str, typer.Option(help="logistic, hinge or squared_hinge; squared_error for numbers.")
    ] = "logistic",
    ridge: Annotated[float, typer.Option(help="Ridge strength, > 0.")] = 0.1,
    weights: Annotated[
        str | None,
        typer.Option(
            help="balanced, uniform or given (the file's array 'weights'); by default balanced, "
            "or uniform for squared_error."
        ),
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            help="bnb (native engine), oa (outer approximation), oa-plain (as in the literature) "
            "or compact (a formulation through Pyomo)."
        ),
    ] = "bnb",
    backend: Annotated[
        str | None,
        typer.Option(help="MIP solver of the other methods; see `optprobe backends`."),
    ] = None,
    formulation: Annotated[
        str | None, typer.Option(help="Of --method compact: perspective, big_m, ...")
    ] = None,
    solution: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Judge this solution file of an exported model (Gurobi, SCIP, COPT, CPLEX, "
            "HiGHS), and begin from it; for a single k.",
        ),
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
    threads: Annotated[
        int | None, typer.Option(help="Default: all for the native engine, 1 for a MIP solver.")
    ] = None,
    proof: Annotated[
        bool, typer.Option(help="Rebuild a checkable proof of a MIP solver's answer.")
    ] = True,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress lines, no table.")] = False,
) -> None:
    """Find the best k-sparse probe and prove that it is the best.

    Exit codes: 0, every k reached the gap; 2, bad input; 3, a limit or
    Ctrl-C stopped one, and what was found by then is written.
    """
    from optprobe.cli.output import Output
    from optprobe.mip.backends.base import BackendError

    with common.stoppable():
        with common.bad_input(ValueError, TypeError, BackendError):
            from optprobe import files
            from optprobe.result import Limits

            ks = common.parse_ks(k)
            columns = common.parse_candidates(candidates)
            limits = Limits(gap=gap) if time_limit is None else Limits(gap=gap, time_s=time_limit)
            chosen = _method(method, backend)
            activations = files.read(data)
            problem = activations.problem(k=ks[-1], lam=ridge, loss=loss, weights=weights)
            judgement = _judgement(solution, problem, ks)
            from optprobe.solver import solve_path

            results = solve_path(
                problem,
                ks,
                method=chosen,
                backend=backend,
                formulation=formulation,
                candidates=columns,
                limits=limits,
                start=[judgement.support] if judgement else [],
                seed=seed,
                threads=threads,
                proof=proof,
                log=common.progress(quiet),
            )
            out = Output(json, certificate, data.stem)
            out.prepare()
        with common.bad_input(BackendError):
            collect(results, problem, out, judgement)
    out.finish()
    if not quiet:
        from optprobe.cli.output import results_table

        console = common.console(to_stderr=json == "-")
        title = f"{data.name}: {loss}, ridge {ridge:g}, {len(problem.data.train)} training rows"
        console.print(results_table(problem, out.results, gap, title))
        console.print(proven(problem, out.results, gap))
        if solution and judgement and out.results:
            console.print(verdict_on(solution, judgement, out.results[0]))
    raise typer.Exit(0 if all_reached(out.results, ks, gap) else common.STOPPED)


def _method(method: str, backend: str | None) -> Method:
    """The method, if it can run here: what cannot is refused before any file is read.

    Raises:
        ValueError: unknown method or backend, a backend without a use, or one that cannot run.
    """
    from optprobe.mip.backends import BACKENDS, get_backend
    from optprobe.run import Method

    choices = get_args(Method)
    if method not in choices:
        raise ValueError(f"--method {method}: choose one of {', '.join(choices)}")
    if backend is not None:
        if method == "bnb":
            raise ValueError(f"--backend {backend} is for the other methods; bnb needs no solver")
        if method != "compact" or backend in BACKENDS:
            state = get_backend(backend).available()
            if not state.available:
                raise ValueError(
                    f"the backend {backend} cannot run here: {state.reason.rstrip('.')}; "
                    f"{state.how_to_get}"
                )
    return cast("Method", method)


def _judgement(path: Path | None, problem: Problem, ks: list[int]) -> Judgement | None:
    """The solution file's support and objectives.

    Raises:
        ValueError: a file that holds no solution for this problem, or several k.
    """
    if path is None:
        return None
    if len(ks) > 1:
        raise ValueError("--solution belongs to a single k; pass --k with one number")
    from optprobe.solution_file import judge_solution, read_solution

    return judge_solution(problem, read_solution(path))


def verdict_on(path: Path, judgement: Judgement, result: Result) -> str:
    """One sentence on a solution file beside the bounds that hold."""
    support = " ".join(map(str, judgement.support))
    said = f"{path.name}: columns {support or 'none'}, objective {judgement.refitted:.6f}"
    if judgement.stated is not None:
        said += f" ({judgement.stated:.6f} with the file's coefficients)"
    if result.verified is None:
        return f"{said}; no certified bound to compare it with."
    least, most = (100.0 * part for part in judgement.regret(result.verified))
    return f"{said}; certified to be between {least:.4f} % and {most:.4f} % above the optimum."


def collect(
    results: Iterator[Result],
    problem: Problem,
    out: Output,
    judgement: Judgement | None = None,
) -> None:
    """Write every result as it comes; Ctrl-C ends it between two results."""
    from optprobe.interrupt import Interrupt

    try:
        for result in results:
            with Interrupt() as stop:
                out.add(problem, result, **_beside(judgement, result))
            if stop.raised:
                return
    except KeyboardInterrupt:
        return


def _beside(judgement: Judgement | None, result: Result) -> dict[str, Any]:
    """What a record says of a solution file: its objectives and its certified regret."""
    if judgement is None:
        return {}
    regret = None if result.verified is None else list(judgement.regret(result.verified))
    return {
        "solution": {
            "support": judgement.support.tolist(),
            "objective_stated": judgement.stated,
            "objective": judgement.refitted,
            "regret": regret,
        }
    }


def all_reached(results: list[Result], ks: list[int], gap: float) -> bool:
    """Whether every k was solved to the gap."""
    from optprobe.cli.output import reached

    return len(results) == len(ks) and all(reached(result, gap) for result in results)


def proven(problem: Problem, results: list[Result], gap: float) -> str:
    """One or two sentences on what was proven, and over which columns."""
    from optprobe.verdict import certified

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
