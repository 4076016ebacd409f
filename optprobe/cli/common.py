"""What the commands share: refusals, Ctrl-C, k ranges, progress lines, consoles."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import typer

if TYPE_CHECKING:
    from rich.console import Console

NOT_PROVEN, BAD_INPUT, STOPPED = 1, 2, 3
"""Exit codes beside 0."""


def refuse(message: str) -> NoReturn:
    """One sentence on stderr and exit code 2."""
    typer.echo(f"optprobe: {' '.join(message.split())}", err=True)
    raise typer.Exit(BAD_INPUT)


@contextmanager
def bad_input(*kinds: type[Exception]) -> Generator[None, None, None]:
    """Within it exceptions of these kinds are the caller's mistake; others are ours."""
    try:
        yield
    except kinds as error:
        refuse(str(error))


@contextmanager
def stoppable() -> Generator[None, None, None]:
    """Ctrl-C where nothing is left to save: one line and exit code 3."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("optprobe: interrupted", err=True)
        raise typer.Exit(STOPPED) from None


def parse_numbers(text: str, option: str) -> list[int]:
    """ "3", "0:8" (both ends included), "1,2,4" or a mixture, as increasing numbers.

    Raises:
        ValueError: not of that form.
    """
    numbers: set[int] = set()
    for part in text.split(","):
        ends = part.split(":")
        try:
            first, last = int(ends[0]), int(ends[-1])
        except ValueError:
            first, last = 1, 0
        if len(ends) > 2 or last < first or first < 0:
            raise ValueError(f"{option} {text}: pass a number, a range such as 1:8 or a list 1,2,4")
        numbers.update(range(first, last + 1))
    return sorted(numbers)


def parse_ks(text: str, option: str = "--k") -> list[int]:
    """As `parse_numbers`, from 1 on.

    Raises:
        ValueError: not of that form, or a number below 1.
    """
    ks = parse_numbers(text, option)
    if ks[0] < 1:
        raise ValueError(f"{option} {text}: a probe needs at least one column; pass k >= 1")
    return ks


def parse_grid(text: str, usable: int) -> list[int]:
    """As `parse_ks`, or "paper": the grid of Gurnee et al. 2023, 1:8, 10, 12, 16, 32, 64, ...

    Args:
        text: of --k.
        usable: columns; the paper's grid ends there.

    Raises:
        ValueError: as `parse_ks`.
    """
    if text != "paper":
        return parse_ks(text)
    doubled = [16 * 2**i for i in range(usable.bit_length())]
    return [k for k in (*range(1, 9), 10, 12, *doubled) if k <= usable]


def parse_candidates(text: str) -> int | None:
    """ "all" (None) or a number of columns.

    Raises:
        ValueError: anything else.
    """
    if text == "all":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"--candidates {text}: pass 'all' or a number of columns >= 1")
    return int(text)


def progress(quiet: bool) -> Callable[[str], None] | None:
    """Writes progress lines to stderr where that is a terminal; else None."""
    if quiet or not sys.stderr.isatty():
        return None
    from rich.console import Console

    console = Console(stderr=True)

    def write(line: str) -> None:
        console.print(line, style="dim", markup=False, highlight=False, soft_wrap=True)

    return write


def console(to_stderr: bool = False) -> Console:
    """Where tables go; as wide as they need to be when they are piped into a file."""
    from rich.console import Console

    stream = sys.stderr if to_stderr else sys.stdout
    return Console(stderr=to_stderr, width=None if stream.isatty() else 200, highlight=False)
