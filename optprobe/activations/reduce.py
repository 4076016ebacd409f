"""From the values of a batch to the rows that are stored, put where they belong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Int64, Shaped

from optprobe.activations.manifest import Aggregation

if TYPE_CHECKING:
    import torch

Array = np.ndarray


class Reducer:
    """Takes the rows of a batch from a site's values [batch, position, width].

    "token" takes a row per token that counts, text after text; "mean", "max" and "last" a row per
    text: the mean of its tokens that count (in float32), the largest value of each column, or the
    last token. Texts without such a token have no row.

    Args:
        kept: the tokens that count.
        aggregation: one of the four.
        places: of the rows in `out`.
        out: site -> rows of the store's dtype; each site's are filled in when it is called.
    """

    def __init__(
        self,
        kept: Bool[Array, "batch position"],
        aggregation: Aggregation,
        places: Int64[Array, "rows"],
        out: Mapping[str, Shaped[Array, "_ width"]],
    ) -> None:
        import torch

        self._aggregation = aggregation
        self._out = {site: torch.from_numpy(rows) for site, rows in out.items()}
        self._places = torch.from_numpy(places)
        self._kept = torch.from_numpy(kept)
        self._some = self._kept.any(1)
        self._tokens = self._kept.flatten().nonzero().squeeze(1)
        self._counts = self._kept.sum(1)[self._some].unsqueeze(1)
        self._last = kept.shape[1] - 1 - self._kept.flip(1).to(torch.int8).argmax(1)
        self._runs = _runs(np.flatnonzero(kept), places) if aggregation == "token" else []

    def __call__(self, site: str, values: torch.Tensor) -> torch.Tensor:
        """Put the rows of a site in their place; returns what they are put into.

        Raises:
            ValueError: a number that is not finite, or does not fit the store's dtype.
        """
        out = self._out[site]
        if self._aggregation == "token" and values.device.type == "cpu":
            flat = values.flatten(0, 1)
            for source, target, count in self._runs:  # each number is moved once
                rows, given = out[target : target + count], flat[source : source + count]
                _check(site, given, rows.copy_(given))
        else:
            given = self._reduced(values)
            rounded = given.to(out.dtype)
            _check(site, given, rounded)
            out[self._places] = rounded.cpu()
        return out

    def _reduced(self, values: torch.Tensor) -> torch.Tensor:
        """Rows x width, on the values' device and in their type."""
        import torch

        device = values.device
        if self._aggregation == "token":
            return values.flatten(0, 1).index_select(0, self._tokens.to(device))
        some, kept = self._some.to(device), self._kept.to(device)
        if self._aggregation == "last":
            texts = some.nonzero().squeeze(1)
            return values[texts, self._last.to(device)[texts]]
        values, kept = values[some], kept[some].unsqueeze(2)
        if self._aggregation == "max":
            return values.masked_fill(~kept, -torch.inf).amax(1)
        return values.float().masked_fill(~kept, 0.0).sum(1) / self._counts.to(device)


def _runs(source: Int64[Array, "rows"], target: Int64[Array, "rows"]) -> list[tuple[int, int, int]]:
    """First in the one, first in the other, and length, of rows that lie together in both."""
    if not len(source):
        return []
    breaks = np.flatnonzero((np.diff(source) != 1) | (np.diff(target) != 1)) + 1
    first = np.concatenate([np.zeros(1, np.int64), breaks])
    count = np.diff(np.append(first, len(source)))
    return list(zip(source[first].tolist(), target[first].tolist(), count.tolist(), strict=True))


def _check(site: str, given: torch.Tensor, rounded: torch.Tensor) -> None:
    """Refuse what is not finite, in the model's type or in the store's."""
    import torch

    if _finite(rounded):
        return
    if _finite(given):
        name = str(rounded.dtype).removeprefix("torch.")
        raise ValueError(
            f"{site} has values up to {float(given.abs().max()):.6g} and {name} ends at "
            f"{torch.finfo(rounded.dtype).max:.6g}; store float32"
        )
    raise ValueError(f"{site}: the model gives numbers that are not finite; run it in float32")


def _finite(rows: torch.Tensor) -> bool:
    """Whether every number is; from the two ends, which is many times faster than one by one."""
    import torch

    return not rows.numel() or all(bool(torch.isfinite(end)) for end in torch.aminmax(rows))
