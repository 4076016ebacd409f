"""The language model behind a neuron, as ablation and output weights need it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

if TYPE_CHECKING:
    from torch.nn import Module

Array = np.ndarray


@dataclass(frozen=True)
class LanguageModel:
    """A causal language model of transformers with its tokenizer's two directions.

    Attributes:
        name: for titles and records.
        module: the model.
        encode: text -> the ids that were captured.
        decode: one id -> its text.
    """

    name: str
    module: Module
    encode: Callable[[str], Int[Array, "tokens"]]
    decode: Callable[[int], str]


def open_model(spec: str | Path, *, device: str = "cpu") -> LanguageModel:
    """The model that a capture would open by the door "hooks".

    Args:
        spec: as for `optprobe capture`.
        device: cpu, cuda, ...

    Raises:
        ValueError, ImportError: as the door.
    """
    from optprobe.activations.doors.hooks import HooksDoor

    door = HooksDoor.open(spec, device=device)
    tokenizer = door.held.tokenizer
    return LanguageModel(
        door.model,
        door.held.model,
        lambda text: door.encode([text])[0].ids,
        lambda number: str(tokenizer.decode([number])),
    )
