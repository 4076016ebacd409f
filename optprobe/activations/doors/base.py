"""A door: a model that reads token ids and shows what happens at its hook points."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeAlias, runtime_checkable

import numpy as np
from jaxtyping import Bool, Int32

if TYPE_CHECKING:
    import torch

Array = np.ndarray

Reduce: TypeAlias = "Callable[[str, torch.Tensor], torch.Tensor]"
"""What is kept of a site: of its name and its values [batch, position, width]."""

BATCH, POSITIONS = 2, 11
"""Of the run that measures widths: a shape that no other tensor has by chance."""


@dataclass(frozen=True, eq=False)
class Encoded:
    """The tokens of one text, as the model reads them.

    Attributes:
        ids: of the tokens.
        offsets: the characters [start, stop) that each token stands for.
        special: tokens that stand for no characters, such as the beginning of a text.
    """

    ids: Int32[Array, "tokens"]
    offsets: Int32[Array, "tokens 2"]
    special: Bool[Array, "tokens"]


@runtime_checkable
class Door(Protocol):
    """A model, opened. Hook points have TransformerLens's names, whatever is behind the door.

    Attributes:
        model: name, as a person would cite it.
        revision: what tells one model of that name from another.
        tokenizer_name: of its tokenizer.
        layers: number of its blocks.
        context: tokens that it can read at once, None where it does not say.
    """

    model: str
    revision: str | None
    tokenizer_name: str
    layers: int
    context: int | None

    @classmethod
    def open(
        cls,
        spec: Any,
        *,
        device: str = "cpu",
        dtype: str = "float32",
        revision: str | None = None,
    ) -> Self:
        """The model that `loading.load` finds under this word."""
        ...

    def sites(self) -> list[str]:
        """Names of the hook points, in the order of the computation where that is known."""
        ...

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """The tokens of texts, with the special ones that the tokenizer adds."""
        ...

    def run(
        self, ids: torch.Tensor, mask: torch.Tensor, sites: Sequence[str], reduce: Reduce
    ) -> dict[str, torch.Tensor]:
        """Site -> `reduce` of its values; the model stops once every site was seen.

        Args:
            ids: int64 [batch, position], padded on the right.
            mask: int64 [batch, position], 1 for tokens and 0 for padding.
            sites: hook points.
            reduce: called inside the run, so that a batch need not hold every site whole.
        """
        ...


class AllSeen(Exception):  # noqa: N818
    """Raised inside a model's run to end it: every site was seen."""


class Collector:
    """Takes the values of sites as a run comes to them and ends it after the last.

    Args:
        sites: to be seen.
        reduce: of each.
    """

    def __init__(self, sites: Sequence[str], reduce: Reduce) -> None:
        self.found: dict[str, torch.Tensor] = {}
        self._wanted, self._reduce = set(sites), reduce

    def take(self, site: str, values: Any) -> None:
        """Keep what is wanted of a site's values, the first of a tuple.

        Raises:
            ValueError: the site holds no tensor of batches and positions.
            AllSeen: this was the last.
        """
        values = values[0] if isinstance(values, tuple) else values
        if getattr(values, "ndim", 0) < 3:
            raise ValueError(f"the hook point {site} does not give one row of numbers per token")
        self.found[site] = self._reduce(site, values.flatten(2))
        if self._wanted == self.found.keys():
            raise AllSeen


def missed(sites: Sequence[str], found: dict[str, torch.Tensor]) -> None:
    """Refuse a run that did not come to every site.

    Raises:
        ValueError: naming them.
    """
    unseen = [site for site in sites if site not in found]
    if unseen:
        raise ValueError(f"the model never came to {', '.join(unseen)}; leave it out")


def widths(door: Door, sites: Sequence[str]) -> dict[str, int]:
    """Site -> columns, seen in a run over a few tokens.

    Raises:
        ValueError: an unknown site (near ones are named), or one without a row per token.
    """
    import torch

    check_sites(door, sites)

    def shape(site: str, values: torch.Tensor) -> torch.Tensor:
        if values.shape[:2] != (BATCH, POSITIONS):
            raise ValueError(f"the hook point {site} does not give one row of numbers per token")
        return torch.tensor(math.prod(values.shape[2:]))

    ids = torch.zeros((BATCH, POSITIONS), dtype=torch.int64)
    found = door.run(ids, torch.ones_like(ids), sites, shape)
    return {site: int(found[site]) for site in sites}


def layer_sites(patterns: Sequence[str], layers: Iterable[int]) -> list[str]:
    """Every pattern at every layer, layer after layer; one without {l} stands once, at the end."""
    placed = [name for name in patterns if "{l}" in name]
    return [name.replace("{l}", str(layer)) for layer in layers for name in placed] + [
        name for name in patterns if "{l}" not in name
    ]


def check_sites(door: Door, sites: Sequence[str]) -> None:
    """Refuse sites that the door does not have.

    Raises:
        ValueError: none, one twice, a layer past the last, or an unknown name; near ones are named.
    """
    if not sites:
        raise ValueError("no hook points; pass sites such as blocks.0.mlp.hook_post")
    known = door.sites()
    for number, site in enumerate(sites):
        if site in sites[:number]:
            raise ValueError(f"the hook point {site} is named twice")
        if site in known:
            continue
        layer = re.match(r"blocks\.(\d+)\.", site)
        if layer and int(layer[1]) >= door.layers:
            raise ValueError(
                f"{site}: {door.model} has {door.layers} layers; pass one of 0 to {door.layers - 1}"
            )
        raise ValueError(f"{door.model} has no hook point {site!r}; {near(site, known)}")


def near(word: str, known: Sequence[str], count: int = 5) -> str:
    """ "near ones are ...", or where none is near, some that there are."""
    close = difflib.get_close_matches(word, known, n=count, cutoff=0.6)
    if close:
        return f"near ones are {', '.join(close)}"
    return f"there are {', '.join(known[:count])}{', ...' if len(known) > count else ''}"


def chosen_device(device: str) -> str:
    """The same device, if it is there.

    Raises:
        ValueError: it is not, or has no such name.
    """
    import torch

    try:
        asked = torch.device(device)
    except RuntimeError:
        raise ValueError(f"unknown device {device!r}; pass cpu, cuda, cuda:1 or mps") from None
    if asked.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {device}: torch sees no GPU here; pass cpu")
    if asked.type == "cuda" and (asked.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device {device}: torch sees {torch.cuda.device_count()} GPUs here")
    if asked.type == "mps" and not torch.backends.mps.is_available():
        raise ValueError("device mps: torch sees no Apple GPU here; pass cpu")
    return device


def existing(path: str | Path) -> bool:
    """Whether there is such a file or folder; words that cannot be a path are none."""
    try:
        return Path(path).expanduser().exists()
    except OSError:
        return False
