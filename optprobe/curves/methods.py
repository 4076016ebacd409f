"""Which heuristics a curve compares."""

from __future__ import annotations

from collections.abc import Sequence

from optprobe.curves.records import RANDOM
from optprobe.heuristics import HEURISTICS, Heuristic, get_heuristic

DEFAULT = (
    "mean_difference", "f_statistic", "l1_logistic", "telescoping",
    "greedy", "greedy_swaps", "local_search",
)  # fmt: skip
"""What people use most, forward selection without and with swaps, and our own search."""


def chosen(methods: str | Sequence[str], loss: str) -> tuple[list[Heuristic], dict[str, str]]:
    """The heuristics that run, their packages loaded, and why each of the others does not.

    Args:
        methods: "default", "all" (every registered one that can run; random coordinates are a
            control), or names, "NAME@P" among them.
        loss: of the problem.

    Raises:
        ValueError: unknown name, or one that does not serve the loss.
        ImportError: the package of a name is not installed.
    """
    if methods == "all":
        return _all(loss)
    names = DEFAULT if methods == "default" else methods
    if isinstance(names, str):
        raise ValueError(f"methods={names!r}: pass 'default', 'all' or a list of names")
    found = [get_heuristic(name) for name in dict.fromkeys(names)]
    for heuristic in found:
        if not _serves(heuristic, loss):
            raise ValueError(
                f"{heuristic.name} does not serve the loss {loss}; leave it out or change the loss"
            )
    for heuristic in found:
        heuristic.load()
    return found, {}


def _all(loss: str) -> tuple[list[Heuristic], dict[str, str]]:
    """What can run here."""
    found, missing = list[Heuristic](), dict[str, str]()
    for name, heuristic in HEURISTICS.items():
        if name == RANDOM:
            continue
        if not _serves(heuristic, loss):
            missing[name] = f"it does not serve the loss {loss}"
            continue
        try:
            heuristic.load()
        except ImportError as error:
            missing[name] = str(error)
        else:
            found.append(heuristic)
    return found, missing


def _serves(heuristic: Heuristic, loss: str) -> bool:
    return heuristic.losses is None or loss in heuristic.losses
