"""`optprobe neurons`: the exact probe on every single neuron of one activation file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from optprobe.cli import common

if TYPE_CHECKING:
    from rich.table import Table

    from optprobe.neurons import NeuronMetrics, Neurons
    from optprobe.problem import Problem


def neurons(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="Activation file, as for `optprobe solve`.")
    ],
    top: Annotated[int, typer.Option(help="Neurons in the table and in the figure.")] = 50,
    loss: Annotated[str, typer.Option(help="logistic, hinge or squared_hinge.")] = "logistic",
    ridge: Annotated[float, typer.Option(help="Ridge strength, > 0.")] = 0.1,
    weights: Annotated[
        str, typer.Option(help="balanced, uniform or given (the file's array 'weights').")
    ] = "balanced",
    json: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Write every neuron's record here; - is stdout."),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Draw scores against rank, beside a random basis, as PNG."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the random basis.")] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", help="No table.")] = False,
) -> None:
    """Rank single neurons by the exact probe with k = 1, with their thresholds.

    F1 and MCC are those at the threshold with the best F1 on the training
    rows. Exit codes: 0, done; 2, bad input; 3, Ctrl-C.
    """
    with common.stoppable(), common.bad_input(ValueError, TypeError):
        from optprobe import files
        from optprobe.neurons import rank_neurons

        if top < 1:
            raise ValueError(f"--top {top}: pass at least 1")
        if plot is not None and plot.suffix.lower() != ".png":
            raise ValueError(f"--plot {plot}: the figure is a PNG; end its name in .png")
        problem = files.read(data).problem(k=1, lam=ridge, loss=loss, weights=weights)
        found = rank_neurons(problem)
        title = f"{data.name}: {loss}, ridge {ridge:g}, {len(problem.data.train)} training rows"
        try:
            if json is not None:
                write(json, problem, found)
            if plot is not None:
                draw(plot, title, problem, found, top, seed)
        except OSError as error:
            raise ValueError(
                f"{error.filename} cannot be written ({error.strerror}); choose another place"
            ) from error
    if not quiet:
        common.console(to_stderr=json == "-").print(ranking(found, top, title))


def write(place: str, problem: Problem, found: Neurons) -> None:
    """Every neuron as JSON into a file, or to stdout for "-"; what is infinite is null."""
    from json import dumps

    from optprobe.cli.output import finite

    record = {
        "k": 1,
        "loss": problem.loss_name,
        "ridge": problem.lam,
        "weights": problem.data.weighting,
        "neurons": found.rows(),
    }
    text = dumps(finite(record), indent=1, allow_nan=False)
    if place == "-":
        typer.echo(text)
        return
    path = Path(place)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text + "\n", encoding="utf-8")
    partial.replace(path)


def ranking(found: Neurons, top: int, title: str) -> Table:
    """One row per neuron, held-out metrics where there are any."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    shown, side = _shown(found)
    table = Table(title=title, title_justify="left", box=box.SIMPLE)
    table.add_column("rank", justify="right")
    table.add_column("neuron", no_wrap=True)
    numbers = ("objective", "positive where", f"{side} F1", "MCC", "AUC", "AP")
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    for i in range(min(top, len(found.column))):
        sign = "≥" if found.sign[i] > 0 else "≤"
        values = (shown.best_f1, shown.best_mcc, shown.roc_auc, shown.average_precision)
        table.add_row(
            str(i + 1),
            escape(found.name[i]),
            f"{found.objective[i]:.6f}",
            f"{sign} {found.f1_threshold[i]:.4g}",
            *(f"{value[i]:.3f}" for value in values),
        )
    return table


def draw(path: Path, title: str, problem: Problem, found: Neurons, top: int, seed: int) -> None:
    """F1 and MCC over rank for neurons and for the directions of a random basis."""
    from optprobe.neurons import random_rotation, rank_neurons
    from optprobe.plots import score_against_rank

    kinds = {"neurons": found, "random basis": rank_neurons(random_rotation(problem, seed))}
    panels = {
        f"{_shown(found)[1]} {label}": {
            name: getattr(_shown(kind)[0], field)[:top] for name, kind in kinds.items()
        }
        for label, field in (("F1", "best_f1"), ("MCC", "best_mcc"))
    }
    score_against_rank(path, title, panels)


def _shown(found: Neurons) -> tuple[NeuronMetrics, str]:
    """The held-out metrics, or those on the training rows, and their name."""
    return (found.train, "training") if found.test is None else (found.test, "held-out")
