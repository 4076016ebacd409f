"""From the values of a batch to the rows that are stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from optprobe.activations.manifest import Aggregation, Dtype

if TYPE_CHECKING:
    import torch


def reducer(
    kept: torch.Tensor, aggregation: Aggregation, dtype: Dtype
) -> Callable[[str, torch.Tensor], torch.Tensor]:
    """What is kept of a site's values [batch, position, width], as rows x width on the CPU.

    "token" keeps a row per token that counts, text after text; "mean", "max" and "last" give a row
    per text: the mean of its tokens that count (in float32), the largest value of each column, or
    the last token. Texts without such a token have no row.

    Args:
        kept: bool [batch, position], the tokens that count.
        aggregation: one of the four.
        dtype: of the store.

    Returns:
        The function; it raises ValueError, naming the site, where a number does not fit dtype.
    """
    import torch

    target = getattr(torch, dtype)
    some = kept.any(1)
    tokens = kept.flatten().nonzero().squeeze(1)
    counts = kept.sum(1)[some].unsqueeze(1)
    last = kept.shape[1] - 1 - kept.flip(1).to(torch.int8).argmax(1)

    def rows(values: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        if aggregation == "token":
            return values.flatten(0, 1).index_select(0, tokens.to(values.device))
        if aggregation == "last":
            texts = some.to(values.device).nonzero().squeeze(1)
            return values[texts, last.to(values.device)[texts]]
        values, kept = values[some], kept[some].unsqueeze(2)
        if aggregation == "max":
            return values.masked_fill(~kept, -torch.inf).amax(1)
        return values.float().masked_fill(~kept, 0.0).sum(1) / counts.to(values.device)

    def reduce(site: str, values: torch.Tensor) -> torch.Tensor:
        whole = rows(values, kept.to(values.device))
        rounded = whole.to(target)
        if not _finite(rounded):
            if _finite(whole):
                raise ValueError(
                    f"{site} has values up to {float(whole.abs().max()):.6g} and {dtype} ends at "
                    f"{torch.finfo(target).max:.6g}; store float32"
                )
            raise ValueError(
                f"{site}: the model gives numbers that are not finite; run it in float32"
            )
        return rounded.cpu()

    return reduce


def _finite(rows: torch.Tensor) -> bool:
    """Whether every number is; from the two ends, which is many times faster than one by one."""
    import torch

    return not rows.numel() or all(bool(torch.isfinite(end)) for end in torch.aminmax(rows))
