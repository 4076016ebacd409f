"""CoNLL-U read by hand, and tokens aligned with words by brute force."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from feature_texts import dataset_of
from hypothesis import given
from hypothesis import strategies as st
from treebanks import FRENCH, SENTENCE, tokens

from optprobe.activations.rows import RowFacts
from optprobe.features import (
    Dataset,
    Spans,
    Words,
)
from optprobe.features.align import inside, word_of
from optprobe.features.conllu import read_conllu

# CoNLL-U ----------------------------------------------------------------------------------------


def write(folder: Path, content: str) -> Path:
    path = folder / "a.conllu"
    path.write_text(content, encoding="utf-8", newline="")
    return path


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_words_stand_where_their_sentence_says(tmp_path, newline):
    content = SENTENCE.format(document="weblog-x").replace("\n", newline)
    first, second = read_conllu(write(tmp_path, content))
    assert (first.document, first.name) == ("weblog-x", "weblog-x-0001")
    assert second.document == "weblog-x"
    for sentence in (first, second):
        for word in sentence.words:
            assert sentence.text[word.start : word.stop] == word.form
    assert [word.form for word in first.words] == ["The", "dogs", "did", "n't", "bark", "."]
    assert first.words[1].feats == {"Number": "Plur"}


def test_words_that_do_not_spell_their_token_have_no_characters(tmp_path):
    (sentence,) = read_conllu(write(tmp_path, FRENCH.format(number=1)))
    placed = [word.form for word in sentence.words if word.stop > word.start]
    assert placed == ["Il", "parle", "chien", "et", "chat", "qui", "dorment", "ici", "."]
    assert sentence.text.count("du") == 2


def test_a_sentence_without_text_is_rebuilt(tmp_path):
    whole = SENTENCE.format(document="d")
    bare = "\n".join(line for line in whole.split("\n") if not line.startswith("# text"))
    assert read_conllu(write(tmp_path, bare)) == read_conllu(write(tmp_path, whole))


LINE = "1\tHi\thi\tINTJ\t_\t_\t0\troot\t_\t_\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (LINE.replace("\t_\n", "\n"), "line 1: 9 columns"),
        (LINE.replace("\t", " "), "line 1: 1 columns"),
        ("# text = Ho\n" + LINE, "line 2: 'Hi' does not follow in '# text' of line 1"),
        ("# text = Hi there\n" + LINE, "line 1: '# text' goes on"),
        (LINE + LINE, "line 2: word id 1 where 2 follows"),
        ("x" + LINE, "line 1: id 'x1'"),
        ("1-3\tHi\t_\t_\t_\t_\t_\t_\t_\t_\n" + LINE, "line 1: range 1-3"),
        ("1-1\tHi\t_\t_\t_\t_\t_\t_\t_\t_\n", "line 1: range 1-1"),
        ("# text = Hi\n\n", "no sentence"),
        ("", "no sentence"),
    ],
)
def test_a_damaged_treebank_is_named_with_its_line(tmp_path, content, message):
    path = write(tmp_path, content)
    with pytest.raises(ValueError, match=message) as caught:
        read_conllu(path)
    assert str(path) in str(caught.value)


def test_a_treebank_in_another_encoding_is_refused(tmp_path):
    path = tmp_path / "a.conllu"
    path.write_bytes(LINE.replace("Hi", "Hé").encode("latin-1"))
    with pytest.raises(ValueError, match="UTF-8"):
        read_conllu(path)


# Alignment --------------------------------------------------------------------------------------


@st.composite
def annotated(draw: st.DrawFn) -> tuple[Dataset, list[tuple[int, int, int]], RowFacts]:
    """Texts, spans in them without overlap, and tokens of any cut."""
    texts = draw(st.lists(st.text("ab \nü𝄞", max_size=12), min_size=1, max_size=4))
    spans: list[tuple[int, int, int]] = []
    rows: list[tuple[int, int, int, int, int]] = []
    for number, text in enumerate(texts):
        cut = sorted(draw(st.sets(st.integers(0, len(text)), max_size=6)))
        pairs = list(pairwise(cut))
        spans += [(number, *pair) for pair in pairs if draw(st.booleans())]
        cut = sorted(draw(st.lists(st.integers(0, len(text)), max_size=6)))
        pairs = list(pairwise(cut))
        rows += [(number, position, 0, *pair) for position, pair in enumerate(pairs)]
    columns = np.array(rows, np.int64).reshape(-1, 5).T
    return dataset_of(*texts), spans, RowFacts(*columns)


@given(case=annotated())
def test_alignment_agrees_with_a_loop_over_characters(case):
    dataset, spans, rows = case
    table = np.array(spans, np.int64).reshape(-1, 3)
    words = Words(table[:, 0], table[:, 1], table[:, 2])
    first = word_of(dataset.characters, words, rows)
    touched = inside(dataset.characters, words, rows)
    for i in range(len(rows)):
        text = dataset.texts[rows.text[i]]
        owners = [
            number
            for character in range(rows.start[i], rows.stop[i])
            if not text[character].isspace()
            for number, (at, start, stop) in enumerate(spans)
            if at == rows.text[i] and start <= character < stop
        ]
        assert first[i] == (owners[0] if owners else -1)
        assert touched[i] == bool(owners)


def test_spans_may_overlap():
    texts, rows = tokens(("a", "b", "c", "d"))
    spans = Spans(np.array([0, 0]), np.array([0, 1]), np.array([2, 3]))
    found = inside(dataset_of(*texts).characters, spans, rows)
    assert found.tolist() == [True, True, True, False]
