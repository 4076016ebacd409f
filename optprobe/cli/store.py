"""`optprobe store`: what a folder of activations holds, once it is checked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from optprobe.cli import common

if TYPE_CHECKING:
    from optprobe.activations import Store


def store(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Written by `optprobe capture`.")],
    digests: Annotated[
        bool, typer.Option("--digests", help="Read every byte and compare the SHA-256 of shards.")
    ] = False,
) -> None:
    """Check a store of activations and say what it holds; exit code 2 names a damaged shard."""
    from optprobe.activations import Store

    with common.stoppable(), common.bad_input(ValueError):
        held = Store.open(folder, "digests" if digests else "sizes")
    for line in describe(held, digests):
        typer.echo(line)


def describe(held: Store, digests: bool) -> list[str]:
    """What is in it, what is missing, and what was checked."""
    manifest = held.manifest
    revision = f" at {manifest.revision}" if manifest.revision else ""
    state = "finished" if held.finished else "unfinished: run the same capture again to go on"
    size = len(held) * manifest.row_bytes
    checked = "SHA-256 of every shard" if digests else "sizes and headers; --digests reads it all"
    return [
        f"{manifest.model}{revision}, tokenizer {manifest.tokenizer}, {manifest.aggregation} "
        f"activations in {manifest.dtype}",
        f"{len(held)} rows of {held.texts} of {manifest.texts} texts ({state})",
        *(f"  {site}: {width} columns" for site, width in manifest.sites.items()),
        f"{size / 1e6:.1f} MB of numbers; checked: {checked}",
    ]
