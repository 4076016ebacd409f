"""Made-up activations of made-up texts, and the stores that hold them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from optprobe.activations import Manifest, RowFacts, Writer

SITES = {"blocks.1.mlp.hook_post": 6, "blocks.12.mlp.hook_post": 5, "blocks.2.hook_resid_post": 3}


@dataclass(frozen=True)
class Made:
    """Texts of random lengths, some without a row, and one row of numbers per token."""

    manifest: Manifest
    lengths: np.ndarray
    X: np.ndarray

    @classmethod
    def up(cls, seed: int = 0, texts: int = 40, dtype: str = "float16", longest: int = 9) -> Made:
        """Made up from a seed."""
        rng = np.random.default_rng(seed)
        lengths = rng.integers(0, longest, texts)
        lengths[:2] = 0, 5
        X = rng.standard_normal((lengths.sum(), sum(SITES.values()))).astype(dtype)
        manifest = Manifest(
            "made up", None, "none", "0" * 64, texts, "token", dict(SITES), dtype=dtype
        )
        return cls(manifest, lengths, X)

    def rows(self, first: int, last: int) -> RowFacts:
        """The facts of the texts from the first up to the last, exclusive."""
        text = np.repeat(np.arange(first, last), self.lengths[first:last])
        starts = np.cumsum(self.lengths[first:last]) - self.lengths[first:last]
        position = np.arange(len(text)) - np.repeat(starts, self.lengths[first:last])
        token = (97 * text + 31 * position) % 50000
        return RowFacts(text, position, token, 4 * position, 4 * position + 3)

    def values(self, first: int, last: int) -> dict[str, np.ndarray]:
        """Their numbers, by site."""
        ends = np.cumsum([0, *self.lengths])
        block = self.X[ends[first] : ends[last]]
        columns = np.cumsum([0, *SITES.values()])
        return {site: block[:, columns[i] : columns[i + 1]] for i, site in enumerate(SITES)}

    def write(self, folder: Path, step: int = 3, stop: int | None = None, rows: int = 10) -> Path:
        """Go on writing, some texts at a time, to the end or up to a text."""
        last = self.manifest.texts if stop is None else stop
        with Writer.open(folder, self.manifest, shard_rows=rows) as writer:
            for first in range(writer.texts_done, last, step):
                after = min(first + step, last)
                writer.append(after - first, self.rows(first, after), self.values(first, after))
            if stop is None:
                writer.finish()
        return folder


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a folder."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
