"""Features of a user's own, rows and samples, and `optprobe features`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from feature_texts import dataset_of
from hypothesis import given
from hypothesis import strategies as st
from treebanks import tokens

from optprobe.activations.rows import RowFacts
from optprobe.features import (
    COLLECTIONS,
    Dataset,
    function_feature,
    load_feature,
    read_user,
    sample,
)
from optprobe.features.counting import word_rows
from optprobe.statistics import group_split

# Features of your own ---------------------------------------------------------------------------


def test_a_csv_of_labels(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text('text,label,document\n"a, b",yes,d1\nc,0,d1\nd,,d2\n', encoding="utf-8")
    dataset, feature = read_user(path)
    assert dataset.documents == ("d1", "d1", "d2")
    rows = RowFacts.of_texts(0, dataset.lengths)
    assert feature.labels(dataset, rows).tolist() == [1, -1, 0]
    assert feature.name == "user/mine"


def test_a_jsonl_of_spans(tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text(
        '{"text": "I saw him", "spans": [[2, 5]]}\n\n{"text": "no", "spans": []}\n',
        encoding="utf-8",
    )
    dataset, feature = load_feature(str(path))
    texts, rows = tokens(("I", " s", "aw", " him"), ("no",))
    assert dataset.texts == texts
    assert feature.labels(dataset, rows).tolist() == [-1, 1, 1, -1, -1]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "text,label\na,maybe\n", "row 1: label 'maybe'; pass one of 1,"),
        ("a.csv", "words,label\na,1\n", "row 1: no 'text'"),
        ("a.csv", "text\na\n", "row 1: no 'label' and no 'spans'"),
        ("a.csv", "text,label\n", "holds no row"),
        ("a.jsonl", '{"text": "a", "label": 1}\n{"text"\n', "line 2: not JSON"),
        ("a.jsonl", "[1]\n", "line 1: not a JSON object"),
        ("a.jsonl", '{"text": "a", "spans": [[0, 2]]}\n', "row 1: span .0, 2. in a text of 1"),
        ("a.jsonl", '{"text": "a", "spans": [[0, 0]]}\n', "row 1: span"),
        ("a.jsonl", '{"text": "a", "spans": []}\n{"text": "b", "label": 1}\n', "1 of 2 rows"),
        ("a.txt", "a\n", "ends in .csv or .jsonl"),
    ],
)
def test_bad_files_of_your_own(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_user(path)


def test_a_function_of_tokens(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "def capital(tokens, text):\n"
        "    assert ''.join(tokens) == text\n"
        "    return [None if not t.strip() else t.strip()[0].isupper() for t in tokens]\n",
        encoding="utf-8",
    )
    texts, rows = tokens(("The", " cat", " "), ("A", " Dog"))
    dataset, feature = load_feature(f"{path}:capital", dataset=dataset_of(*texts))
    assert feature.labels(dataset, rows).tolist() == [1, -1, 0, 1, 1]
    short = function_feature(lambda tokens, text: [True])
    with pytest.raises(ValueError, match="1 labels for the 3 tokens of text 0"):
        short.labels(dataset, rows)
    for place in (f"{path}:nothing", "no.such.module:f", f"{tmp_path}/none.py:f"):
        with pytest.raises(ValueError, match="no such function"):
            function_feature(place)
    with pytest.raises(ValueError, match="is a str; pass a function"):
        function_feature("string:digits")


# Rows and samples -------------------------------------------------------------------------------


def test_rows_of_other_texts_are_refused(treebank):
    dataset, feature = load_feature("pos/NOUN", treebank)
    one = np.array([0])
    with pytest.raises(ValueError, match="belongs to text 99 and en_ewt has 30 texts"):
        feature.labels(dataset, RowFacts(one + 99, one, one, one, one))
    with pytest.raises(ValueError, match="characters 0:5000 of text 0"):
        feature.labels(dataset, RowFacts(one, one, one, one, one + 5000))
    with pytest.raises(ValueError, match="aggregation 'token'"):
        feature.labels(dataset, RowFacts(one, one - 1, one - 1, one, one + 5))


def test_texts_and_labels_of_different_length_are_refused():
    with pytest.raises(ValueError, match="1 texts but 2 labels"):
        replace(dataset_of("a"), labels={"x": np.array([1, -1], np.int8)})
    with pytest.raises(ValueError, match="1 texts but 0 documents"):
        Dataset("t", ("a",), (), "", "")
    with pytest.raises(ValueError, match="no text"):
        Dataset("t", (), (), "", "")


def flat_rows(lengths: list[int]) -> RowFacts:
    """Texts of so many tokens of one character."""
    return tokens(*[("x",) * length for length in lengths])[1]


@given(
    seed=st.integers(0, 10**6),
    ratio=st.floats(0.05, 0.95),
    limit=st.none() | st.integers(2, 80),
    skip=st.integers(0, 4),
)
def test_a_sample_keeps_its_promises(seed, ratio, limit, skip):
    rng = np.random.default_rng(seed)
    rows = flat_rows(rng.integers(6, 20, 8).tolist())
    y = rng.choice(np.array([-1, 0, 1], np.int8), len(rows), p=[0.5, 0.2, 0.3])
    for text, sign in ((0, 1), (1, 1), (2, -1), (3, -1)):
        y[np.flatnonzero(rows.text == text)[5]] = sign
    documents = [f"d{i}" for i in range(8)]
    keep = sample(y, rows, documents, ratio=ratio, limit=limit, skip_first=skip, seed=seed)
    positive, negative = int((keep & (y > 0)).sum()), int((keep & (y < 0)).sum())
    assert not (keep & (y == 0)).any()
    assert rows.position[keep].min() >= skip
    assert limit is None or keep.sum() <= limit
    assert positive >= 1
    assert negative >= 1
    assert positive == 1 or positive <= ratio * (positive + negative) + 1e-6
    again = sample(y, rows, documents, ratio=ratio, limit=limit, skip_first=skip, seed=seed)
    np.testing.assert_array_equal(keep, again)
    if limit is None:  # as many negatives as there are, and no positive too few
        assert negative == int(((y < 0) & (rows.position >= skip)).sum())
        there = int(((y > 0) & (rows.position >= skip)).sum())
        assert positive == there or positive + 1 > ratio * (positive + 1 + negative)


def test_whole_texts_have_no_positions_to_skip():
    rows = RowFacts.of_texts(0, np.array([3, 3, 3, 3]))
    y = np.array([1, 1, -1, -1], np.int8)
    assert sample(y, rows, list("abcd"), ratio=0.5).all()


@pytest.mark.parametrize(
    ("y", "change", "message"),
    [
        ([1] * 12, {}, "no negative row"),
        ([0] * 6 + [-1] * 6, {}, "no positive row"),
        ([1, -1, -1, -1, -1, -1] * 2, {"skip_first": 1}, "all 2 positive rows lie in the first 1"),
        ([1] * 6 + [-1] * 6, {"skip_first": 0}, "every positive row lies in document 'a'"),
        ([1, -1] * 6, {"ratio": 1.0}, "ratio=1.0"),
        ([1, -1] * 6, {"limit": 1}, "limit=1"),
        ([1, -1] * 6, {"skip_first": -1}, "skip_first=-1"),
        ([1, -1] * 5, {}, "10 labels for 12 rows"),
    ],
)
def test_what_cannot_be_probed_is_refused(y, change, message):
    with pytest.raises(ValueError, match=message):
        sample(np.array(y, np.int8), flat_rows([6, 6]), ["a", "b"], **change)


def test_a_sample_splits_by_document(treebank):
    dataset, feature = load_feature("pos/NOUN", treebank)
    rows = word_rows(dataset)
    y = feature.labels(dataset, rows)
    keep = sample(y, rows, dataset.documents, skip_first=1)
    groups = dataset.documents_of(rows)[keep]
    held = group_split(y[keep], groups)
    assert not set(groups[held]) & set(groups[~held])


# The command ------------------------------------------------------------------------------------


def run(*arguments: str):
    from typer.testing import CliRunner

    from optprobe.cli import app

    return CliRunner().invoke(app, ["features", *arguments])


def test_the_command_lists_features_with_counts(treebank):
    found = run("pos", "--folder", str(treebank))
    assert found.exit_code == 0
    assert "CC BY-SA 4.0" in found.output
    line = next(line.split() for line in found.output.splitlines() if "pos/NOUN" in line)
    assert line[:4] == ["pos/NOUN", "tokens", "60", "330"]


def test_the_command_lists_collections(treebank, monkeypatch):
    monkeypatch.setattr("optprobe.features.text_sets.wheel_folder", lambda: None)
    monkeypatch.setattr("optprobe.features.programming.roots", lambda folder: [])
    found = run("--folder", str(treebank))
    assert found.exit_code == 0
    for name in COLLECTIONS:
        assert f" {name} " in found.output
    assert "pip install --no-deps sae-probes" in found.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("poss",), "nearest are pos"),
        (("pos", "--download"), "--folder DIR"),
        (("pos",), "not here"),
    ],
)
def test_the_command_refuses_in_one_sentence(arguments, message):
    found = run(*arguments)
    assert found.exit_code == 2
    assert message in found.stderr
    assert found.stderr.count("\n") == 1
