"""The parts of a transformers model that a neuron's output passes through.

A neuron of an MLP writes  activation * W_out[neuron]  into the residual stream, sometimes through a
norm of its block (Gemma 2 and 3); the unembedding W_U reads the stream through the final norm.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module, ModuleList

PROJECTIONS = ("down_proj", "c_proj", "dense_4h_to_h", "fc2", "fc_out", "w2")
"""What models call the second matrix of an MLP."""

BLOCK_NORM = "post_feedforward_layernorm"
"""The norm between an MLP and the residual stream, where a model has one."""

NEURON = re.compile(r"L(\d+)N(\d+)")


@dataclass(frozen=True)
class Neuron:
    """One column of blocks.LAYER.mlp.hook_post."""

    layer: int
    index: int

    @classmethod
    def parse(cls, name: str) -> Neuron:
        """ "L12N77".

        Raises:
            ValueError: anything else; only neurons of an MLP have output weights to look at.
        """
        found = NEURON.fullmatch(name)
        if found is None:
            raise ValueError(
                f"{name!r} is not a neuron of an MLP; name its layer and number, such as L12N77"
            )
        return cls(int(found[1]), int(found[2]))

    @property
    def name(self) -> str:
        """As columns are named."""
        return f"L{self.layer}N{self.index}"

    @property
    def site(self) -> str:
        """The hook that captures it."""
        return f"blocks.{self.layer}.mlp.hook_post"


@dataclass(frozen=True)
class Parts:
    """Of one neuron.

    Attributes:
        projection: the module whose input is the layer's hook_post.
        direction: W_out[neuron], one number per dimension of the residual stream.
        norms: what the direction passes through on its way to the unembedding, in order.
        unembedding: W_U, tokens x dimensions.
    """

    projection: Module
    direction: Tensor
    norms: tuple[Module, ...]
    unembedding: Tensor


def parts(model: Module, neuron: Neuron) -> Parts:
    """Find them in a causal language model of transformers.

    Raises:
        ValueError: no such layer or neuron, or a model that is built in another way.
    """
    blocks = _blocks(model)
    if neuron.layer >= len(blocks):
        raise ValueError(
            f"{neuron.name}: the model has layers 0 to {len(blocks) - 1}; choose one of them"
        )
    block = blocks[neuron.layer]
    found = [
        module
        for name, module in block.named_modules()
        if "attn" not in name and "attention" not in name and name.split(".")[-1] in PROJECTIONS
    ]
    if len(found) != 1:
        raise ValueError(
            f"layer {neuron.layer} of {type(model).__name__} has {len(found)} modules called "
            f"{', '.join(PROJECTIONS)}; neuron evidence needs a dense MLP with exactly one"
        )
    weight = _weight(found[0])
    if neuron.index >= weight.shape[1]:
        raise ValueError(
            f"{neuron.name}: layer {neuron.layer} has neurons 0 to {weight.shape[1] - 1}"
        )
    own = [child for name, child in block.named_children() if name == BLOCK_NORM]
    unembedding = cast("Module", model.get_output_embeddings())  # type: ignore[operator]
    return Parts(
        found[0],
        weight[:, neuron.index],
        (*own, _final_norm(model)),
        cast("Tensor", unembedding.weight),
    )


def _blocks(model: Module) -> ModuleList:
    """The only list of modules as long as the model has layers."""
    from torch.nn import ModuleList

    count = model.config.num_hidden_layers  # type: ignore[union-attr]
    found = [
        module
        for module in model.modules()
        if isinstance(module, ModuleList) and len(module) == count
    ]
    if not found:
        raise ValueError(f"{type(model).__name__} has no list of {count} blocks")
    return found[0]


def _weight(projection: Module) -> Tensor:
    """dimensions x neurons; GPT-2's Conv1D holds the transpose."""
    weight = cast("Tensor", projection.weight).detach()
    return weight.T if type(projection).__name__ == "Conv1D" else weight


def _final_norm(model: Module) -> Module:
    """The last norm that is no part of a block."""
    inside = {id(module) for module in _blocks(model).modules()}
    norms = [
        module
        for module in model.modules()
        if "Norm" in type(module).__name__ and id(module) not in inside
    ]
    if not norms:
        raise ValueError(f"{type(model).__name__} has no final norm that could be found")
    return norms[-1]
