"""nnsight's door: the same hook points as the plain one, read inside a trace."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from optprobe.activations.doors.base import AllSeen, Collector, Encoded, Reduce, missed
from optprobe.activations.doors.encoding import encode
from optprobe.activations.doors.loading import Loaded, load
from optprobe.activations.doors.modules import context_length, layer_count, places
from optprobe.storage import require_package

if TYPE_CHECKING:
    import torch


class NNsightDoor:
    """A model of transformers wrapped by nnsight.

    Args:
        held: a loaded model.
    """

    def __init__(self, held: Loaded) -> None:
        require_package("nnsight", "the door 'nnsight'", "nnsight")
        from nnsight import NNsight

        self.held = held
        self.model, self.revision = held.name, held.revision
        self.tokenizer_name = held.tokenizer_name
        self.layers = layer_count(held.model)
        self.context = context_length(held.model.config)
        self._places = places(held.model)
        self._wrapped: Any = NNsight(held.model)

    @classmethod
    def open(
        cls,
        spec: str | Path,
        *,
        device: str = "cpu",
        dtype: str = "float32",
        revision: str | None = None,
    ) -> Self:
        """The model that `load` finds."""
        return cls(load(spec, device=device, dtype=dtype, revision=revision))

    def sites(self) -> list[str]:
        """The hook points, in the order of the computation."""
        return list(self._places)

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """The tokens of texts by the model's tokenizer."""
        return encode(self.held.tokenizer, texts)

    def run(
        self, ids: torch.Tensor, mask: torch.Tensor, sites: Sequence[str], reduce: Reduce
    ) -> dict[str, torch.Tensor]:
        """Site -> `reduce` of its values (see `Door.run`).

        A trace must ask for values in the order in which they are computed.
        """
        import torch

        collector = Collector(sites, reduce)
        wanted = [(site, place) for site, place in self._places.items() if site in sites]
        device = self.held.model.device
        given = {"input_ids": ids.to(device), "attention_mask": mask.to(device)}
        with (
            torch.inference_mode(),
            self._wrapped.trace(**given, use_cache=False) as tracer,
        ):
            for site, place in wanted:
                module = self._wrapped.get(place.module)
                try:
                    collector.take(site, getattr(module, place.side))
                except AllSeen:
                    tracer.stop()
        missed(sites, collector.found)
        return collector.found
