"""Which heuristics a curve compares."""

from __future__ import annotations

from collections.abc import Sequence

from optprobe.curves.records import RANDOM
from optprobe.heuristics import HEURISTICS, Heuristic, get_heuristic

DEFAULT = (
    "mean_difference", "f_statistic", "l1_logistic", "telescoping", "greedy", "greedy_swaps",
)  # fmt: skip
"""What people use most, and forward selection without and with swaps."""


def chosen(methods: str | Sequence[str], loss: str) -> tuple[list[Heuristic], dict[str, str]]:
    """The heuristics that run, and why each of the others does not.

    Args:
        methods: "default", "all" (every registered one that serves the loss; random coordinates
            are a control), or names, "NAME@P" among them.
        loss: of the problem.

    Raises:
        ValueError: unknown name, or one that does not serve the loss.
    """
    if methods == "all":
        left_out = {
            name: f"does not serve the loss {loss}"
            for name, heuristic in HEURISTICS.items()
            if heuristic.losses is not None and loss not in heuristic.losses
        }
        names = [name for name in HEURISTICS if name not in (*left_out, RANDOM)]
        return [get_heuristic(name) for name in names], left_out
    names = DEFAULT if methods == "default" else methods
    if isinstance(names, str):
        raise ValueError(f"methods={names!r}: pass 'default', 'all' or a list of names")
    found = [get_heuristic(name) for name in dict.fromkeys(names)]
    for heuristic in found:
        if heuristic.losses is not None and loss not in heuristic.losses:
            raise ValueError(
                f"{heuristic.name} does not serve the loss {loss}; leave it out or change the loss"
            )
    return found, {}
