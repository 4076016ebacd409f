"""nnsight's door: the same hook points as the plain one, read inside a trace."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from optprobe.activations.doors.base import AllSeen, Collector, Reduce, missed
from optprobe.activations.doors.hooks import HooksDoor
from optprobe.activations.doors.loading import Loaded
from optprobe.storage import require_package

if TYPE_CHECKING:
    import torch


class NNsightDoor(HooksDoor):
    """A model of transformers wrapped by nnsight.

    Args:
        held: a loaded model.
    """

    def __init__(self, held: Loaded) -> None:
        from nnsight import NNsight

        super().__init__(held)
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
        """The model that `load` finds.

        Raises:
            ValueError: as `load`; or nnsight is missing.
        """
        require_package("nnsight", "the door 'nnsight'", "nnsight")
        return super().open(spec, device=device, dtype=dtype, revision=revision)

    def run(
        self, ids: torch.Tensor, mask: torch.Tensor, sites: Sequence[str], reduce: Reduce
    ) -> dict[str, torch.Tensor]:
        """Site -> `reduce` of its values (see `Door.run`).

        A trace must ask for values in the order in which they are computed.
        """
        import torch

        collector = Collector(sites, reduce)
        wanted = [(site, place) for site, place in self.places.items() if site in sites]
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
