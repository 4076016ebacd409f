"""Capture: the rows it stores, the runs that are cut short, what it refuses, its command."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import LINES, save_tiny
from typer.testing import CliRunner

from optprobe.activations import Store
from optprobe.activations import capture as captures
from optprobe.activations import writer as writers
from optprobe.activations.capture import capture
from optprobe.activations.doors import HooksDoor
from optprobe.activations.plan import windows
from optprobe.activations.reduce import Reducer
from optprobe.activations.texts import read_texts
from optprobe.activations.tokens import ranges
from optprobe.cli import app

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

SITES = ["blocks.0.mlp.hook_post", "blocks.1.hook_resid_post"]
TEXTS = [*LINES, "", "fox", *(line[:n] for line in LINES for n in (3, 11, 20, 30, 41))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def door(folder: Path) -> HooksDoor:
    return HooksDoor.open(folder)


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def alone(door: HooksDoor, text: str) -> dict[str, np.ndarray]:
    """What the model computes when it reads one text and nothing else; the first token is <s>."""
    ids = torch.from_numpy(door.encode([text])[0].ids.astype(np.int64))[None]
    found = door.run(ids, torch.ones_like(ids), SITES, lambda site, values: values.clone())
    return {site: values[0].numpy() for site, values in found.items()}


def test_a_row_per_token_that_stands_for_characters(door, tmp_path):
    """Rows are those of each text read alone, whatever the batch; <s> is read and not stored."""
    store = capture(door, TEXTS, tmp_path / "s", sites=SITES, dtype="float32", batch_tokens=64)
    assert store.finished
    assert store.manifest.sites == {SITES[0]: 24, SITES[1]: 16}
    rows, values = store.rows, store.array()[:]
    assert values.shape == (len(rows), 40)
    for number, (text, encoded) in enumerate(zip(TEXTS, door.encode(TEXTS), strict=True)):
        here = rows.text == number
        np.testing.assert_array_equal(rows.token[here], encoded.ids[1:])
        np.testing.assert_array_equal(rows.position[here], np.arange(1, len(encoded.ids)))
        np.testing.assert_array_equal(rows.start[here], encoded.offsets[1:, 0])
        np.testing.assert_array_equal(rows.stop[here], encoded.offsets[1:, 1])
        expected = np.concatenate(list(alone(door, text).values()), axis=1)[1:]
        np.testing.assert_allclose(values[here], expected, atol=1e-5)


@pytest.mark.parametrize("skip_first", [0, 3])
@pytest.mark.parametrize("aggregation", ["mean", "max", "last"])
def test_a_row_per_text(door, tmp_path, aggregation, skip_first):
    store = capture(
        door, TEXTS, tmp_path / "s", sites=SITES, aggregation=aggregation, dtype="float32",
        skip_first=skip_first,
    )  # fmt: skip
    reduce = {"mean": np.mean, "max": np.max, "last": lambda values, axis: values[-1]}[aggregation]
    rows = store.rows
    first = max(1, skip_first)
    counted = [len(encoded.ids) > first for encoded in door.encode(TEXTS)]
    np.testing.assert_array_equal(rows.text, np.flatnonzero(counted))
    assert set(rows.token) == set(rows.position) == {-1}
    assert rows.stop.tolist() == [len(TEXTS[number]) for number in rows.text]
    for number, row in zip(rows.text, store.array()[:], strict=True):
        held = alone(door, TEXTS[number])
        expected = np.concatenate([reduce(held[site][first:], axis=0) for site in SITES])
        np.testing.assert_allclose(row, expected, atol=1e-5)


def test_texts_are_cut_and_their_first_positions_skipped(door, tmp_path):
    whole = capture(door, TEXTS, tmp_path / "a", sites=SITES)
    part = capture(door, TEXTS, tmp_path / "b", sites=SITES, max_tokens=9, skip_first=4)
    inside = (whole.rows.position >= 4) & (whole.rows.position < 9)
    assert 0 < inside.sum() < len(whole)
    np.testing.assert_array_equal(part.rows.text, whole.rows.text[inside])
    np.testing.assert_array_equal(part.rows.token, whole.rows.token[inside])
    np.testing.assert_allclose(part.array()[:], whole.array()[:][inside], atol=2e-3)


class Stopped(RuntimeError):  # noqa: N818
    pass


def stopping(door: HooksDoor, batches: int) -> HooksDoor:
    """The same door, which fails after so many batches; its first run measures the widths.

    As the last digits of a model do, what it gives depends on the size of the batch.
    """
    copy = HooksDoor(door.held)
    run, left = copy.run, [batches + 1]

    def limited(ids, mask, sites, reduce):
        left[0] -= 1
        if left[0] < 0:
            raise Stopped
        extra = 0.01 * ids.numel()
        return run(ids, mask, sites, lambda site, values: reduce(site, values + extra))

    copy.run = limited
    copy.left = left
    return copy


def test_an_interrupted_capture_goes_on_to_the_same_bytes(door, tmp_path, monkeypatch):
    """Wherever it stops, and shards end inside a window of texts too."""
    monkeypatch.setattr(captures, "WINDOW_BYTES", 80 * 80)
    monkeypatch.setattr(writers, "SHARD_BYTES", 12 * 80)
    counter = stopping(door, 10**6)
    settings = {"sites": SITES, "batch_tokens": 60}
    capture(counter, TEXTS, tmp_path / "whole", **settings)
    whole, batches = content(tmp_path / "whole"), 10**6 - counter.left[0]
    assert len(whole) > 6
    assert batches > 8
    saved = 0
    for stop in range(0, batches, 2):
        out = tmp_path / f"stopped{stop}"
        with pytest.raises(Stopped):
            capture(stopping(door, stop), TEXTS, out, **settings)
        done = Store.open(out).texts if (out / "shards.json").exists() else 0
        rest = stopping(door, batches)
        store = capture(rest, TEXTS, out, **settings)
        saved += rest.left[0]
        assert store.finished
        assert done < len(TEXTS)
        assert content(out) == whole
    assert saved > 0


def test_a_finished_capture_is_not_run_again(door, tmp_path):
    capture(door, TEXTS, tmp_path / "s", sites=SITES)
    before = content(tmp_path / "s")
    capture(stopping(door, 0), TEXTS, tmp_path / "s", sites=SITES)
    assert content(tmp_path / "s") == before


def test_killed_captures_go_on_to_the_same_bytes(tmp_path):
    """kill -9 at 20 random moments of one capture."""
    script = Path(__file__).with_name("kill_capture.py")
    ran = subprocess.run(
        [sys.executable, script, tmp_path, "20"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    stored = json.loads(ran.stdout)
    assert len(stored) >= 10
    assert len(set(stored)) > 5
    assert content(tmp_path / "killed") == content(tmp_path / "whole")
    assert len(content(tmp_path / "whole")) > 10


@given(st.lists(st.integers(0, 40), max_size=60), st.integers(1, 60), st.integers(1, 200))
def test_every_text_is_read_once_in_batches_that_fit(lengths, batch_tokens, window_tokens):
    held = np.array(lengths, np.int64)
    plan = windows(held, batch_tokens=batch_tokens, window_tokens=window_tokens)
    assert [window.first for window in plan] == [0, *(window.last for window in plan)][: len(plan)]
    assert (plan[-1].last if plan else 0) == len(held)
    for window in plan:
        inside = held[window.first : window.last]
        assert len(inside) == 1 or inside.sum() <= window_tokens
        read = [number for batch in window.batches for number in batch.tolist()]
        assert sorted(read) == [n for n in range(window.first, window.last) if held[n]]
        for batch in window.batches:
            assert len(batch) == 1 or len(batch) * held[batch].max() <= batch_tokens


def test_ranges():
    starts, counts = np.array([5, 0, 9]), np.array([2, 0, 3])
    assert ranges(starts, counts).tolist() == [5, 6, 9, 10, 11]


class Loud(HooksDoor):
    """A model with huge values."""

    factor = 1e6

    def run(self, ids, mask, sites, reduce):
        return super().run(
            ids, mask, sites, lambda site, values: reduce(site, values * self.factor)
        )


def test_numbers_that_do_not_fit_are_refused(door, tmp_path):
    loud = Loud(door.held)
    with pytest.raises(
        ValueError, match=r"values up to .* and float16 ends at 65504; store float32"
    ):
        capture(loud, TEXTS, tmp_path / "a", sites=SITES)
    assert capture(loud, TEXTS, tmp_path / "b", sites=SITES, dtype="float32").finished
    loud.factor = float("nan")
    with pytest.raises(ValueError, match="not finite"):
        capture(loud, TEXTS, tmp_path / "c", sites=SITES, dtype="float32")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"aggregation": "median"}, "pass one of token, mean, max, last"),
        ({"dtype": "int8"}, "pass one of float16, float32"),
        ({"batch_tokens": 0}, "batch_tokens=0; pass a number of tokens >= 1"),
        ({"skip_first": -1}, "skip_first=-1; pass a number of tokens >= 0"),
        ({"sites": ["blocks.1.mlp.hook_pots"]}, "near ones are blocks.1.mlp.hook_post"),
        ({"texts": []}, "texts"),
        ({"texts": ["", ""]}, "no text has a token that counts"),
        ({"texts": ["fox", "fox " * 80]}, r"text 1 has \d+ tokens and tiny reads 64 at once"),
    ],
)
def test_bad_captures_are_refused_before_anything_is_written(door, tmp_path, change, message):
    asked = {"sites": SITES, "texts": TEXTS} | change
    with pytest.raises(ValueError, match=message):
        capture(door, asked.pop("texts"), tmp_path / "s", **asked)
    assert not (tmp_path / "s").exists()


def test_a_disk_with_too_little_room_is_refused(door, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(ValueError, match=r"its disk has 0\.0 GB free"):
        capture(door, TEXTS, tmp_path / "new" / "s", sites=SITES)
    assert not (tmp_path / "new").exists()


def test_another_capture_in_the_folder_is_refused(door, tmp_path):
    capture(door, TEXTS, tmp_path / "s", sites=SITES)
    before = content(tmp_path / "s")
    for change in ({"skip_first": 1}, {"sites": SITES[::-1]}, {"aggregation": "mean"}):
        with pytest.raises(ValueError, match=next(iter(change))):
            capture(door, TEXTS, tmp_path / "s", **{"sites": SITES, **change})
    with pytest.raises(ValueError, match="text_digest"):
        capture(door, [*TEXTS[:-1], "other"], tmp_path / "s", sites=SITES)
    assert content(tmp_path / "s") == before


def test_texts_of_files(tmp_path):
    (tmp_path / "a.txt").write_bytes("one\r\n\nthree\u2028still three\n".encode())
    assert read_texts(tmp_path / "a.txt") == ["one", "", "three\u2028still three"]
    (tmp_path / "a.jsonl").write_text('{"text": "one", "label": 1}\n{"text": "two\\nlines"}\n')
    assert read_texts(tmp_path / "a.jsonl") == ["one", "two\nlines"]
    (tmp_path / "a.csv").write_text('document,text\n1,one\n1,"two\nlines, quoted"\n')
    assert read_texts(tmp_path / "a.csv") == ["one", "two\nlines, quoted"]


@pytest.mark.parametrize(
    ("name", "held", "message"),
    [
        ("none.txt", None, "cannot be read: No such file"),
        ("a.pdf", b"", "ends in .txt, .jsonl, .csv"),
        ("a.txt", b"\n\n", "holds no text"),
        ("a.txt", b"a\xff", "is not UTF-8 at byte 1"),
        ("a.jsonl", b'{"text": "a"}\n{"text"', "line 2 is not JSON"),
        ("a.jsonl", b'{"text": 3}', 'line 1: pass an object with a string "text"'),
        ("a.csv", b"words,label\na,1\n", 'has no column "text"; it has words, label'),
        ("a.csv", b"label,text\n1\n", "line 2: the row has no text"),
    ],
)
def test_files_without_texts_are_refused(tmp_path, name, held, message):
    if held is not None:
        (tmp_path / name).write_bytes(held)
    with pytest.raises(ValueError, match=message):
        read_texts(tmp_path / name)


def run(*arguments: object):
    return CliRunner().invoke(app, ["capture", *(str(part) for part in arguments)])


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    return path


def test_the_command_stores_what_the_function_does(folder, door, texts, tmp_path):
    result = run(
        folder, texts, "--out", tmp_path / "s", "--layers", "0:1", "--door", "hooks",
        "--skip-first", "2",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    sites = ["blocks.0.mlp.hook_post", "blocks.1.mlp.hook_post"]
    store = capture(door, TEXTS, tmp_path / "t", sites=sites, skip_first=2)
    assert content(tmp_path / "s") == content(tmp_path / "t")
    assert f"{len(store)} rows x 48 columns of 2 hook points, float16" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--layers", "2"], "tiny has 2 layers; pass one of 0 to 1"),
        (["--layers", "0:x"], "--layers 0:x: pass a number"),
        (["--site", "blocks.{l}.mlp.hook_pst"], "near ones are"),
        (["--device", "cuda"], "torch sees no GPU here"),
        (["--collection", "pos"], "pass a file of texts, or --collection and no file"),
        (["--door", "none"], "unknown door 'none'"),
    ],
)
def test_bad_commands_are_one_sentence(folder, texts, tmp_path, monkeypatch, arguments, message):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    result = run(folder, texts, "--door", "hooks", "--out", tmp_path / "s", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        (KeyboardInterrupt(), "interrupted; the same command goes on"),
        (OSError(28, "No space left on device"), "No space left on device"),
    ],
)
def test_a_command_that_is_stopped_goes_on(folder, texts, tmp_path, monkeypatch, raised, message):
    arguments = (folder, texts, "--door", "hooks", "--layers", "0", "--out", tmp_path / "s")
    write = writers.write_shard

    def stop(*given: object) -> None:
        raise raised

    monkeypatch.setattr(writers, "write_shard", stop)
    result = run(*arguments)
    assert result.exit_code == 3
    assert message in result.stderr
    monkeypatch.setattr(writers, "write_shard", write)
    assert run(*arguments).exit_code == 0
    assert Store.open(tmp_path / "s", verify="digests").finished


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_rows_come_from_where_they_count_to_where_they_belong(dtype):
    """Tokens with gaps between them, texts in another order: each number, and nothing else."""
    import torch

    rng = np.random.default_rng(0)
    kept = rng.random((5, 9)) < 0.7
    kept[3] = False
    order = rng.permutation(5)
    counts = kept.sum(axis=1)
    starts = np.zeros(5, int)
    starts[order] = np.cumsum(counts[order]) - counts[order]
    places = np.concatenate([np.arange(starts[t], starts[t] + counts[t]) for t in range(5)])
    values = torch.from_numpy(rng.standard_normal((5, 9, 4)).astype(np.float32))
    out = {"a": np.full((counts.sum() + 2, 4), 7.0, dtype)}
    Reducer(kept, "token", places, out)("a", values)
    for t in range(5):
        expected = values[t].numpy()[kept[t]].astype(dtype)
        np.testing.assert_array_equal(out["a"][starts[t] : starts[t] + counts[t]], expected)
    assert (out["a"][-2:] == 7.0).all()
