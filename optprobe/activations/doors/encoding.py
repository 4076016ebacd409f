"""Texts to tokens with their characters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from optprobe.activations.doors.base import Encoded


def encode(tokenizer: Any, texts: Sequence[str]) -> list[Encoded]:
    """The tokens of each text by a fast tokenizer of transformers, with its special tokens.

    Raises:
        ValueError: a tokenizer without character offsets.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise ValueError(
            f"the tokenizer {type(tokenizer).__name__} gives no character offsets, which features "
            "are aligned by; pass a model with a fast tokenizer (a tokenizer.json)"
        )
    if not texts:
        return []
    found = tokenizer(
        list(texts),
        return_offsets_mapping=True,
        return_special_tokens_mask=True,
        return_attention_mask=False,
        padding=False,
        truncation=False,
        verbose=False,
    )
    return [
        Encoded(
            np.array(ids, np.int32),
            np.array(offsets, np.int32).reshape(-1, 2),
            np.array(special, bool),
        )
        for ids, offsets, special in zip(
            found["input_ids"], found["offset_mapping"], found["special_tokens_mask"], strict=True
        )
    ]
