"""`optprobe curve`: heuristics against the certified optimum over k."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from optprobe.cli import common

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optprobe.curves import Curve
    from optprobe.files import Activations


def curve(
    data: Annotated[
        list[Path],
        typer.Argument(
            metavar="DATA...",
            help=".npz or .safetensors files with X, y and optionally names, test, groups.",
        ),
    ],
    k: Annotated[
        str,
        typer.Option(help="Cardinalities: 1:8, 1,2,4 or paper (1:8, 10, 12, 16, 32, 64, ...)."),
    ] = "1:8",
    ridge: Annotated[float, typer.Option(help="Ridge strength, > 0.")] = 0.01,
    loss: Annotated[str, typer.Option(help="logistic, hinge or squared_hinge.")] = "logistic",
    weights: Annotated[
        str, typer.Option(help="balanced, uniform or given (the file's array 'weights').")
    ] = "balanced",
    methods: Annotated[
        str,
        typer.Option(help="default, all that run here, or names such as greedy,l1_logistic@512."),
    ] = "default",
    exact: Annotated[
        str, typer.Option(help="The k that are solved exactly, among those of --k; or none.")
    ] = "1:12",
    time_limit: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            help="Per k of the exact solves; a heuristic that takes longer gets no larger k.",
        ),
    ] = 60.0,
    gap: Annotated[float, typer.Option(help="Relative gap at which a k is certified.")] = 1e-4,
    refit_ridge: Annotated[
        float | None,
        typer.Option(help="Score refits at this ridge; supports are still chosen at --ridge."),
    ] = None,
    test_size: Annotated[
        float,
        typer.Option(help="Share to hold out, by group, of files without test rows; 0 for none."),
    ] = 0.3,
    resamples: Annotated[int, typer.Option(help="Of the bootstrap intervals.")] = 1000,
    out: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Where everything goes; DIR/NAME each for several files."),
    ] = Path("optprobe-curve"),
    seed: Annotated[int, typer.Option(help="Seed of every random choice.")] = 0,
    threads: Annotated[
        int | None, typer.Option(help="Of the exact solves; all by default.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress lines, no table.")] = False,
) -> None:
    """Compare heuristics with the certified optimum over k, on one split.

    The same command again goes on where it was interrupted. Exit codes: 0,
    every exact k is certified; 1, a support lies below a verified bound; 2,
    bad input; 3, a limit or Ctrl-C stopped one, and what was found by then is
    written.
    """
    curves: list[Curve] = []
    with common.stoppable():
        with common.bad_input(ValueError, TypeError):
            from optprobe import files
            from optprobe.curves import prepare
            from optprobe.curves.report import require_packages, write_report
            from optprobe.result import Limits

            require_packages()
            limits = Limits(gap=gap, time_s=time_limit)
            places = _folders(data, out)
        for path, folder in places:
            with common.bad_input(ValueError, TypeError, ImportError):
                held, drawn = _split(files.read(path), test_size, seed)
                problem = held.problem(k=1, lam=ridge, loss=loss, weights=weights)
                ks = common.parse_grid(k, len(problem.usable))
                job = prepare(
                    problem,
                    ks,
                    methods=methods if methods in ("default", "all") else methods.split(","),
                    exact=_exact(exact, ks),
                    limits=limits,
                    refit_lam=refit_ridge,
                    resamples=resamples,
                    seed=seed,
                    threads=threads,
                    name=path.stem,
                    out=folder,
                    log=common.progress(quiet),
                )
            if drawn:
                _write_rows(folder, held)
            for _ in job.points():
                pass
            curves.append(job.curve())
            write_report(folder, curves[-1])
            if not quiet:
                _show(curves[-1], folder, drawn)
            if not curves[-1].complete:
                break
    if any(found.defects for found in curves):
        raise typer.Exit(common.NOT_PROVEN)
    done = len(curves) == len(data) and all(found.complete and found.solved for found in curves)
    raise typer.Exit(0 if done else common.STOPPED)


def _folders(data: Sequence[Path], out: Path) -> list[tuple[Path, Path]]:
    """Every file with its folder: DIR itself for one file, DIR/NAME each for several.

    Raises:
        ValueError: two files of one name.
    """
    if len(data) == 1:
        return [(data[0], out)]
    stems = [path.stem for path in data]
    for stem in stems:
        if stems.count(stem) > 1:
            raise ValueError(f"two files are called {stem}; give them separate runs and --out")
    return [(path, out / path.stem) for path in data]


def _split(held: Activations, test_size: float, seed: int) -> tuple[Activations, bool]:
    """The activations with held-out rows, and whether they were drawn here."""
    if held.test is not None or test_size == 0.0:
        return held, False
    from dataclasses import replace

    from optprobe.statistics import group_split

    mask = group_split(held.y, held.groups, test_size=test_size, seed=seed)
    return replace(held, test=mask), True


def _exact(text: str, ks: Sequence[int]) -> list[int]:
    """The k of --exact among those of the curve."""
    if text == "none":
        return []
    wanted = set(common.parse_ks(text, "--exact"))
    return [k for k in ks if k in wanted]


def _write_rows(folder: Path, held: Activations) -> None:
    """The rows that were held out here, for `optprobe verify --test`."""
    import numpy as np

    assert held.test is not None
    np.save(folder / "test_rows.npy", held.test)


def _show(found: Curve, folder: Path, drawn: bool) -> None:
    """The table, what it says, and where the files are."""
    from optprobe.cli.curve_table import curve_table
    from optprobe.curves.report import FILES
    from optprobe.curves.report.text import notes

    console = common.console()
    console.print(curve_table(found))
    for note in notes(found):
        console.print(f"- {note}", markup=False)
    checked = "`optprobe verify`"
    if drawn:
        share = found.facts.test_rows / (found.facts.rows + found.facts.test_rows)
        console.print(
            f"- The file has no test rows: {100.0 * share:.0f} % of its rows were held out (whole "
            "groups, where it has any); test_rows.npy says which.",
            markup=False,
        )
        checked = f"`optprobe verify --test {folder / 'test_rows.npy'}`"
    console.print(
        f"\nWritten to {folder}: {', '.join(FILES)}, certificates/ (check one with {checked})",
        markup=False,
    )
