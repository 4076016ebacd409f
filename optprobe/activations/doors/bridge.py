"""The main door: TransformerLens, whose bridge names the hook points."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from optprobe.activations.doors.base import AllSeen, Collector, Encoded, Reduce, missed
from optprobe.activations.doors.encoding import encode
from optprobe.activations.doors.loading import load
from optprobe.activations.doors.modules import context_length
from optprobe.storage import require_package

if TYPE_CHECKING:
    import torch
    from transformer_lens.model_bridge import TransformerBridge


class BridgeDoor:
    """A `TransformerBridge` of one's own, or the one that `open` boots.

    It attends eagerly and gives the model's own numbers: no weights are folded unless the bridge
    was put into compatibility mode.

    Args:
        bridge: booted; hooks that it already has stay on.
        model: name, as a person would cite it; the bridge's own by default.
        revision: what tells one model of that name from another.
    """

    def __init__(
        self, bridge: TransformerBridge, model: str | None = None, revision: str | None = None
    ) -> None:
        self.bridge = bridge
        self.tokenizer: Any = bridge.tokenizer
        self.model = model or str(bridge.cfg.model_name)
        self.revision = revision
        self.tokenizer_name = str(getattr(bridge.tokenizer, "name_or_path", "") or self.model)
        self.layers = int(bridge.cfg.n_layers)
        self.context = context_length(bridge.original_model.config)

    @classmethod
    def open(
        cls,
        spec: str | Path | TransformerBridge,
        *,
        device: str = "cpu",
        dtype: str = "float32",
        revision: str | None = None,
    ) -> Self:
        """The bridge of a model that `load` finds, or a bridge that there is already.

        Raises:
            ValueError: as `load`; or TransformerLens does not know the architecture.
        """
        require_package("transformer_lens", "the door 'bridge'", "lens")
        import torch
        from transformer_lens.model_bridge import TransformerBridge

        if isinstance(spec, TransformerBridge):
            return cls(spec)
        held = load(spec, device=device, dtype=dtype, revision=revision)
        bridge: Any = TransformerBridge.boot_transformers(
            held.name,
            hf_model=held.model,
            tokenizer=held.tokenizer,
            device=device,
            dtype=getattr(torch, dtype),
        )
        door = cls(bridge, held.name, held.revision)
        # The bridge's copy may begin texts with a token that the model's own does not.
        door.tokenizer, door.tokenizer_name = held.tokenizer, held.tokenizer_name
        return door

    def sites(self) -> list[str]:
        """Every hook point of the bridge, with its aliases."""
        return list(self.bridge.hook_dict)

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """The tokens of texts by the model's own tokenizer; by its bridge's, if one was given."""
        return encode(self.tokenizer, texts)

    def run(
        self, ids: torch.Tensor, mask: torch.Tensor, sites: Sequence[str], reduce: Reduce
    ) -> dict[str, torch.Tensor]:
        """Site -> `reduce` of its values (see `Door.run`)."""
        import torch

        collector = Collector(sites, reduce)

        def hook(site: str, values: Any, hook: Any) -> None:
            collector.take(site, values)

        device = self.bridge.cfg.device
        with torch.inference_mode(), suppress(AllSeen):
            self.bridge.run_with_hooks(
                ids.to(device),
                fwd_hooks=[(site, partial(hook, site)) for site in sites],
                return_type=None,
                attention_mask=mask.to(device),
            )
        missed(sites, collector.found)
        return collector.found
