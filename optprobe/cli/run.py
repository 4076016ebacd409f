"""`optprobe run`: a study file from its model and texts to a certified table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from optprobe.cli import common

if TYPE_CHECKING:
    from rich.table import Table

    from optprobe.study import Outcome


def run(
    study: Annotated[
        Path, typer.Argument(metavar="STUDY", help="YAML file: model, layers, features, k, ...")
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where everything goes; by default optprobe-STUDY."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress lines, no table.")] = False,
) -> None:
    """Capture a model's activations, then probe its layers for features.

    The same command again does what is missing: activations and probes that
    are there are kept. Exit codes: 0, every probe is certified (or comes from
    a heuristic); 2, bad input; 3, a limit, the budget, Ctrl-C or a full disk
    stopped some, and what was found by then is written.
    """
    folder = Path(f"optprobe-{study.stem}") if out is None else out
    try:
        with common.bad_input(ValueError, TypeError, ImportError):
            from optprobe.study import read_study, run_study

            outcome = run_study(read_study(study), folder, log=common.progress(quiet))
    except KeyboardInterrupt:
        typer.echo(f"optprobe: interrupted; the same command goes on in {folder}", err=True)
        raise typer.Exit(common.STOPPED) from None
    except OSError as error:
        typer.echo(f"optprobe: {error}; what is in {folder} by now stays valid", err=True)
        raise typer.Exit(common.STOPPED) from None
    if not quiet:
        console = common.console()
        console.print(study_table(outcome))
        for line in summary(outcome, folder):
            console.print(line, markup=False)
    raise typer.Exit(0 if outcome.solved else common.STOPPED)


def study_table(outcome: Outcome) -> Table:
    """One row per feature, layer and k."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from optprobe.study.table import HEADS, cells, rows

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in HEADS:
        left = head in ("feature", "status", "support")
        table.add_column(head, justify="left" if left else "right", no_wrap=head != "support")
    last = None
    for row in rows(outcome.records):
        at = row["feature"], row["layer"]
        if last is not None and at != last:
            table.add_section()
        table.add_row(*(escape(cell) for cell in cells(row)))
        last = at
    return table


def summary(outcome: Outcome, folder: Path) -> list[str]:
    """Times, what is left, and where the files are."""
    spent = f"capture {outcome.capture_seconds:.1f} s, probes {outcome.probe_seconds:.1f} s"
    lines = [f"This run: {spent}."]
    if outcome.left:
        lines.append(f"{outcome.left} layers are left; the same command goes on with them.")
    lines.append(f"Written to {folder}: table.md, table.parquet, results/, certificates/")
    return lines
