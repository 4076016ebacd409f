"""`optprobe demo`: real activations, heuristic against exact, proven."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from optprobe.cli import common

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.table import Table

    from optprobe.cli.output import Output
    from optprobe.demo import Rival, Step
    from optprobe.metrics import Metrics
    from optprobe.problem import Problem


def demo(
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Where the plot, results and certificates go.")
    ] = Path("optprobe-demo"),
) -> None:
    """Solve probes on packaged activations of a real language model and show what is proven."""
    from optprobe.cli.output import Output, reached

    with common.stoppable():
        from optprobe import demo as job

        results = Output(str(out / "results.json"), out / "certificates", job.NAME)
        with common.bad_input(ValueError):
            results.prepare()
        console = common.console()
        console.print(job.ABOUT, "\n", soft_wrap=False)
        problem = job.problem()
        steps = _collect(job.run(problem, log=common.progress(False)), problem, results)
        if not steps:
            raise KeyboardInterrupt
        console.print(comparison(problem, steps))
        for line in job.findings(problem, steps):
            console.print(f"- {line}", markup=False)
        figure = out / "heuristic_vs_exact.png"
        _plot(figure, steps)
        console.print(
            f"\nWritten: {figure}, {results.json_file}, {results.certificates}/ "
            f"(check one with `optprobe verify`)",
            markup=False,
        )
    complete = len(steps) == len(job.KS)
    complete = complete and all(reached(step.result, job.LIMITS.gap) for step in steps)
    raise typer.Exit(0 if complete else common.STOPPED)


def _collect(steps: Iterator[Step], problem: Problem, out: Output) -> list[Step]:
    """Write every step as it comes; Ctrl-C keeps those that are finished."""
    kept: list[Step] = []
    try:
        for step in steps:
            rivals = {rival.name: _record(problem, rival) for rival in step.rivals}
            out.add(problem, step.result, heuristics=rivals)
            kept.append(step)
    except KeyboardInterrupt:
        pass
    return kept


def _record(problem: Problem, rival: Rival) -> dict[str, Any]:
    """A heuristic's answer as plain JSON values."""
    support = [int(j) for j in rival.support]
    return {
        "support": support,
        "names": [problem.data.names[j] for j in support],
        "objective": rival.objective,
        "regret": rival.regret,
        "test": None if rival.test is None else asdict(rival.test),
    }


def comparison(problem: Problem, steps: list[Step]) -> Table:
    """Per k one row for the exact probe and one per heuristic."""
    from rich import box
    from rich.table import Table

    from optprobe.cli.output import show_gap

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("k", "probe", "objective", "regret", "F1", "AUC", "verified gap", "s", "support"):
        left = name in ("probe", "support")
        table.add_column(name, justify="left" if left else "right", no_wrap=name != "support")
    for step in steps:
        result = step.result
        gap = "-" if result.verified is None else show_gap(result.verified.gap)
        names = " ".join(problem.data.names[j] for j in result.support)
        table.add_row(
            str(result.k), "exact", f"{result.objective:.6f}", "", *_scores(step.test),
            gap, f"{result.time_s:.2f}", names, style="bold",
        )  # fmt: skip
        for i, rival in enumerate(step.rivals):
            names = " ".join(problem.data.names[j] for j in rival.support)
            table.add_row(
                "", rival.name, f"{rival.objective:.6f}", f"{100.0 * rival.regret:.2f} %",
                *_scores(rival.test), "", "", names, end_section=i == len(step.rivals) - 1,
            )  # fmt: skip
    return table


def _scores(test: Metrics | None) -> tuple[str, str]:
    """F1 and AUC on the test rows."""
    return ("-", "-") if test is None else (f"{test.f1:.3f}", f"{test.roc_auc:.3f}")


def _plot(path: Path, steps: list[Step]) -> None:
    """The figure of heuristic against exact."""
    import numpy as np

    from optprobe import demo as job
    from optprobe import plots

    verified = [step.result.verified for step in steps]
    plots.heuristic_against_exact(
        path,
        f"{job.NAME}: heuristic against exact, ridge {job.RIDGE:g}",
        [step.result.k for step in steps],
        np.array([step.result.objective for step in steps]),
        np.array([np.nan if bounds is None else bounds.lower for bounds in verified]),
        {
            rival.name: np.array([step.rivals[i].objective for step in steps])
            for i, rival in enumerate(steps[0].rivals)
        },
    )
