"""`optprobe demo`: real activations, heuristic against exact, proven."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from optprobe.cli import common

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.table import Table

    from optprobe.cli.output import Output
    from optprobe.demo import Rival, Step
    from optprobe.metrics import Metrics
    from optprobe.problem import Problem
    from optprobe.result import Limits


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
        steps = _collect(
            job.run(problem, job.KS, job.LIMITS, common.progress(False)), problem, results
        )
        if not steps:
            raise KeyboardInterrupt
        console.print(comparison(problem, steps))
        for line in findings(problem, steps, job.LIMITS):
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


def comparison(problem: Problem, steps: Sequence[Step]) -> Table:
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
            str(result.k), _label([step]), f"{result.objective:.6f}", "", *_scores(step.test),
            gap, f"{result.time_s:.2f}", names, style="bold",
        )  # fmt: skip
        for i, rival in enumerate(step.rivals):
            names = " ".join(problem.data.names[j] for j in rival.support)
            regret = (
                "-" if rival.regret is None else f"{round(100.0 * rival.regret, 2) + 0.0:.2f} %"
            )
            table.add_row(
                "", rival.name, f"{rival.objective:.6f}", regret, *_scores(rival.test), "", "",
                names, end_section=i == len(step.rivals) - 1,
            )  # fmt: skip
    return table


def _label(steps: Sequence[Step]) -> str:
    """What the search's probes may be called."""
    exact = all(step.result.status == "optimal" for step in steps)
    return "exact" if exact else "best of the search"


def _scores(test: Metrics | None) -> tuple[str, str]:
    """F1 and AUC on the test rows."""
    return ("-", "-") if test is None else (f"{test.f1:.3f}", f"{test.roc_auc:.3f}")


def findings(problem: Problem, steps: Sequence[Step], limits: Limits) -> list[str]:
    """What was proven, over which columns, and what it says about the heuristics."""
    from optprobe.verdict import certified

    usable = len(problem.usable)
    sure = [step for step in steps if certified(step.result, limits.gap)]
    gap = max((step.result.verified.gap for step in sure if step.result.verified), default=0.0)
    lines: list[str] = []
    if sure:
        ks = ", ".join(str(step.result.k) for step in sure)
        over = f"all {usable} neurons that vary on the training rows"
        if sure[0].result.scope != "all columns":
            over = f"{sure[0].result.candidates} candidate neurons of {usable}"
        lines.append(
            f"Certified for k = {ks}: no set of at most k neurons, out of {over}, has an objective "
            f"more than {100.0 * gap:.2g} % below the exact probe's. A checker that shares no code "
            "with the solver recomputed every bound from the data."
        )
    for step in steps:
        if certified(step.result, limits.gap):
            continue
        bounds = step.result.verified
        held = "no bound was verified" if bounds is None else (
            f"the certified gap is {100.0 * bounds.gap:.3g} %"
        )  # fmt: skip
        lines.append(f"k = {step.result.k} stopped before that ({step.result.limit}): {held}.")
    if sure:
        lines += [_judge(rival.name, sure) for rival in sure[0].rivals]
    lines.append(
        "The proof is about the training objective; scores on the test rows are measured, and a "
        "probe that is optimal on one set of rows need not be the best on another."
    )
    return lines


def _judge(name: str, steps: Sequence[Step]) -> str:
    """One heuristic against the exact probes, in a sentence."""
    found: list[int] = []
    worst, at = 0.0, 0
    for step in steps:
        rival = next(rival for rival in step.rivals if rival.name == name)
        if set(rival.support.tolist()) == set(step.result.support.tolist()):
            found.append(step.result.k)
        elif rival.regret is not None and rival.regret >= worst:
            worst, at = rival.regret, step.result.k
    if len(found) == len(steps):
        return f"{name}: the exact support at every one of these k."
    where = f"at k = {', '.join(map(str, found))}" if found else "at no k"
    return (
        f"{name}: the exact support {where}; at worst (k = {at}) its objective is "
        f"{100.0 * worst:.2f} % above the exact one."
    )


def _plot(path: Path, steps: list[Step]) -> None:
    """The figure of heuristic against exact."""
    import numpy as np

    from optprobe import demo as job
    from optprobe import plots

    verified = [step.result.verified for step in steps]
    lower = np.array([np.nan if bounds is None else bounds.lower for bounds in verified])
    plots.heuristic_against_exact(
        path,
        f"{job.NAME}: heuristic against exact, ridge {job.RIDGE:g}",
        [step.result.k for step in steps],
        np.array([step.result.objective for step in steps]),
        np.where(np.isfinite(lower), lower, np.nan),
        {
            rival.name: np.array([step.rivals[i].objective for step in steps])
            for i, rival in enumerate(steps[0].rivals)
        },
        _label(steps),
    )
