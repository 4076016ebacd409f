"""A folder of activations, read in place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Bool, Int, Shaped

from optprobe.activations.array import StoredArray
from optprobe.activations.manifest import Manifest
from optprobe.activations.rows import RowFacts
from optprobe.activations.shards import Shards, Tensors, check, read_manifest
from optprobe.files import InputError
from optprobe.matrix.standardise import row_slices
from optprobe.problem import Problem

if TYPE_CHECKING:
    import torch

Array = np.ndarray

NEURONS = re.compile(r"blocks\.(\d+)\.mlp\.hook_post")
"""Sites whose columns have short names: L12N77 is neuron 77 of layer 12."""


class Store:
    """The activations that were complete when the folder was opened; make it with `Store.open`.

    Any number of processes may read, also while one writes.

    Attributes:
        path: of the folder.
        manifest: what it holds.
        finished: every text of the source is stored.
        texts: how many are.
    """

    def __init__(self, path: Path, manifest: Manifest, done: Shards) -> None:
        self.path, self.manifest, self.finished, self.texts = (
            path,
            manifest,
            done.finished,
            done.texts,
        )
        self._entries = done.shards
        self._tensors = [Tensors(path, shard, manifest) for shard in done.shards]

    @classmethod
    def open(cls, path: str | Path, verify: Literal["sizes", "digests"] = "sizes") -> Store:
        """Open a store and check it.

        Args:
            path: of the folder.
            verify: "sizes" compares the size and the header of each shard with what was written;
                "digests" reads every byte.

        Raises:
            InputError: no store, another version, or a shard that is missing, truncated or
                altered (named).
        """
        folder = Path(path)
        if verify not in ("sizes", "digests"):
            raise InputError(f"verify={verify!r}; choose sizes or digests")
        manifest = read_manifest(folder)
        done = Shards.read(folder)
        for shard in done.shards:
            check(folder, shard, digest=verify == "digests")
        return cls(folder, manifest, done)

    def __len__(self) -> int:
        return sum(shard.rows for shard in self._entries)

    @cached_property
    def rows(self) -> RowFacts:
        """What each row stands for, in memory."""
        return RowFacts.concatenate(
            [
                tensors.facts(shard.first_text)
                for tensors, shard in zip(self._tensors, self._entries, strict=True)
            ]
        )

    def names(self, sites: Sequence[str] | None = None) -> list[str]:
        """One per column: L12N77 for neurons, else the site, a colon and the number.

        Raises:
            InputError: a site that is not in the store.
        """
        found: list[str] = []
        for site, width in self._sites(sites).items():
            neurons = NEURONS.fullmatch(site)
            prefix = f"L{int(neurons[1]):02d}N" if neurons else f"{site}:"
            found += [f"{prefix}{j}" for j in range(width)]
        return found

    def array(
        self, sites: Sequence[str] | None = None, rows: Int[Array, "r"] | None = None
    ) -> StoredArray:
        """Rows x the columns of some sites, beside each other and not copied.

        Args:
            sites: in the order of the columns; by default all.
            rows: by number; by default all.

        Raises:
            InputError: a site that is not in the store.
        """
        lengths = [shard.rows for shard in self._entries]
        dtype = np.dtype(self.manifest.dtype)
        return StoredArray(self._tensors, lengths, self._sites(sites), dtype, rows)

    def tensor(
        self,
        device: str | torch.device,
        sites: Sequence[str] | None = None,
        rows: Int[Array, "r"] | None = None,
    ) -> torch.Tensor:
        """The same as a tensor that lives on a device; as X of a problem it is searched there.

        Raises:
            InputError: a site that is not in the store.
            ValueError: no such device, or too little memory on it.
        """
        import torch

        source = self.array(sites, rows)
        dtype = getattr(torch, self.manifest.dtype)
        try:
            out = torch.empty(source.shape, dtype=dtype, device=device)
        except (RuntimeError, AssertionError) as error:
            size = source.size * source.dtype.itemsize / 1e9
            raise ValueError(
                f"{device} cannot take the {size:.1f} GB of {self.path} ({error}); pass fewer "
                "sites or rows, or use Store.array, which streams"
            ) from error
        for part in row_slices(*source.shape):
            out[part] = torch.from_numpy(np.array(source[part]))
        return out

    def problem(
        self,
        y: Sequence[Any] | Shaped[Array, "rows"],
        *,
        k: int,
        lam: float = 0.1,
        loss: str = "logistic",
        sites: Sequence[str] | None = None,
        keep: Bool[Array, "rows"] | None = None,
        test: Bool[Array, "rows"] | None = None,
        groups: Shaped[Array, "rows"] | None = None,
        device: str | torch.device | None = None,
    ) -> Problem:
        """A k-sparse probe on the store; nothing is copied.

        Args:
            y, k, lam, loss: see `Problem.of`; y has one entry per row of the store.
            sites: whose columns, by default all.
            keep: True on the rows to use.
            test, groups: one entry per row of the store, as for `Problem.of`.
            device: hold the activations there, see `tensor`.

        Raises:
            ValueError, TypeError: as `Problem.of`; y, keep, test or groups of another length than
                the store; nothing kept.
        """
        given = {"y": y, "keep": keep, "test": test, "groups": groups}
        arrays = {name: np.asarray(values) for name, values in given.items() if values is not None}
        for name, values in arrays.items():
            if values.shape != (len(self),):
                raise ValueError(
                    f"{name} has shape {values.shape} but {self.path} has {len(self)} rows; pass "
                    "one entry a row"
                )
        rows = None
        if keep is not None:
            mask = arrays.pop("keep")
            if mask.dtype != bool:
                raise ValueError(f"keep must be True or False for every row, not {mask.dtype}")
            rows = np.flatnonzero(mask)
            if not len(rows):
                raise ValueError("keep leaves no row; a probe needs rows of both classes")
            arrays = {name: values[rows] for name, values in arrays.items()}
        X = self.array(sites, rows) if device is None else self.tensor(device, sites, rows)
        return Problem.of(
            X,
            arrays["y"],
            k=k,
            lam=lam,
            loss=loss,
            names=self.names(sites),
            test=arrays.get("test"),
            groups=arrays.get("groups"),
        )

    def _sites(self, sites: Sequence[str] | None) -> dict[str, int]:
        held = self.manifest.sites
        for site in sites or ():
            if site not in held:
                raise InputError(f"{self.path} has no site {site!r}; it has {', '.join(held)}")
        return dict(held) if sites is None else {site: held[site] for site in sites}
