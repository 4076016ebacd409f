"""A plain model of transformers with torch's own hooks: the fewest layers in between."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from optprobe.activations.doors.base import AllSeen, Collector, Encoded, Reduce, missed
from optprobe.activations.doors.encoding import encode
from optprobe.activations.doors.loading import Loaded, load
from optprobe.activations.doors.modules import Place, context_length, layer_count, places

if TYPE_CHECKING:
    import torch


class HooksDoor:
    """The hook points of `modules.places`, in whatever attention the model runs by default.

    Args:
        held: a loaded model.

    Attributes:
        places: where each hook point is, in the order of the computation.
    """

    def __init__(self, held: Loaded) -> None:
        self.held = held
        self.model, self.revision = held.name, held.revision
        self.tokenizer_name = held.tokenizer_name
        self.layers = layer_count(held.model)
        self.context = context_length(held.model.config)
        self.places = places(held.model)

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
        return list(self.places)

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """The tokens of texts by the model's tokenizer."""
        return encode(self.held.tokenizer, texts)

    def run(
        self, ids: torch.Tensor, mask: torch.Tensor, sites: Sequence[str], reduce: Reduce
    ) -> dict[str, torch.Tensor]:
        """Site -> `reduce` of its values (see `Door.run`)."""
        import torch

        collector, model = Collector(sites, reduce), self.held.model
        with torch.inference_mode(), suppress(AllSeen), ExitStack() as hooked:
            for site in sites:
                handle = _hook(model, self.places[site], site, collector)
                hooked.callback(handle.remove)
            model(
                input_ids=ids.to(model.device),
                attention_mask=mask.to(model.device),
                use_cache=False,
            )
        missed(sites, collector.found)
        return collector.found


def _hook(model: Any, place: Place, site: str, collector: Collector) -> Any:
    """A hook on one place; its handle."""
    module = model.get_submodule(place.module)
    if place.side == "output":

        def after(module: Any, given: Any, values: Any) -> None:
            collector.take(site, values)

        return module.register_forward_hook(after)

    def before(module: Any, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        collector.take(site, given[0] if given else named["hidden_states"])

    return module.register_forward_pre_hook(before, with_kwargs=True)
