"""What the model loses on the next token without a neuron, by class.

    loss(i) = -log p(token_{i+1} | token_1, ..., token_i)
    effect(i) = loss(i) with the neuron's activation set to a constant at every position of the text
                - loss(i) as the model is

once with the constant 0 [as Gurnee et al. 2023], once with the neuron's mean over the store.
The mean effect of a class comes with a standard error over documents, because the tokens of a
document are alike:

    se = sqrt( G/(G-1) sum_g ( sum_{i in g} (effect(i) - mean) )^2 ) / n      [Liang and Zeger 1986]

for n rows in G documents.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64, Int, Int8, Shaped

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

Array = np.ndarray

BATCH_TOKENS = 1024
"""Tokens per forward pass, padding included: each one's logits fill the whole vocabulary."""


@dataclass(frozen=True)
class Effect:
    """The mean effect of one ablation on one class.

    Attributes:
        ablation: "zero" or "mean".
        label: -1 or +1.
        rows, documents: that it is a mean over.
        loss: mean loss of the model as it is, in nats.
        effect: mean increase of the loss, in nats.
        standard_error: of the effect over documents, None for a single document.
    """

    ablation: str
    label: int
    rows: int
    documents: int
    loss: float
    effect: float
    standard_error: float | None


@contextmanager
def ablated(projection: Module, neuron: int, value: float) -> Generator[None]:
    """Within it the neuron's activation is `value` wherever the model runs.

    Args:
        projection: the module whose input holds the activations of the layer.
        neuron: index of the last dimension of that input.
        value: in units of the activation.
    """

    def replace(module: Module, inputs: tuple[Tensor, ...]) -> tuple[Any, ...]:
        changed = inputs[0].clone()
        changed[..., neuron] = value
        return changed, *inputs[1:]

    handle = projection.register_forward_pre_hook(replace)
    try:
        yield
    finally:
        handle.remove()


def next_token_losses(
    model: Module, sequences: Sequence[Int[Array, "tokens"]]
) -> list[Float64[Array, "tokens"]]:
    """Per text one loss per token, that of the token after it in nats; NaN at the last one.

    Args:
        model: a causal language model of transformers.
        sequences: token ids, at least one each.
    """
    import torch
    from torch.nn.functional import cross_entropy

    device = next(model.parameters()).device
    losses = [np.full(len(ids), np.nan) for ids in sequences]
    for part in _batches([len(ids) for ids in sequences]):
        longest = len(sequences[part[-1]])
        ids = torch.zeros((len(part), longest), dtype=torch.long, device=device)
        mask = torch.zeros_like(ids)
        for at, text in enumerate(part):
            length = len(sequences[text])
            ids[at, :length] = torch.tensor(np.asarray(sequences[text], np.int64))
            mask[at, :length] = 1
        with torch.no_grad():
            logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1]
            found = cross_entropy(logits.float().transpose(1, 2), ids[:, 1:], reduction="none")
        for at, text in enumerate(part):
            length = len(sequences[text])
            losses[text][:-1] = found[at, : length - 1].double().cpu().numpy()
    return losses


def _batches(lengths: Sequence[int]) -> list[list[int]]:
    """Texts of like length together, shortest first; texts of one token have nothing to predict."""
    batches: list[list[int]] = []
    for text in np.argsort(lengths, kind="stable").tolist():
        if lengths[text] < 2:
            continue
        if not batches or (len(batches[-1]) + 1) * lengths[text] > BATCH_TOKENS:
            batches.append([])
        batches[-1].append(text)
    return batches


def ablation_losses(
    model: Module,
    projection: Module,
    neuron: int,
    mean: float,
    sequences: Sequence[Int[Array, "tokens"]],
    log: Callable[[str], None] | None = None,
) -> dict[str, list[Float64[Array, "tokens"]]]:
    """Losses by name: "as it is", "zero" and "mean" ablated.

    Args:
        model, sequences: as for `next_token_losses`.
        projection, neuron: as for `ablated`.
        mean: of the neuron.
        log: takes a line per ablation.
    """
    found = {"as it is": next_token_losses(model, sequences)}
    for name, value in (("zero", 0.0), ("mean", mean)):
        if log is not None:
            log(f"next-token loss of {len(sequences)} texts, the neuron set to {value:.4g}")
        with ablated(projection, neuron, value):
            found[name] = next_token_losses(model, sequences)
    return found


def effects(
    losses: dict[str, Float64[Array, "rows"]],
    labels: Int8[Array, "rows"],
    documents: Shaped[Array, "rows"],
) -> list[Effect]:
    """Mean effects of both ablations on both classes.

    Args:
        losses: per row, by the names of `ablation_losses`; rows with NaN are left out.
        labels: -1, +1, or 0 for rows that are left out.
        documents: what each row belongs to.
    """
    base = losses["as it is"]
    found: list[Effect] = []
    for name in ("zero", "mean"):
        for label in (1, -1):
            rows = (labels == label) & np.isfinite(base)
            if not rows.any():
                continue
            effect = losses[name][rows] - base[rows]
            _, group = np.unique(documents[rows], return_inverse=True)
            mean = float(effect.mean())
            found.append(
                Effect(
                    ablation=name,
                    label=label,
                    rows=len(effect),
                    documents=int(group.max()) + 1,
                    loss=float(base[rows].mean()),
                    effect=mean,
                    standard_error=_clustered_error(effect - mean, group),
                )
            )
    return found


def _clustered_error(deviations: Float64[Array, "n"], group: Int[Array, "n"]) -> float | None:
    """Of the mean, over groups numbered from 0."""
    sums = np.bincount(group, deviations)
    if len(sums) < 2:
        return None
    return float(np.sqrt(len(sums) / (len(sums) - 1) * np.sum(sums**2)) / len(deviations))
