"""Doors to models: TransformerLens's bridge, plain transformers, nnsight."""

from __future__ import annotations

from optprobe.activations.doors.base import Door, layer_sites
from optprobe.activations.doors.bridge import BridgeDoor
from optprobe.activations.doors.hooks import HooksDoor
from optprobe.activations.doors.nnsight import NNsightDoor

__all__ = ["DOORS", "BridgeDoor", "Door", "HooksDoor", "NNsightDoor", "get_door", "layer_sites"]

DOORS: dict[str, type[Door]] = {
    "bridge": BridgeDoor,
    "hooks": HooksDoor,
    "nnsight": NNsightDoor,
}
"""By name."""


def get_door(name: str) -> type[Door]:
    """The door of that name; its `open` takes the model.

    Raises:
        ValueError: there is none.
    """
    if name not in DOORS:
        raise ValueError(f"unknown door {name!r}; pass one of {', '.join(DOORS)}")
    return DOORS[name]
