"""Reading a store: as the array it was written from, in place, and never from damaged files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from stores import SITES, Made
from typer.testing import CliRunner

from optprobe import observations
from optprobe.activations import Manifest, RowFacts, Store, Writer
from optprobe.cli import app
from optprobe.files import InputError
from optprobe.heuristics.rankings import mean_difference
from optprobe.matrix import DenseMatrix, RowSource, StreamedMatrix, standardise
from optprobe.matrix.device import DeviceMatrix
from optprobe.neurons import rank_neurons
from optprobe.prefilter import best_columns
from optprobe.problem import Problem
from optprobe.solver import solve

MADE = Made.up()
ROWS, COLUMNS = MADE.X.shape
FIRST, SECOND, THIRD = SITES
LABELS = MADE.X[:, 0] + MADE.X[:, 7] > 0.3
HELD = MADE.rows(0, 40).text % 4 == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return MADE.write(tmp_path_factory.mktemp("made") / "store")


@pytest.fixture(scope="module")
def store(folder):
    return Store.open(folder, "digests")


def numbers(size: int) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(-size, size - 1), max_size=2 * size)


def slices(size: int) -> st.SearchStrategy[slice]:
    end = st.none() | st.integers(-size - 2, size + 2)
    return st.builds(slice, end, end, st.none() | st.sampled_from([1, 2, 3, -1, -5]))


def keys(size: int) -> st.SearchStrategy:
    masks = st.lists(st.booleans(), min_size=size, max_size=size).map(np.array)
    return slices(size) | numbers(size).map(lambda part: np.array(part, int)) | masks


SHOWN = np.flatnonzero(np.arange(ROWS) % 3)


@pytest.mark.parametrize("rows", [None, SHOWN], ids=["all rows", "some rows"])
@given(st.data())
def test_an_array_is_indexed_as_numpy_indexes(store, rows, data):
    found = store.array(rows=rows)
    expected = MADE.X if rows is None else MADE.X[rows]
    assert found.shape == expected.shape
    assert found.size == expected.size
    assert len(found) == len(expected)
    assert found.ndim == 2
    row, column = data.draw(keys(len(expected))), data.draw(keys(COLUMNS))
    block = found[row]
    assert block.dtype == np.float16
    np.testing.assert_array_equal(block, expected[row])
    if isinstance(row, slice) or isinstance(column, slice):
        np.testing.assert_array_equal(found[row, column], expected[row, column])
        return
    np.testing.assert_array_equal(found[np.ix_(row, column)], expected[np.ix_(row, column)])
    if row.dtype != bool and column.dtype != bool and len(column) and len(row):
        pairs = row, np.resize(column, len(row))
        np.testing.assert_array_equal(found[pairs], expected[pairs])
        pairs = row[:, None], column
        np.testing.assert_array_equal(found[pairs], expected[pairs])


@pytest.mark.parametrize(
    "key", [ROWS, 3, np.array([ROWS]), np.array([-ROWS - 1]), np.ones(ROWS + 1, bool), 0.5, "a"]
)
def test_indices_out_of_range_are_refused(store, key):
    with pytest.raises(IndexError):
        store.array()[key]


def test_a_store_as_an_array(store):
    np.testing.assert_array_equal(np.asarray(store.array()), MADE.X)
    with pytest.raises(ValueError, match="not in memory"):
        np.array(store.array(), copy=False)


def test_sites_stand_in_the_order_asked_for(store):
    np.testing.assert_array_equal(
        store.array([THIRD, FIRST])[:], MADE.X[:, [11, 12, 13, 0, 1, 2, 3, 4, 5]]
    )
    assert store.names([THIRD, FIRST])[2:5] == [f"{THIRD}:2", "L01N0", "L01N1"]
    assert store.names()[6:8] == ["L12N0", "L12N1"]
    assert len(store.names()) == COLUMNS
    for ask in (store.names, store.array, lambda sites: store.problem(LABELS, k=1, sites=sites)):
        with pytest.raises(InputError, match=f"has no site 'blocks.9'; it has {FIRST}"):
            ask(["blocks.9"])


def test_rows_come_back(store):
    expected = MADE.rows(0, 40)
    for name, values in expected.arrays().items():
        np.testing.assert_array_equal(getattr(store.rows, name), values)
        assert getattr(store.rows, name).dtype == values.dtype


def test_joined_layers_are_not_copied(tmp_path):
    width, texts, tokens = 512, 20, 500
    sites = {f"blocks.{layer}.mlp.hook_post": width for layer in range(4)}
    manifest = Manifest("m", None, "t", "0" * 64, texts, "token", sites)
    block = np.random.default_rng(0).standard_normal((tokens, width)).astype(np.float16)
    with Writer.open(tmp_path / "store", manifest, shard_rows=1000) as writer:
        for text in range(texts):
            facts = [np.full(tokens, text), np.arange(tokens), *(np.zeros(tokens, int),) * 3]
            writer.append(1, RowFacts(*facts), {site: block + text for site in sites})
        writer.finish()
    total = 2 * texts * tokens * 4 * width
    tracemalloc.start()
    try:
        store = Store.open(tmp_path / "store")
        joined = store.array()
        assert joined.shape == (texts * tokens, 4 * width)
        some = joined[np.array([0, 999, 9999])][:, 1500]
        view = store.array(list(sites)[1:2])[2000:3000]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(some, [block[0, 476], block[499, 476] + 1, block[499, 476] + 19])
    assert not view.flags.owndata
    assert not view.flags.writeable
    assert peak < total / 50


def ours(store: Store, **changes) -> Problem:
    return store.problem(LABELS, test=HELD, groups=store.rows.text, k=2, lam=0.05, **changes)


@pytest.mark.parametrize("stream", [False, True], ids=["dense", "streamed"])
def test_a_problem_on_a_store_is_the_problem_on_its_array(store, monkeypatch, stream):
    if stream:  # as with a large store
        monkeypatch.setattr(observations, "STREAM_BYTES", 16)
        monkeypatch.setattr(standardise, "LARGE_HALF", 16)
        monkeypatch.setattr(standardise, "MOMENT_ROWS", 7)
        monkeypatch.setattr(standardise, "MOMENT_BYTES", 1)
        monkeypatch.setattr(standardise, "MOMENT_BLOCKS", 3)
    found = ours(store)
    expected = Problem.of(
        MADE.X, LABELS, test=HELD, groups=store.rows.text, k=2, lam=0.05, names=store.names()
    )
    assert isinstance(found.matrix, StreamedMatrix if stream else DenseMatrix)
    assert found.digest == expected.digest
    np.testing.assert_array_equal(found.data.by.mean, expected.data.by.mean)
    np.testing.assert_array_equal(found.data.covariance, expected.data.covariance)
    columns, rows = np.array([0, 7, 13]), np.array([1, 0, 40])
    np.testing.assert_array_equal(
        found.data.columns(columns, rows), expected.data.columns(columns, rows)
    )
    monkeypatch.setattr(RowSource, "__array__", None)  # nobody asks for all of it at once
    one, other = solve(found), solve(expected)
    assert one.support.tolist() == other.support.tolist()
    assert one.verified is not None
    assert one.verified.gap == pytest.approx(other.verified.gap)
    np.testing.assert_allclose(one.objective, other.objective, rtol=1e-12)


def test_every_neuron_of_a_store(store):
    found, expected = (
        rank_neurons(ours(store)),
        rank_neurons(Problem.of(MADE.X, LABELS, test=HELD, k=1, lam=0.05, names=store.names())),
    )
    np.testing.assert_allclose(found.f1_threshold, expected.f1_threshold, rtol=1e-12)


def test_rows_are_kept_by_mask(store):
    keep = np.arange(ROWS) % 3 > 0
    found = ours(store, keep=keep, sites=[SECOND, FIRST])
    columns = [6, 7, 8, 9, 10, 0, 1, 2, 3, 4, 5]
    expected = Problem.of(MADE.X[keep][:, columns], LABELS[keep], test=HELD[keep], k=2, lam=0.05)
    assert found.digest == expected.digest
    assert found.data.groups.tolist() == store.rows.text[keep].tolist()


def test_columns_are_ranked_in_the_pass_that_scales_them(store, monkeypatch):
    monkeypatch.setattr(observations, "STREAM_BYTES", 16)
    found, reads = ours(store), []
    read = type(found.data.X).__getitem__
    monkeypatch.setattr(
        type(found.data.X), "__getitem__", lambda X, key: reads.append(key) or read(X, key)
    )
    kept = best_columns(found, 5)
    assert not reads
    y, X = np.where(LABELS, 1.0, -1.0)[~HELD], MADE.X[~HELD].astype(float)
    means = X[y > 0].mean(axis=0) - X[y < 0].mean(axis=0)
    expected = np.abs(means) / X.std(axis=0)
    np.testing.assert_allclose(mean_difference(found), expected, rtol=1e-9)
    assert kept.tolist() == sorted(np.argsort(-expected)[:5].tolist())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y": LABELS[:-1]}, f"y has shape .{ROWS - 1},. but .* has {ROWS} rows"),
        ({"keep": np.ones(3, bool)}, "keep has shape"),
        ({"test": HELD[:3]}, "test has shape"),
        ({"groups": HELD[:3]}, "groups has shape"),
        ({"keep": np.zeros(ROWS, bool)}, "keep leaves no row"),
        ({"keep": LABELS}, "1 distinct label"),
        ({"keep": np.ones(ROWS, int)}, "keep must be True or False"),
    ],
)
def test_bad_problems_are_refused(store, changes, message):
    with pytest.raises(ValueError, match=message):
        store.problem(**{"y": LABELS, "k": 1} | changes)


def test_a_tensor_of_the_store(store):
    found = store.tensor("cpu", [SECOND])
    assert found.dtype == torch.float16
    np.testing.assert_array_equal(found.numpy(), MADE.X[:, 6:11])


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
def test_a_device_that_is_not_there_is_refused(store):
    with pytest.raises(ValueError, match=r"cuda cannot take the 0\.0 GB.*which streams"):
        ours(store, device="cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_problem_on_the_device(store):
    found = ours(store, device="cuda")
    assert isinstance(found.matrix, DeviceMatrix)
    assert best_columns(found, 5).tolist() == best_columns(ours(store), 5).tolist()


def broken(folder, tmp_path):
    """A copy that may be damaged."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    return copy, sorted(copy.glob("*.safetensors"))[1]


