"""Which next tokens a neuron's output weights speak for and against.

    logits = W_U norm(W_out[neuron])

the logit lens [nostalgebraist 2020] on one direction: what the unembedding would say if the
residual stream held nothing else. The final norm divides by the stream's own size, which differs
from position to position, so only the order and the ratios of these numbers carry over to real
logits; the scale here is that of a stream whose root mean square is 1. A norm's bias says nothing
of the neuron and is taken off.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from optprobe.evidence.parts import Parts


@dataclass(frozen=True)
class TokenLogit:
    """A token of the vocabulary and what the neuron's direction adds to its logit."""

    id: int
    token: str
    logit: float


def promoted(
    parts: Parts, decode: Callable[[int], str], *, count: int = 20
) -> tuple[list[TokenLogit], list[TokenLogit]]:
    """The tokens of the largest logits, and of the smallest, most extreme first.

    Args:
        parts: of the neuron.
        decode: token id -> text.
        count: of each kind.
    """
    import torch

    with torch.no_grad():
        stream = parts.direction
        for norm in parts.norms:
            stream = norm(stream) - norm(torch.zeros_like(stream))
        logits = (parts.unembedding @ stream.to(parts.unembedding.dtype)).float().cpu()
    order = torch.argsort(logits, descending=True, stable=True).tolist()

    def entries(ids: list[int]) -> list[TokenLogit]:
        return [TokenLogit(i, decode(i), float(logits[i])) for i in ids]

    return entries(order[:count]), entries(order[::-1][:count])
