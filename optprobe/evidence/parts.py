"""The parts of a transformers model that a neuron's output passes through.

A neuron of an MLP writes  activation * W_out[neuron]  into the residual stream, sometimes through a
norm of its block (Gemma 2 and 3); the unembedding W_U reads the stream through the final norm.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from jaxtyping import Float64

from optprobe.activations.doors.modules import AFTER_MLP, layer_count, places

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from optprobe.activations.store import Store

Array = np.ndarray

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
        """As columns of a store are named."""
        return f"L{self.layer:02d}N{self.index}"

    @property
    def site(self) -> str:
        """The hook that captures it."""
        return f"blocks.{self.layer}.mlp.hook_post"

    def activations(self, store: Store) -> Float64[Array, "rows"]:
        """Its stored activation on every row.

        Raises:
            InputError: the store does not hold its layer.
            ValueError: the layer has fewer neurons.
        """
        values = store.array([self.site])
        if self.index >= values.shape[1]:
            raise ValueError(f"{self.name}: the layer has neurons 0 to {values.shape[1] - 1}")
        column = values[np.arange(values.shape[0])[:, None], np.array([[self.index]])]
        return column[:, 0].astype(np.float64)


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


def parts(model: Any, neuron: Neuron) -> Parts:
    """Find them in a causal language model of transformers.

    Raises:
        ValueError: no such layer or neuron, or a model that is built in another way.
    """
    layers = layer_count(model)
    if neuron.layer >= layers:
        raise ValueError(
            f"{neuron.name}: the model has layers 0 to {layers - 1}; choose one of them"
        )
    place = places(model).get(neuron.site)
    if place is None:
        raise ValueError(
            f"{type(model).__name__} has no dense MLP in layer {neuron.layer} whose output weights "
            "could be found"
        )
    projection = model.get_submodule(place.module)
    block = model.get_submodule(place.module.rpartition(".")[0].rpartition(".")[0])
    weight = _weight(projection)
    if neuron.index >= weight.shape[1]:
        raise ValueError(
            f"{neuron.name}: layer {neuron.layer} has neurons 0 to {weight.shape[1] - 1}"
        )
    own = [child for name, child in block.named_children() if name == AFTER_MLP]
    return Parts(
        projection,
        weight[:, neuron.index],
        (*own, _final_norm(model, place.module)),
        model.get_output_embeddings().weight.detach(),
    )


def _weight(projection: Module) -> Tensor:
    """dimensions x neurons; GPT-2's Conv1D holds the transpose."""
    weight = cast("Tensor", projection.weight).detach()
    return weight.T if type(projection).__name__ == "Conv1D" else weight


def _final_norm(model: Any, inside: str) -> Module:
    """The last norm that is in no block.

    Args:
        model: of transformers.
        inside: path of a module of one of its blocks, such as model.layers.3.mlp.down_proj.
    """
    blocks = re.split(r"\.\d+\.", inside)[0]
    norms = [
        module
        for name, module in model.named_modules()
        if "Norm" in type(module).__name__ and not name.startswith(blocks + ".")
    ]
    if not norms:
        raise ValueError(f"{type(model).__name__} has no final norm that could be found")
    return norms[-1]
