"""`optprobe backends`: which solvers can run here, and how to get the others."""

from __future__ import annotations

from optprobe.cli import common


def backends() -> None:
    """List every solver backend: installed or not, version, licence, limits, how to get it."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from optprobe import __version__
    from optprobe.mip.backends import backend_table

    table = Table(box=box.SIMPLE)
    table.add_column("backend", no_wrap=True)
    table.add_column("use", no_wrap=True)
    for column in ("runs here", "version", "licence", "limits", "how to get it"):
        table.add_column(column, overflow="fold")
    table.add_row("native", "--method bnb", "yes", __version__, "MIT", "none", "part of optprobe")
    for state in backend_table():
        runs = "yes" if state.available else f"no: {state.reason}"
        cells = (runs, state.version or "-", state.licence, state.limits or "-")
        how = state.how_to_get or "installed"
        table.add_row(state.name, "--method oa", *(escape(cell) for cell in (*cells, how)))
    common.console().print(table)
