"""`optprobe verify`: check a certificate against the data, with no solver code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from optprobe.cli import common

if TYPE_CHECKING:
    import numpy as np

    from optprobe.activations.array import StoredArray
    from optprobe.checker import Verdict


def verify(
    certificate: Annotated[
        Path, typer.Argument(metavar="CERTIFICATE", help="File written by --certificate.")
    ],
    data: Annotated[
        Path,
        typer.Argument(metavar="DATA", help="The activation file, or the store, that was solved."),
    ],
    test: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Held-out rows where DATA has none: test_rows.npy, written by `optprobe curve`.",
        ),
    ] = None,
    study: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where DATA is a store: the study that was run on it."),
    ] = None,
    feature: Annotated[
        str | None,
        typer.Option(help="Of that study, as named there; by default its only one."),
    ] = None,
    layer: Annotated[
        int | None, typer.Option(help="Of that study; by default the only one of the store.")
    ] = None,
) -> None:
    """Check a proof of optimality against the data; exit code 0 if it holds, 1 if not.

    The rows that a study probed are drawn again from its texts and settings.
    """
    from optprobe import files
    from optprobe.certificate import read
    from optprobe.checker import verify as check
    from optprobe.memory import keep_freed_memory
    from optprobe.threads import single_threaded_blas

    with common.stoppable(), common.bad_input(ValueError, TypeError, ImportError):
        if not certificate.is_file():
            raise ValueError(f"{certificate}: no such file; give one that --certificate wrote")
        proof = read(certificate)
        weights = None
        if data.is_dir():
            if test is not None:
                raise ValueError("--test is for activation files; a study draws its own")
            X, y, rows = _probed(data, study, feature, layer)
        else:
            for name, value in (("study", study), ("feature", feature), ("layer", layer)):
                if value is not None:
                    raise ValueError(f"--{name} is for stores and {data} is none; leave it out")
            held = files.read(data)
            X, y, rows = held.X, held.y, held.test if test is None else files.read_mask(test)
            if proof.header.get("weighting") == "given":
                if held.weights is None:
                    raise ValueError(
                        f"{certificate} was made with given weights, but {data} has no array "
                        "'weights'"
                    )
                weights = held.weights
        keep_freed_memory()
        with single_threaded_blas():
            verdict = check(proof, X, y, test=rows, weights=weights)
    for line in describe(verdict, certificate.name, data.name):
        typer.echo(line)
    raise typer.Exit(0 if verdict.valid else common.NOT_PROVEN)


def _probed(
    folder: Path, study: Path | None, feature: str | None, layer: int | None
) -> tuple[StoredArray, np.ndarray, np.ndarray]:
    """X, y and held-out rows of what a study probed in a store; X is read in place.

    Raises:
        ValueError: no study, a feature or a layer that is not there or not said, a store of other
            texts.
    """
    from optprobe.activations.store import Store
    from optprobe.study import probed_rows, read_study

    if study is None:
        raise ValueError(
            f"{folder} is a folder; pass the study that was run on it (--study FILE), or an "
            "activation file"
        )
    return probed_rows(Store.open(folder), read_study(study), feature, layer)


def describe(verdict: Verdict, certificate: str, data: str) -> list[str]:
    """What was checked, and what holds or fails first."""
    if not verdict.valid:
        return [f"The proof in {certificate} does not hold for {data}: {verdict.reason}"]
    scope = f"all {verdict.columns} columns that vary on the training rows"
    if verdict.scope != "all columns":
        scope = f"the {verdict.columns} candidate columns it names, and no others"
    return [
        f"Problem: {verdict.loss} loss, ridge {verdict.lam:g}, at most {verdict.k} columns, "
        f"{verdict.weighting} weights",
        f"Checked against {data}: data, split, weights and scaling; the probe's objective; "
        f"{verdict.nodes} tree nodes ({verdict.bounded} bounded leaves, {verdict.enumerated} "
        f"enumerated, {verdict.filtered} filtered); {verdict.points} dual points; supports: "
        f"{verdict.below_bounds} by the bound of their leaf, {verdict.excluded} by a dual point, "
        f"{verdict.screened} by a centre, {verdict.fitted} by a fit of their own "
        f"({verdict.seconds:.2f} s)",
        f"The proof holds over {scope}.",
        f"Certified: {verdict.lower:.9f} <= optimum <= {verdict.upper:.9f}, "
        f"gap {100.0 * verdict.gap:.4f} %",
    ]
