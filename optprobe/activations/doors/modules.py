"""Hook points of a plain model of transformers: which module has them, before it or after it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import nn

ATTENTION = ("self_attn", "attn", "attention", "self_attention")
MLP = ("mlp", "feed_forward", "block_sparse_moe")
ATTENTION_OUT = ("o_proj", "c_proj", "dense", "out_proj", "wo")
MLP_OUT = ("down_proj", "c_proj", "dense_4h_to_h", "fc2", "w2", "fc_out", "wo")
AFTER_ATTENTION, AFTER_MLP = "post_attention_layernorm", "post_feedforward_layernorm"
"""The names that architectures give to a block's parts."""


@dataclass(frozen=True)
class Place:
    """Where a hook point is: what goes into a module, or what comes out."""

    module: str
    side: Literal["input", "output"]


def places(model: Any) -> dict[str, Place]:
    """Hook point -> place, in the order of the computation.

    For block l: `blocks.l.hook_resid_pre`, `attn.hook_z`, `hook_attn_out`, `mlp.hook_post`,
    `hook_mlp_out` and `hook_resid_post`, those that its architecture has under a known name. As in
    TransformerLens attention and MLP outputs are what is added to the residual stream: after the
    second norm in architectures that have one.

    Raises:
        ValueError: no list of as many blocks as the model has layers.
    """
    path, blocks = _blocks(model)
    found: dict[str, Place] = {}
    for number, block in enumerate(blocks):
        for name, place in _of_block(f"{path}.{number}", block):
            found[f"blocks.{number}.{name}"] = place
    return found


def layer_count(model: Any) -> int:
    """Blocks of the model, as its config says."""
    return int(model.config.get_text_config().num_hidden_layers)


def context_length(config: Any) -> int | None:
    """Tokens that a model of this config reads at once, None where it does not say."""
    text = config.get_text_config()
    for name in ("max_position_embeddings", "n_positions", "max_sequence_length"):
        if isinstance(getattr(text, name, None), int):
            return int(getattr(text, name))
    return None


def _blocks(model: Any) -> tuple[str, list[nn.Module]]:
    """The list of blocks and its path."""
    from torch import nn

    layers = layer_count(model)
    for path, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == layers:
            return path, list(module)
    raise ValueError(
        f"{type(model).__name__} has no list of {layers} blocks; open it by the door 'bridge'"
    )


def _of_block(path: str, block: nn.Module) -> Iterator[tuple[str, Place]]:
    """The places of one block, those that it has."""
    attention, mlp = _child(block, ATTENTION), _child(block, MLP)
    second_norms = hasattr(block, AFTER_MLP)
    yield "hook_resid_pre", Place(path, "input")
    if attention is not None:
        inner = _child(getattr(block, attention), ATTENTION_OUT)
        if inner is not None:
            yield "attn.hook_z", Place(f"{path}.{attention}.{inner}", "input")
        after = AFTER_ATTENTION if second_norms else attention
        yield "hook_attn_out", Place(f"{path}.{after}", "output")
    if mlp is not None:
        inner = _child(getattr(block, mlp), MLP_OUT)
        if inner is not None:
            yield "mlp.hook_post", Place(f"{path}.{mlp}.{inner}", "input")
        yield "hook_mlp_out", Place(f"{path}.{AFTER_MLP if second_norms else mlp}", "output")
    yield "hook_resid_post", Place(path, "output")


def _child(module: nn.Module, names: tuple[str, ...]) -> str | None:
    """The first of these names that the module has a child of."""
    return next((name for name in names if name in dict(module.named_children())), None)
