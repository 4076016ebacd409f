"""Everything that is shown of one neuron and one feature, gathered in one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64, Int, Int8

from optprobe.evidence.ablation import Effect, ablation_losses, effects
from optprobe.evidence.contexts import Context, extremes
from optprobe.evidence.histogram import Histogram, histogram
from optprobe.evidence.model import LanguageModel
from optprobe.evidence.parts import Neuron, parts
from optprobe.evidence.unembedding import TokenLogit, promoted

if TYPE_CHECKING:
    from optprobe.activations.rows import RowFacts

Array = np.ndarray


@dataclass(frozen=True)
class Evidence:
    """What is known of one neuron and one feature.

    Attributes:
        model, neuron, feature: names.
        values, labels, rows: per stored row, as they were given.
        histogram: labelled activations by class.
        top, bottom: the rows of the largest and of the smallest activations.
        promotes, suppresses: tokens that the output weights speak for and against.
        mean: of the neuron over all stored rows, what mean ablation sets it to.
        effects: of zero and mean ablation on the next-token loss; empty for rows that are whole
            texts, which have no next token.
        losses: per row, by the names of `ablation_losses`; NaN where the text was not run.
    """

    model: str
    neuron: Neuron
    feature: str
    values: Float64[Array, "rows"] = field(repr=False)
    labels: Int8[Array, "rows"] = field(repr=False)
    rows: RowFacts = field(repr=False)
    histogram: Histogram = field(repr=False)
    top: list[Context] = field(repr=False)
    bottom: list[Context] = field(repr=False)
    promotes: list[TokenLogit] = field(repr=False)
    suppresses: list[TokenLogit] = field(repr=False)
    mean: float
    effects: list[Effect]
    losses: dict[str, Float64[Array, "rows"]] = field(repr=False)


def neuron_evidence(
    model: LanguageModel,
    neuron: Neuron,
    feature: str,
    values: Float64[Array, "rows"],
    labels: Int8[Array, "rows"],
    rows: RowFacts,
    texts: Sequence[str],
    documents: Sequence[str],
    *,
    ablated_texts: int = 100,
    count: int = 20,
    seed: int = 0,
    log: Callable[[str], None] | None = None,
) -> Evidence:
    """Histogram, contexts, ablation and output weights of one neuron.

    Args:
        model: that the activations come from.
        neuron: which.
        feature: its name, for titles and records.
        values: the neuron's stored activation per row.
        labels: of the feature per row: -1, +1, or 0 where it says nothing.
        rows: where every row lies.
        texts, documents: of the source, one per text.
        ablated_texts: how many texts the model is run on, drawn among those with a labelled row.
        count: of contexts and tokens on each side.
        seed: of the draw.
        log: takes progress lines.

    Raises:
        ValueError: lengths that disagree, a class without rows, a neuron or model that does not
            fit, or texts whose tokens are not the stored ones.
    """
    values = np.asarray(values, np.float64)
    counts = histogram(values, labels)
    found = parts(model.module, neuron)
    top, bottom = extremes(values, labels, rows, texts, count=count)
    promotes, suppresses = promoted(found, model.decode, count=count)
    losses: dict[str, Array] = {}
    measured: list[Effect] = []
    mean = float(values.mean())
    if (rows.position >= 0).all():
        drawn = _drawn(rows, labels, ablated_texts, seed)
        sequences = [_tokens(model, rows, texts, text) for text in drawn]
        by_text = ablation_losses(
            model.module, found.projection, neuron.index, mean, sequences, log
        )
        losses = {name: _per_row(rows, drawn, several) for name, several in by_text.items()}
        measured = effects(losses, labels, np.asarray(documents)[rows.text])
    return Evidence(
        model=model.name,
        neuron=neuron,
        feature=feature,
        values=values,
        labels=labels,
        rows=rows,
        histogram=counts,
        top=top,
        bottom=bottom,
        promotes=promotes,
        suppresses=suppresses,
        mean=mean,
        effects=measured,
        losses=losses,
    )


def _drawn(rows: RowFacts, labels: Array, count: int, seed: int) -> Int[Array, "texts"]:
    """Some of the texts with a labelled row, in order."""
    labelled = np.unique(rows.text[labels != 0])
    if count >= len(labelled):
        return labelled
    return np.sort(np.random.default_rng(seed).choice(labelled, count, replace=False))


def _tokens(
    model: LanguageModel, rows: RowFacts, texts: Sequence[str], text: int
) -> Int[Array, "tokens"]:
    """The ids of a text as far as its rows need them: to the token after the last row.

    Raises:
        ValueError: they are not those of the stored rows.
    """
    own = rows.text == text
    position = rows.position[own]
    ids = model.encode(texts[text])[: int(position.max()) + 2]
    if position.max() >= len(ids) or (ids[position] != rows.token[own]).any():
        raise ValueError(
            f"text {text} has other tokens under {model.name} than in the store; pass the model "
            "and the texts that were captured"
        )
    return ids


def _per_row(
    rows: RowFacts, drawn: Int[Array, "texts"], losses: Sequence[Float64[Array, "tokens"]]
) -> Float64[Array, "rows"]:
    """The losses of the drawn texts where their rows are."""
    found = np.full(len(rows.text), np.nan)
    for text, values in zip(drawn, losses, strict=True):
        own = np.flatnonzero(rows.text == text)
        found[own] = values[rows.position[own]]
    return found
