"""Stores to and from other formats: what went out comes back, byte for byte."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from stores import SITES, Made, digests

from optprobe import files
from optprobe.activations import Store, exchange
from optprobe.files import InputError

MADE = Made.up()
ROWS = len(MADE.X)
LABELS = MADE.X[:, 0] > 0


@pytest.fixture
def store(tmp_path):
    """With shards of the default size, as an import makes them."""
    with exchange.Writer.open(tmp_path / "store", MADE.manifest) as writer:
        writer.append(40, MADE.rows(0, 40), MADE.values(0, 40))
        writer.finish()
    return Store.open(tmp_path / "store")


@pytest.mark.parametrize("bytes_a_piece", [16, 2**26])
@pytest.mark.parametrize("kind", ["NumPy", "torch", "bfloat16"])
def test_arrays_and_tensors(store, tmp_path, monkeypatch, kind, bytes_a_piece):
    values = MADE.values(0, 40)
    if kind == "torch":
        values = {site: torch.tensor(block) for site, block in values.items()}
    if kind == "bfloat16":
        values = {site: torch.tensor(block).bfloat16() for site, block in values.items()}
    monkeypatch.setattr(exchange, "SHARD_BYTES", bytes_a_piece)
    found = exchange.from_arrays(tmp_path / "back", MADE.manifest, values, MADE.rows(0, 40))
    assert found.finished
    if kind == "bfloat16":
        np.testing.assert_allclose(found.array()[:], MADE.X, rtol=2.0**-8)
    else:
        assert digests(tmp_path / "back") == digests(tmp_path / "store")


def test_npz(store, tmp_path):
    held = np.arange(ROWS) % 4 == 0
    exchange.to_npz(store, tmp_path / "all.npz", LABELS, test=held)
    exchange.from_npz(tmp_path / "all.npz", tmp_path / "back", MADE.manifest)
    assert digests(tmp_path / "back") == digests(tmp_path / "store")
    problem = files.read(tmp_path / "all.npz").problem(k=2, lam=0.1)
    assert problem.digest == store.problem(LABELS, test=held, k=2, lam=0.1).digest
    assert problem.data.names == tuple(store.names())


def test_some_rows_of_some_sites_as_npz(store, tmp_path):
    keep, site = np.arange(ROWS) % 3 == 1, "blocks.12.mlp.hook_post"
    exchange.to_npz(store, tmp_path / "some.npz", LABELS, sites=[site], keep=keep)
    found = files.read(tmp_path / "some.npz")
    np.testing.assert_array_equal(found.X, MADE.X[keep][:, 6:11])
    np.testing.assert_array_equal(found.y, LABELS[keep])
    with pytest.raises(ValueError, match=f"keep has shape .* the store has {ROWS} rows"):
        exchange.to_npz(store, tmp_path / "no.npz", LABELS, keep=keep[1:])
    assert not (tmp_path / "no.npz").exists()


def test_rows_that_nobody_described_are_texts(tmp_path):
    np.savez(tmp_path / "X.npz", X=MADE.X, y=LABELS)
    manifest = replace(MADE.manifest, texts=ROWS, aggregation="mean")
    found = exchange.from_npz(tmp_path / "X.npz", tmp_path / "back", manifest)
    np.testing.assert_array_equal(found.array()[:], MADE.X)
    assert found.rows.text.tolist() == [*range(ROWS)]
    assert set(found.rows.position.tolist()) == {-1}


def test_hugging_face_datasets(store, tmp_path):
    datasets = pytest.importorskip("datasets")
    found = exchange.to_dataset(store)
    assert isinstance(found, datasets.Dataset)
    assert found.column_names == ["text", "position", "token", "start", "stop", *SITES]
    np.testing.assert_array_equal(found[3]["blocks.12.mlp.hook_post"], MADE.X[3, 6:11])
    exchange.from_dataset(found, tmp_path / "back", MADE.manifest)
    assert digests(tmp_path / "back") == digests(tmp_path / "store")
    wide = replace(MADE.manifest, sites={**SITES, "blocks.1.mlp.hook_post": 7})
    with pytest.raises(InputError, match="does not hold lists of 7 numbers"):
        exchange.from_dataset(found, tmp_path / "wide", wide)
    other = replace(MADE.manifest, sites={"blocks.5.mlp.hook_post": 7})
    with pytest.raises(InputError, match=r"no column .blocks.5.mlp.hook_post.; there are text"):
        exchange.from_dataset(found, tmp_path / "other", other)


def test_bad_imports_are_refused(tmp_path):
    values, rows, folder = MADE.values(0, 40), MADE.rows(0, 40), tmp_path / "new"
    backwards = rows.take(np.arange(ROWS)[::-1])
    for given, message in (
        (({}, rows), "the manifest says blocks"),
        ((values, rows.take(slice(3))), f"has {ROWS} rows and there are facts of 3"),
        ((values, backwards), "texts 0 to 39, in order"),
        ((values, None), "texts 0 to 39, in order"),
    ):
        with pytest.raises(InputError, match=message):
            exchange.from_arrays(folder, MADE.manifest, *given)
    np.savez(tmp_path / "X.npz", X=MADE.X[:, 1:])
    with pytest.raises(InputError, match="no array 'X' of 14 columns"):
        exchange.from_npz(tmp_path / "X.npz", folder, MADE.manifest)
    assert not folder.exists()
