"""The command line, one file per command.

Exit codes: 0 done, 1 a proof does not hold, 2 bad input (one sentence on stderr), 3 a limit or
Ctrl-C stopped a solve (what was found is written). Commands import what they need when they run.
"""

from __future__ import annotations

import warnings
from typing import Annotated

import typer

from optprobe.cli.backends import backends
from optprobe.cli.bench import bench
from optprobe.cli.capture import capture
from optprobe.cli.curve import curve
from optprobe.cli.demo import demo
from optprobe.cli.evidence import evidence
from optprobe.cli.export import export
from optprobe.cli.features import features
from optprobe.cli.neurons import neurons
from optprobe.cli.run import run
from optprobe.cli.solve import solve
from optprobe.cli.store import store
from optprobe.cli.verify import verify

app = typer.Typer(
    help="Provably optimal k-sparse probes, with certificates that anybody can check.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        from optprobe import __version__

        typer.echo(f"optprobe {__version__}")
        raise typer.Exit()


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Provably optimal k-sparse probes, with certificates that anybody can check."""


COMMANDS = (
    demo, run, capture, store, features, solve, curve, neurons, evidence, verify, backends, export,
    bench,
)  # fmt: skip
"""In the order of the help."""

for command in COMMANDS:
    app.command()(command)


def main() -> None:
    """Entry point of the script `optprobe`; a warning is one line on stderr."""
    warnings.formatwarning = lambda message, *place, **more: f"optprobe: {message}\n"
    app()
