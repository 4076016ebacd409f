"""Writing a store: the folder is the same whatever happened on the way, and never invalid."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stores import SITES, Made, digests

from optprobe import storage
from optprobe.activations import Manifest, RowFacts, Store, Writer, text_digest
from optprobe.files import InputError

MADE = Made.up()

KILLED = """
import os, random, signal, sys, time
from pathlib import Path
from stores import Made, digests

made, draw = Made.up(texts=300), random.Random(0)
base = Path(sys.argv[1])
expected = digests(made.write(base / "whole", step=7))
killed = stores = 0
while killed < 20:
    folder = base / str(stores)
    stores += 1
    while True:
        child = os.fork()
        if not child:
            made.write(folder, step=draw.choice((1, 2, 5)))
            os._exit(0)
        time.sleep(draw.uniform(0.0, 0.05))
        os.kill(child, signal.SIGKILL)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
            break
        killed += 1
        if killed >= 20:
            made.write(folder)
            break
    assert digests(folder) == expected, folder
print(killed, stores)
"""


def test_killed_at_twenty_moments_the_store_is_the_same_byte_for_byte(tmp_path):
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), str(here.parent)])
    found = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert int(found.stdout.split()[0]) == 20


@settings(max_examples=15)
@given(st.integers(1, 25), st.lists(st.tuples(st.integers(0, 40), st.integers(1, 41)), max_size=4))
def test_shards_do_not_depend_on_how_texts_come(tmp_path_factory, rows, runs):
    folder = tmp_path_factory.mktemp("store")
    for stop, step in runs:
        MADE.write(folder / "pieces", step=step, stop=stop, rows=rows)
    pieces = digests(MADE.write(folder / "pieces", step=11, rows=rows))
    assert pieces == digests(MADE.write(folder / "whole", step=40, rows=rows))


def test_shards_end_with_a_text_at_the_row_count(tmp_path):
    store = Store.open(MADE.write(tmp_path / "store", rows=10))
    listed = json.loads((tmp_path / "store" / "shards.json").read_text())["shards"]
    ends = np.cumsum(MADE.lengths)
    for shard in listed[:-1]:
        last = shard["first_text"] + shard["texts"] - 1
        before = ends[shard["first_text"]] - MADE.lengths[shard["first_text"]]
        assert ends[last] - before == shard["rows"] >= 10
        assert ends[last - 1] - before < 10
    assert sum(shard["rows"] for shard in listed) == len(store) == len(MADE.X)
    assert sum(shard["texts"] for shard in listed) == store.texts == 40


def test_half_precision_costs_two_bytes_a_number_and_less_than_a_hundredth_more(tmp_path):
    rng = np.random.default_rng(0)
    texts, tokens, width = 60, 300, 576
    manifest = Manifest("m", None, "t", "0" * 64, texts, "token", {"site": width})
    with Writer.open(tmp_path / "store", manifest) as writer:
        for text in range(texts):
            position = np.arange(tokens)
            token = rng.integers(0, 49152, tokens)
            rows = RowFacts(np.full(tokens, text), position, token, 5 * position, 5 * position + 4)
            writer.append(1, rows, {"site": rng.standard_normal((tokens, width))})
        writer.finish()
    held = sum(path.stat().st_size for path in (tmp_path / "store").iterdir())
    assert 2 * texts * tokens * width < held < 1.01 * 2 * texts * tokens * width


@pytest.mark.parametrize("target", ["shard", "shards.json"])
def test_a_full_disk_leaves_a_valid_store(tmp_path, monkeypatch, target):
    folder = MADE.write(tmp_path / "store", stop=20)
    before = Store.open(folder, "digests")

    def full(descriptor: int) -> None:
        if target in Path(f"/proc/self/fd/{descriptor}").readlink().name:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(storage.os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device.*stored and valid: make room"):
        MADE.write(folder)
    monkeypatch.undo()
    assert not list(folder.glob("*.partial"))
    after = Store.open(folder, "digests")
    assert len(after) == len(before)
    assert not after.finished
    assert digests(MADE.write(folder)) == digests(MADE.write(tmp_path / "whole"))


def test_a_file_that_is_given_up_leaves_nothing_behind(tmp_path):
    def parts():
        yield b"half of it"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        storage.write_durably(tmp_path / "shard", parts())
    assert not list(tmp_path.iterdir())


def test_a_folder_with_another_manifest_is_refused(tmp_path):
    folder = MADE.write(tmp_path / "store", stop=20)
    for name, value in {
        "model": "another",
        "revision": "main",
        "text_digest": "1" * 64,
        "texts": 41,
        "aggregation": "mean",
        "sites": {**SITES, "blocks.3.mlp.hook_post": 6},
        "dtype": "float32",
        "max_tokens": 8,
        "skip_first": 1,
    }.items():
        with pytest.raises(InputError, match=f"another {name}.*pass another folder"):
            Writer.open(folder, replace(MADE.manifest, **{name: value}))
    turned = dict(reversed(SITES.items()))
    with pytest.raises(InputError, match="another sites"):
        Writer.open(folder, replace(MADE.manifest, sites=turned))
    with pytest.raises(InputError, match="shards of 10 rows, not 11; pass shard_rows=10"):
        Writer.open(folder, MADE.manifest, shard_rows=11)


def test_other_folders_are_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty and holds no store"):
        Writer.open(tmp_path, MADE.manifest)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_one_writer_at_a_time(tmp_path):
    with (
        Writer.open(tmp_path / "store", MADE.manifest),
        pytest.raises(InputError, match="another process is writing"),
    ):
        Writer.open(tmp_path / "store", MADE.manifest)
    with Writer.open(tmp_path / "store", MADE.manifest) as writer:
        assert writer.texts_done == 0
        assert not writer.finished


def _append(writer: Writer, **changes: object) -> None:
    given = {"texts": 3, "rows": MADE.rows(0, 3), "values": MADE.values(0, 3)} | changes
    writer.append(**given)  # type: ignore[arg-type]


def _with(site: str, values: np.ndarray) -> dict[str, np.ndarray]:
    return {**MADE.values(0, 3), site: values}


HUGE = np.full((MADE.lengths[:3].sum(), 6), 1e5)

BAD = {
    "too many texts": ({"texts": 41}, "texts 0 to 40 of 40"),
    "rows of other texts": ({"rows": MADE.rows(1, 4)}, "rows must be of the texts 0 to 2"),
    "a site is missing": ({"values": {}}, "values of the sites"),
    "another width": (
        {"values": _with("blocks.1.mlp.hook_post", HUGE[:, :5])},
        "blocks.1.mlp.hook_post: values of shape",
    ),
    "too large for float16": (
        {"values": _with("blocks.12.mlp.hook_post", HUGE[:, :5])},
        "blocks.12.mlp.hook_post is 100000.0 at column 0.*store float32",
    ),
}


@pytest.mark.parametrize(("changes", "message"), BAD.values(), ids=BAD)
def test_bad_rows_are_refused_and_not_stored(tmp_path, changes, message):
    with Writer.open(tmp_path / "store", MADE.manifest, shard_rows=10) as writer:
        with pytest.raises(ValueError, match=message):
            _append(writer, **changes)
        with pytest.raises(ValueError, match="0 of 40 texts were appended"):
            writer.finish()
        writer.append(40, MADE.rows(0, 40), MADE.values(0, 40))
        writer.finish()
    assert digests(tmp_path / "store") == digests(MADE.write(tmp_path / "whole"))


def test_numbers_are_copied_when_they_are_appended(tmp_path):
    with Writer.open(tmp_path / "store", MADE.manifest, shard_rows=10) as writer:
        for text in range(40):
            values = {site: block.copy() for site, block in MADE.values(text, text + 1).items()}
            writer.append(1, MADE.rows(text, text + 1), values)
            for block in values.values():
                block[:] = 7.0
        writer.finish()
    np.testing.assert_array_equal(Store.open(tmp_path / "store").array()[:], MADE.X)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": 3}, "model is 3; it must be a string"),
        ({"texts": 0}, "texts is 0"),
        ({"texts": True}, "texts is True"),
        ({"aggregation": "sum"}, "aggregation is 'sum'; it must be one of token, mean, max, last"),
        ({"dtype": "int8"}, "one of float16, float32"),
        ({"sites": {}}, "sites is {}"),
        ({"sites": {"a": 0}}, "sites is {'a': 0}"),
        ({"skip_first": -1}, "skip_first is -1"),
    ],
)
def test_a_wrong_field_is_named(changes, message):
    with pytest.raises(InputError, match=message):
        replace(MADE.manifest, **changes)


def test_manifests_as_json():
    held = MADE.manifest.to_json()
    assert Manifest.from_json(json.loads(json.dumps(held))) == MADE.manifest
    for changed, message in (
        ({**held, "version": 2}, "format version 2"),
        ({**held, "colour": "red"}, "unknown field 'colour'"),
        ({key: held[key] for key in held if key != "dtype"}, "the field 'dtype' is missing"),
        ([], "a manifest is a JSON object, not list"),
    ):
        with pytest.raises(InputError, match=message):
            Manifest.from_json(changed)


@given(st.lists(st.text(max_size=4), max_size=4), st.lists(st.text(max_size=4), max_size=4))
def test_digests_of_texts_tell_lists_apart(one, other):
    assert (text_digest(one) == text_digest(other)) == (one == other)


def test_rows_are_checked():
    with pytest.raises(ValueError, match="token has 2 entries and text 3"):
        RowFacts(*(np.zeros(3, int),) * 2, np.zeros(2, int), *(np.zeros(3, int),) * 2)
    with pytest.raises(ValueError, match="text is float64"):
        RowFacts(*(np.zeros(3),) * 5)
    whole = RowFacts.of_texts(4, np.array([7, 9]))
    assert whole.text.tolist() == [4, 5]
    assert whole.stop.tolist() == [7, 9]
    assert whole.position.tolist() == whole.token.tolist() == [-1, -1]
