"""Features of treebanks and of what a token looks like, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from feature_texts import TEXT, dataset_of, labelled
from treebanks import SENTENCE, tokens

from optprobe.activations.rows import RowFacts
from optprobe.features import (
    get_collection,
    latex,
    load_feature,
    morph,
    token_text,
)
from optprobe.features.counting import count, word_rows
from optprobe.features.rules import BySearch, ByTokenText, token_texts


def test_tokens_take_the_tag_of_their_first_word(treebank):
    dataset = get_collection("pos").load(treebank)
    texts, rows = tokens(*[TEXT] * 30)
    assert dataset.texts == texts
    noun = labelled("pos/NOUN", rows, dataset)
    assert {token for token, label in noun.items() if label > 0} == {" do", "gs", " cat"}
    aux = labelled("pos/AUX", rows, dataset)
    assert {token for token, label in aux.items() if label > 0} == {" didn", " is"}
    part = labelled("pos/PART", rows, dataset)
    assert {token for token, label in part.items() if label > 0} == {"'t"}
    assert set(noun.values()) == {-1, 1}
    passive = labelled("dep/nsubj:pass", rows, dataset)
    assert {token for token, label in passive.items() if label > 0} == {" cat"}


def test_white_space_and_marks_belong_to_no_word(treebank):
    dataset = get_collection("pos").load(treebank)
    rows = RowFacts(
        *np.array([(0, 0, 1, 0, 0), (0, 1, 2, 3, 4), (0, 2, 3, 3, 5)], np.int64).reshape(-1, 5).T
    )
    found = load_feature("pos/NOUN", dataset=dataset)[1].labels(dataset, rows)
    assert found.tolist() == [0, 0, 1]


def test_morphology_is_told_from_its_rivals(treebank):
    dataset = get_collection("morph").load(treebank)
    _, rows = tokens(*[TEXT] * 30)
    plural = labelled("morph/Number=Plur", rows, dataset)
    assert {token: label for token, label in plural.items() if label} == {
        " do": 1, "gs": 1, " cat": -1,
    }  # fmt: skip
    passive = labelled("morph/Voice=Pass", rows, dataset)  # no other voice: the other verbs
    assert {token: label for token, label in passive.items() if label} == {
        " heard": 1, " bark": -1,
    }  # fmt: skip
    assert morph.features(replace(dataset, words=None)) == []


def test_a_document_is_cut_between_sentences_and_stays_one_document(tmp_path):
    sentences = SENTENCE.format(document="weblog-long").split("\n\n")[:2]
    (tmp_path / "en_ewt-ud-dev.conllu").write_text("\n\n".join(sentences * 60), encoding="utf-8")
    dataset = get_collection("pos").load(tmp_path)
    assert len(dataset.texts) > 1
    assert set(dataset.documents) == {"weblog-long"}
    assert max(map(len, dataset.texts)) <= 2000
    assert " ".join(dataset.texts).count("A cat is heard here.") == 60
    assert all(text.startswith(("The dogs", "A cat")) for text in dataset.texts)


def test_genres_and_languages_are_features_of_texts(treebank):
    dataset, feature = load_feature("distribution/ewt_email", treebank)
    whole = RowFacts.of_texts(0, dataset.lengths)
    email = np.array(["email" in document for document in dataset.documents])
    assert (email.sum(), (~email).sum()) == (15, 15)
    np.testing.assert_array_equal(feature.labels(dataset, whole), np.where(email, 1, -1))

    dataset, feature = load_feature("language/fr", treebank)
    whole = RowFacts.of_texts(0, dataset.lengths)
    french = np.array(["chien" in text for text in dataset.texts])
    assert (french.sum(), (~french).sum()) == (30, 60)
    np.testing.assert_array_equal(feature.labels(dataset, whole), np.where(french, 1, -1))


# Computed features ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "present", "absent"),
    [
        ("contains_digit", [" a1", "7"], [" a", "."]),
        ("all_digits", [" 42", "7"], [" a1", "7th"]),
        ("leading_capital", [" The", "The"], [" the", "iPad", " "]),
        ("all_capitals", [" NASA", "US"], [" I", "A", "Us", " N1"]),
        ("mixed_case", ["iPad", "McGee"], ["The", "NASA", "the"]),
        ("leading_space", [" a", " "], ["a", "\na"]),
        ("word_inside", ["ing", "s"], [" ing", "S", "1"]),
        ("all_whitespace", [" ", "\n\n"], [" a", "a"]),
        ("contains_newline", [".\n"], [" "]),
        ("not_alphanumeric", [" --", " "], [" a-", "1"]),
        ("contains_non_ascii", [" é"], [" e"]),
        ("punctuation", [" .", "$"], [" ", "a.", "1"]),
        ("vowel_first", [" apple", "Oh"], [" the", " "]),
        ("honorific", [" Mr", "Dr."], [" Mrx", "dr"]),
        ("long", [" 12345678"], [" 1234567"]),
        ("length_2", [" ab", "12"], [" a", "abc"]),
        ("ends_in_ing", [" going", "Doing"], [" ing", "ingot", " 1ing"]),
        ("starts_with_un", [" undo"], [" un", "sun"]),
    ],
)
def test_what_a_token_looks_like(name, present, absent):
    meaning, test = token_text.TESTS[name]
    assert meaning
    texts, rows = tokens(tuple(present), tuple(absent))
    found = ByTokenText(test)(dataset_of(*texts), rows)
    assert found.tolist() == [1] * len(present) + [-1] * len(absent)


def test_tokenizers_that_drop_the_space_agree_with_those_that_keep_it():
    texts, kept = tokens(("The", " big", "gest", " dog", "."))
    drop = np.array([token.startswith(" ") for token in token_texts(texts, kept)])
    dropped = replace(kept, start=kept.start + drop)
    assert token_texts(texts, dropped) == token_texts(texts, kept)
    assert (
        token_texts(texts, dropped.take(slice(1, None)))[0] == "big"
    )  # what stands before it is unknown


def test_positions_count_from_the_start_and_the_end():
    texts, rows = tokens(("a", "b", "c", "d"), ("e",))
    dataset = dataset_of(*texts)
    found = {
        name: load_feature(f"position/{name}", dataset=dataset)[1].labels(dataset, rows).tolist()
        for name in ("first", "last", "before_2", "even")
    }
    assert found == {
        "first": [1, -1, -1, -1, 1],
        "last": [-1, -1, -1, 1, 1],
        "before_2": [1, 1, -1, -1, 1],
        "even": [1, -1, 1, -1, 1],
    }


def test_an_ngram_is_told_from_both_of_its_parts():
    texts, rows = tokens(
        ("We", " sat", " in", " the", " sun", " in", " a", " car", " by", " the", " sea")
    )
    dataset = dataset_of(
        *(" ".join(["in the sun", "by the sea", "in a car"]) for _ in range(25)), *texts
    )
    feature = next(
        one for one in get_collection("ngram").features(dataset) if one.name == "ngram/in-the"
    )
    rows = replace(rows, text=rows.text + 25)
    said = dict(
        zip(token_texts(dataset.texts, rows), feature.labels(dataset, rows).tolist(), strict=True)
    )
    labels = feature.labels(dataset, rows).tolist()
    assert labels == [0, 0, 0, 1, 0, 0, -1, 0, 0, -1, 0]
    assert said[" a"] == -1


LATEX = r"""Let $x_{i}$ cost \$5 or \(y\) 9% off. % a note
\begin{equation} \frac{a^{2}}{b{c}} \end{equation} See \cite[p. 3]{knuth} and \ref{eq:one}.
$$ \alpha + 1 $$"""


@pytest.mark.parametrize(
    ("name", "spans"),
    [
        ("inline_math", ["x_{i}", "y"]),
        ("display_math", [r" \frac{a^{2}}{b{c}} ", r" \alpha + 1 "]),
        ("subscript", ["i"]),
        ("superscript", ["2"]),
        ("numerator", ["a^{2}"]),
        ("denominator", ["b{c}"]),
        ("citation", ["knuth"]),
        ("reference", ["eq:one"]),
        ("environment", ["equation", "equation"]),
        ("comment", [" a note"]),
        ("greek", ["alpha"]),
        ("dollar", ["$", "$", "$$", "$$"]),
    ],
)
def test_latex_patterns(name, spans):
    found = latex.PATTERNS[name][1](LATEX)
    assert [LATEX[start:stop] for start, stop in found] == spans


def test_latex_comes_from_a_folder(tmp_path):
    (tmp_path / "a.tex").write_text("\n\n".join([LATEX] * 40 + ["a lone $ sign"]), encoding="utf-8")
    dataset, feature = load_feature("latex/inline_math", tmp_path)
    assert all("lone" not in text for text in dataset.texts)
    positive, negative = count(dataset, feature, word_rows(dataset))
    assert positive > 0
    assert negative > 0
    assert isinstance(feature.rule, BySearch)


def test_source_files_are_told_by_suffix(tmp_path):
    for project in range(6):
        for suffix, line in ((".py", "x = 1  # number\n"), (".c", "int x = 1; /* number */\n")):
            for number in range(8):
                path = tmp_path / "code" / f"p{project}" / f"{number}{suffix}"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(line * 200, encoding="utf-8")
    (tmp_path / "code" / "p0" / "binary.c").write_bytes(b"\xff" * 5000)
    (tmp_path / "code" / "p0" / "short.py").write_text("x = 1\n", encoding="utf-8")
    (tmp_path / "code" / "p0" / "minified.js").write_text("x=1;" * 5000, encoding="utf-8")
    dataset, feature = load_feature("programming/Python", tmp_path)
    whole = RowFacts.of_texts(0, dataset.lengths)
    y = feature.labels(dataset, whole)
    assert (int((y > 0).sum()), int((y < 0).sum())) == (30, 30)  # five of each project and language
    assert all(
        ("x = 1  #" in text) == (label > 0) for text, label in zip(dataset.texts, y, strict=True)
    )
    assert set(dataset.documents) == {f"p{i}" for i in range(6)}
