"""`optprobe verify`: check a certificate against the data, with no solver code."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from optprobe.cli import common


def verify(
    certificate: Annotated[
        Path, typer.Argument(metavar="CERTIFICATE", help="File written by --certificate.")
    ],
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="The activation file that was solved.")
    ],
) -> None:
    """Check a proof of optimality against the data; exit code 0 if it holds, 1 if not."""
