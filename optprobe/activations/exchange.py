"""Stores to and from what other tools hold: .npz files, Hugging Face datasets, arrays and tensors.

Nothing is pickled: tensors come from memory (load a .pt file yourself, with weights_only=True, or
a .safetensors file), and arrays of Python objects are refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, Shaped

from optprobe.activations.manifest import Manifest
from optprobe.activations.rows import RowFacts
from optprobe.activations.store import Store
from optprobe.activations.writer import SHARD_BYTES, Writer
from optprobe.files import InputError
from optprobe.storage import require_package

if TYPE_CHECKING:
    import datasets

Array = np.ndarray

FACTS = ("text", "position", "token", "start", "stop")


def from_arrays(
    folder: str | Path,
    manifest: Manifest,
    values: Mapping[str, Any],
    rows: RowFacts | None = None,
) -> Store:
    """Write a store from one array or torch tensor per site, all of them with the same rows.

    Args:
        folder: of the store, new or left unfinished by the same call.
        manifest: what the activations are.
        values: site -> rows x width, a NumPy array (memory-mapped or not) or a torch tensor.
        rows: what the rows stand for; by default row i stands for text i as a whole.

    Raises:
        InputError, ValueError, OSError: as `Writer.open` and `Writer.append`.
    """
    if set(values) != set(manifest.sites):
        raise InputError(
            f"arrays for {', '.join(values)}; the manifest says {', '.join(manifest.sites)}"
        )
    if rows is None:
        rows = RowFacts.of_texts(0, np.zeros(len(next(iter(values.values()))), np.int64))
    text = rows.text
    if len(text) and ((np.diff(text) < 0).any() or text[0] < 0 or text[-1] >= manifest.texts):
        raise InputError(f"rows must be of the texts 0 to {manifest.texts - 1}, in order")
    for site, held in values.items():
        if len(held) != len(rows):
            raise InputError(f"{site} has {len(held)} rows and there are facts of {len(rows)}")
    with Writer.open(folder, manifest) as writer:
        pieces = 1 + len(rows) * manifest.row_bytes // SHARD_BYTES
        cuts = np.linspace(writer.texts_done, manifest.texts, pieces + 1).astype(int)
        for first, last in pairwise(cuts.tolist()):
            block = slice(*np.searchsorted(text, (first, last)))
            found = {site: _on_host(held[block]) for site, held in values.items()}
            writer.append(last - first, rows.take(block), found)
        writer.finish()
    return Store.open(folder)


def _on_host(block: Any) -> Float[Array, "rows width"]:
    if hasattr(block, "detach"):
        block = block.detach().float().cpu().numpy()
    return np.asarray(block)


def to_npz(
    store: Store,
    path: str | Path,
    y: Sequence[Any] | Shaped[Array, "rows"],
    *,
    sites: Sequence[str] | None = None,
    keep: Bool[Array, "rows"] | None = None,
    test: Bool[Array, "rows"] | None = None,
    groups: Shaped[Array, "rows"] | None = None,
) -> None:
    """An activation file for `optprobe solve`, with what the rows stand for beside X and y.

    X is held in memory while it is written.

    Args:
        store, sites, keep: what to export.
        path: of the .npz file.
        y, test, groups: one entry per row of the store.

    Raises:
        ValueError: y, keep, test or groups of another length than the store.
    """
    given = {"y": np.asarray(y), "keep": keep, "test": test, "groups": groups}
    arrays = {name: np.asarray(values) for name, values in given.items() if values is not None}
    for name, values in arrays.items():
        if values.shape != (len(store),):
            raise ValueError(f"{name} has shape {values.shape}; the store has {len(store)} rows")
    shown = np.flatnonzero(arrays.pop("keep", np.ones(len(store), bool)))
    arrays |= store.rows.arrays()
    saved: dict[str, Any] = {name: values[shown] for name, values in arrays.items()}
    X, names = store.array(sites, shown)[:], np.array(store.names(sites))
    np.savez(path, X=X, names=names, **saved)


def from_npz(path: str | Path, folder: str | Path, manifest: Manifest) -> Store:
    """A store from X of a .npz file; its columns are the manifest's sites, one after another.

    Where the file has the arrays text, position, token, start and stop (`to_npz` writes them) they
    say what the rows stand for; otherwise row i stands for text i as a whole.

    Raises:
        InputError: no X of the manifest's width in the file, or as `from_arrays`.
    """
    with np.load(path, allow_pickle=False) as held:
        if "X" not in held or held["X"].ndim != 2 or held["X"].shape[1] != manifest.width:
            raise InputError(f"{path} has no array 'X' of {manifest.width} columns")
        X = held["X"]
        rows = RowFacts(**{name: held[name] for name in FACTS}) if set(FACTS) <= {*held} else None
    ends = np.cumsum([0, *manifest.sites.values()])
    values = {site: X[:, ends[i] : ends[i + 1]] for i, site in enumerate(manifest.sites)}
    return from_arrays(folder, manifest, values, rows)


def to_dataset(store: Store, sites: Sequence[str] | None = None) -> datasets.Dataset:
    """A Hugging Face dataset in memory: what each row stands for, and a list of numbers per site.

    Raises:
        ValueError: the package datasets is not installed.
        InputError: a site that is not in the store.
    """
    require_package("datasets", "a Hugging Face dataset", "lens")
    import datasets
    import pyarrow as pa

    columns: dict[str, Any] = store.rows.arrays()
    for site in store.manifest.sites if sites is None else sites:
        block = store.array([site])[:]
        columns[site] = pa.FixedSizeListArray.from_arrays(block.reshape(-1), block.shape[1])
    return datasets.Dataset(pa.table(columns))


def from_dataset(dataset: datasets.Dataset, folder: str | Path, manifest: Manifest) -> Store:
    """A store from a dataset with a column per site of the manifest, a list of numbers each.

    The columns text, position, token, start and stop, if all are there, say what the rows stand
    for; otherwise row i stands for text i as a whole.

    Raises:
        InputError: a site without a column, lists of another length, or as `from_arrays`.
    """
    table: Any = dataset.with_format("arrow")[:]
    for site in manifest.sites:
        if site not in table.column_names:
            raise InputError(f"no column {site!r}; there are {', '.join(table.column_names)}")
    values: dict[str, Array] = {}
    for site, width in manifest.sites.items():
        column = table.column(site).combine_chunks()
        flat = column.flatten().to_numpy(zero_copy_only=False)
        if flat.size != width * len(column):
            raise InputError(f"column {site!r} does not hold lists of {width} numbers")
        values[site] = flat.reshape(-1, width)
    found = set(FACTS) <= set(table.column_names)
    facts = {name: table.column(name).to_numpy() for name in FACTS} if found else None
    return from_arrays(folder, manifest, values, None if facts is None else RowFacts(**facts))