def test_a_shard_that_is_truncated_after_it_was_opened_is_named(folder, tmp_path):
    copy, shard = broken(folder, tmp_path)
    X = Store.open(copy).array()
    assert len(list(X.pieces(slice(0, ROWS)))) == len(SITES) * len(list(copy.glob("*.safetensors")))
    os.truncate(shard, 500)
    with pytest.raises(InputError, match=f"{shard.name} is truncated; copy it again"):
        list(X.pieces(slice(0, ROWS)))


def test_a_missing_or_truncated_shard_is_named(folder, tmp_path):
    copy, shard = broken(folder, tmp_path)
    content = shard.read_bytes()
    for changed, word in ((content[:-1], "truncated"), (content + b"0", "altered")):
        shard.write_bytes(changed)
        for opened in (Store.open, lambda path: Writer.open(path, MADE.manifest, shard_rows=10)):
            with pytest.raises(InputError, match=f"{shard.name} is {word}"):
                opened(copy)
    shard.unlink()
    with pytest.raises(InputError, match=f"{shard.name} is missing"):
        Store.open(copy)


def test_any_altered_byte_is_found_by_the_digests(folder, tmp_path):
    copy, shard = broken(folder, tmp_path)
    content = bytearray(shard.read_bytes())
    for place in (8, len(content) // 2, len(content) - 1):
        content[place] ^= 1
        shard.write_bytes(content)
        with pytest.raises(InputError, match=f"{shard.name} is altered"):
            Store.open(copy, "digests")
        content[place] ^= 1


def test_a_damaged_header_is_found_without_reading_the_numbers(folder, tmp_path):
    copy, shard = broken(folder, tmp_path)
    content = shard.read_bytes()
    for old, new in (
        (b'"F16"', b'"F32"'),
        (b"blocks.1.", b"blocks.7."),
        (b'"shape":[', b'"shape":{'),
        (content[:8], b"\xff" * 8),
    ):
        assert old in content
        shard.write_bytes(content.replace(old, new, 1))
        with pytest.raises(InputError, match=f"{shard.name} is altered"):
            Store.open(copy)


def test_damaged_lists_are_refused(folder, tmp_path):
    copy, _ = broken(folder, tmp_path)
    held = json.loads((copy / "shards.json").read_text())
    swapped = {**held, "shards": held["shards"][::-1]}
    odd = {**held, "shards": [{**held["shards"][0], "rows": "ten"}]}
    for changed in ("", "[]", "{}", json.dumps(swapped), json.dumps(odd)):
        (copy / "shards.json").write_text(changed)
        with pytest.raises(InputError, match=r"shards\.json"):
            Store.open(copy)
    (copy / "manifest.json").write_text("{}")
    with pytest.raises(InputError, match=r"manifest\.json: format version None"):
        Store.open(copy)
    with pytest.raises(InputError, match="is no store of activations"):
        Store.open(tmp_path)
    with pytest.raises(InputError, match="choose sizes or digests"):
        Store.open(folder, "all")  # type: ignore[arg-type]


def test_a_reader_sees_what_was_complete_when_it_opened(tmp_path):
    folder = MADE.write(tmp_path / "store", stop=20)
    early = Store.open(folder)
    assert not early.finished
    assert 0 < early.texts <= 20
    seen = early.array()[:]
    MADE.write(folder)
    np.testing.assert_array_equal(early.array()[:], seen)
    np.testing.assert_array_equal(Store.open(folder).array()[: len(early)], seen)


READER = """
import sys
from optprobe.activations import Store
total = sum(float(Store.open(sys.argv[1], "digests").array()[:].astype(float).sum()) for _ in "ab")
print(total)
"""


def test_processes_read_side_by_side(folder):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", READER, str(folder)], stdout=subprocess.PIPE, env=environment
        )
        for _ in range(3)
    ]
    answers = [float(reader.communicate()[0]) for reader in readers]
    np.testing.assert_allclose(answers, 2 * MADE.X.astype(float).sum(), rtol=1e-12)


def test_texts_without_rows_make_an_empty_store(tmp_path):
    made = replace(MADE, lengths=np.zeros(40, int), X=MADE.X[:0])
    store = Store.open(made.write(tmp_path / "store"))
    assert store.finished
    assert len(store) == len(store.rows) == 0
    assert store.array()[:].shape == (0, COLUMNS)


def test_the_command_says_what_a_store_holds(folder, tmp_path):
    found = CliRunner().invoke(app, ["store", str(folder), "--digests"])
    assert found.exit_code == 0, found.output
    assert f"{ROWS} rows of 40 of 40 texts (finished)" in found.stdout
    assert "blocks.12.mlp.hook_post: 5 columns" in found.stdout
    copy, shard = broken(folder, tmp_path)
    shard.write_bytes(shard.read_bytes()[:-1])
    found = CliRunner().invoke(app, ["store", str(copy)])
    assert found.exit_code == 2
    assert f"{shard.name} is truncated" in found.stderr
