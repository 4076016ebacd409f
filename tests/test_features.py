"""Features of text: readers, alignment, rules, sampling; by hand, brute force and invariants."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from treebanks import FRENCH, SENTENCE, tokens, write_treebank

from optprobe.activations.rows import RowFacts
from optprobe.features import (
    COLLECTIONS,
    Dataset,
    Spans,
    Words,
    function_feature,
    get_collection,
    latex,
    load_feature,
    morph,
    read_user,
    sample,
    token_text,
)
from optprobe.features.align import inside, word_of
from optprobe.features.conllu import read_conllu
from optprobe.features.counting import count, word_rows
from optprobe.features.rules import BySearch, ByTokenText, token_texts
from optprobe.features.text_labels import join
from optprobe.statistics import group_split


def dataset_of(*texts: str) -> Dataset:
    """Texts that are their own documents."""
    return Dataset("t", texts, tuple(f"d{i}" for i in range(len(texts))), "here", "ours")


def labelled(feature: str, rows: RowFacts, dataset: Dataset) -> dict[str, int]:
    """Token -> label; a token that occurs twice has to agree with itself."""
    found = load_feature(feature, dataset=dataset)[1].labels(dataset, rows)
    labels: dict[str, int] = {}
    for token, label in zip(token_texts(dataset.texts, rows), found.tolist(), strict=True):
        assert labels.setdefault(token, label) == label
    return labels


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


# The treebank -----------------------------------------------------------------------------------

TEXT = (
    "The",
    " do",
    "gs",
    " didn",
    "'t",
    " bark",
    ".",
    " A",
    " cat",
    " is",
    " heard",
    " here",
    ".",
)


@pytest.fixture
def treebank(tmp_path) -> Path:
    return write_treebank(tmp_path)


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


# Sources ----------------------------------------------------------------------------------------


def write_relation(folder: Path, name: str, objects: list[str]) -> None:
    path = folder / "relations" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    samples = [{"subject": f"S{i}", "object": one} for i, one in enumerate(objects)]
    content = {"prompt_templates": ["{} is", "So {} is"], "samples": samples}
    path.write_text(json.dumps(content), encoding="utf-8")


def test_a_relation_asks_for_each_frequent_object(tmp_path):
    write_relation(tmp_path, "person_job", ["poet"] * 20 + ["king"] * 25 + ["rare"] * 3)
    write_relation(tmp_path, "city_in_country", ["here"] * 10)  # too few: no feature
    dataset, feature = load_feature("person/job=poet", tmp_path)
    assert "person/job=rare" not in dataset.labels
    whole = RowFacts.of_texts(0, dataset.lengths)
    y = feature.labels(dataset, whole)
    positive = {text for text, label in zip(dataset.texts, y, strict=True) if label > 0}
    assert positive == {text for i in range(20) for text in (f"S{i} is", f"So S{i} is")}
    both = {document for document, label in zip(dataset.documents, y, strict=True) if label > 0}
    assert len(both) == 20


def test_a_damaged_relation_is_named(tmp_path):
    write_relation(tmp_path, "person_job", ["poet"])
    path = tmp_path / "relations" / "person_job.json"
    path.write_text('{"samples": []}', encoding="utf-8")
    with pytest.raises(ValueError, match=r"person_job\.json is no relation"):
        get_collection("person").load(tmp_path)


@pytest.fixture
def wheel(tmp_path, monkeypatch) -> Path:
    """A folder like that of sae-probes, with two sets of two texts each."""
    pa = pytest.importorskip("pyarrow")
    folder = tmp_path / "wheel"

    def put(name: str, content: str) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with pa.output_stream(str(path), compression="zstd") as stream:
            stream.write(content.encode())

    master = "Dataset Tag,Dataset save name,Data type\n"
    for number, tag in enumerate(("high-school", "glue_cola")):
        master += f"{tag},cleaned_data/{number}_{tag}.csv,Binary Classification\n"
    put("probing_datasets_MASTER.csv.zst", master + "age,cleaned_data/9_age.csv,Continuous Data\n")
    put(
        "cleaned_data/0_high-school.csv.zst",
        'prompt,target\n"a\n""b"", high school",bigram\nhigh,not_bigram\nhigh,not_bigram\n',
    )
    put("cleaned_data/1_glue_cola.csv.zst", "prompt,target\nGood,1\nBad,0\n")
    monkeypatch.setattr("optprobe.features.text_sets.wheel_folder", lambda: folder)
    return folder


def test_text_sets_come_from_the_wheel(wheel):
    dataset, feature = load_feature("compound/high-school")
    assert dataset.texts == ('a\n"b", high school', "high", "high")
    assert dataset.documents[1] == dataset.documents[2] != dataset.documents[0]
    whole = RowFacts.of_texts(0, dataset.lengths)
    assert feature.labels(dataset, whole).tolist() == [1, -1, -1]
    assert feature.aggregation == "last"
    assert list(get_collection("text").load().labels) == ["text/glue_cola"]


def test_a_text_set_of_unknown_targets_is_refused(wheel):
    pa = pytest.importorskip("pyarrow")
    path = wheel / "cleaned_data" / "1_glue_cola.csv.zst"
    with pa.output_stream(str(path), compression="zstd") as stream:
        stream.write(b"prompt,target\nGood,up\nBad,down\n")
    with pytest.raises(ValueError, match="targets down, up"):
        get_collection("text").load()


def test_joined_data_sets_leave_each_others_texts_unused():
    one = replace(dataset_of("a", "b"), labels={"x/one": np.array([1, -1], np.int8)})
    two = replace(dataset_of("c"), labels={"x/two": np.array([1], np.int8)}, licence="theirs")
    both = join("both", [one, two])
    assert both.texts == ("a", "b", "c")
    assert both.labels["x/one"].tolist() == [1, -1, 0]
    assert both.labels["x/two"].tolist() == [0, 0, 1]
    assert both.licence == "ours; theirs"


def test_missing_files_are_fetched_whole_or_not_at_all(tmp_path):
    from optprobe.features.sources import download

    (tmp_path / "far").write_text("content", encoding="utf-8")
    near = tmp_path / "near"
    urls = {"ud/a": (tmp_path / "far").as_uri(), "ud/b": (tmp_path / "nowhere").as_uri()}
    with pytest.raises(ValueError, match=r"cannot be fetched .* copy the file to .*ud/b"):
        download(urls, near)
    assert (near / "ud" / "a").read_text(encoding="utf-8") == "content"
    assert [path.name for path in (near / "ud").iterdir()] == ["a"]
    assert download({"ud/a": "http://not.asked/"}, near) == []


def test_the_hub_or_a_folder_like_it(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    from optprobe.features.hub import read_hub

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    table = datasets.Dataset.from_dict({"text": ["a", "b", "c"], "kind": ["x", "y", "x"]})
    monkeypatch.setattr(datasets, "load_dataset", lambda *place, **more: table)
    dataset, feature = read_hub("me/some", positive="x", label="kind", limit=2)
    assert dataset.texts == ("a", "b")
    assert dataset.labels[feature.name].tolist() == [1, -1]
    named, _ = load_feature("hf://me/some?positive=x&label=kind&limit=2")
    assert (named.name, named.texts) == ("me/some", dataset.texts)
    with pytest.raises(ValueError, match="no column 'label'; it has text, kind"):
        read_hub("me/some", positive="x")
    for address, message in (
        ("a/b", "no 'positive'"),
        ("a/b?positive=1&lable=x", "no option 'lable'"),
    ):
        with pytest.raises(ValueError, match=message):
            load_feature(f"hf://{address}")

    def unreachable(*place: str, **more: str) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    with pytest.raises(ValueError, match=r"no route.*optprobe features"):
        read_hub("me/some", positive="x")


def test_what_is_not_here_says_how_to_get_it(tmp_path):
    with pytest.raises(ValueError, match=r"the texts of 'pos' are not here.*--download"):
        get_collection("pos").load(tmp_path)
    with pytest.raises(ValueError, match="no such folder"):
        get_collection("pos").load(tmp_path / "nowhere")


def test_unknown_names_list_the_near_ones(treebank):
    with pytest.raises(ValueError, match="nearest are pos/NOUN"):
        load_feature("pos/NUON", treebank)
    with pytest.raises(ValueError, match="nearest are language"):
        load_feature("langage/fr", treebank)


def test_every_collection_names_its_source():
    for name, collection in COLLECTIONS.items():
        assert collection.name == name
        assert all((collection.title, collection.source, collection.licence, collection.how_to_get))
    assert len(COLLECTIONS) >= 10


def test_a_hundred_features_are_a_package_away(treebank):
    """Four collections of the wheel sae-probes and what tokens look like, both classes in each."""
    pytest.importorskip("pyarrow")
    if not COLLECTIONS["compound"].available():
        pytest.skip("sae-probes is not installed: pip install --no-deps sae-probes")
    seen: list[str] = []
    for name in ("compound", "person", "fact", "latex"):
        dataset = COLLECTIONS[name].load()
        features = COLLECTIONS[name].features(dataset)
        if name == "latex":
            features += COLLECTIONS["token"].features(dataset)
        words = word_rows(dataset) if name == "latex" else RowFacts.of_texts(0, np.zeros(0, int))
        seen += [one.name for one in features if min(count(dataset, one, words)) > 0]
    assert len(seen) == len(set(seen)) >= 100
    assert sum(name.startswith("compound/") for name in seen) == 21


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
