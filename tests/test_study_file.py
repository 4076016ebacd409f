"""Study files: what they mean, and errors that name the line and what is allowed there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from optprobe.files import InputError
from optprobe.losses import LOSSES
from optprobe.study import read_study
from optprobe.study.schema import Study
from optprobe.study.yaml12 import load

LEAST = "model: smollm2\nfeatures: [pos/NOUN]\nk: 1:4\n"


def read(tmp_path: Path, text: str) -> Study:
    path = tmp_path / "study.yaml"
    path.write_text(text, encoding="utf-8")
    return read_study(path)


def message(tmp_path: Path, text: str) -> str:
    with pytest.raises(InputError) as raised:
        read(tmp_path, text)
    return str(raised.value).removeprefix(f"{tmp_path / 'study.yaml'}, ")


def test_ranges_lists_and_words(tmp_path):
    study = read(tmp_path, LEAST)
    assert study.k == (1, 2, 3, 4)
    assert study.layers is None
    assert study.candidates is None
    more = "layers: [12, 3, 3]\nridge: 1e-2\ncandidates: all\nbudget: {seconds_per_k: null}\n"
    study = read(tmp_path, LEAST.replace("1:4", "2") + more)
    assert (study.k, study.layers, study.ridge) == ((2,), (3, 12), 0.01)
    assert study.budget.seconds_per_k is None
    assert read(tmp_path, LEAST + "layers: 0:29").layers == tuple(range(30))
    assert read(tmp_path, LEAST + "layers: all").layers is None


def test_places_are_relative_to_the_file(tmp_path):
    study = read(
        tmp_path,
        "model: m\nk: 1\nfolder: texts\nfeatures: [pos/NOUN, own.csv, f.py:rule, mod:rule]\n",
    )
    assert study.folder == tmp_path / "texts"
    assert study.features == (
        "pos/NOUN", str(tmp_path / "own.csv"), str(tmp_path / "f.py:rule"), "mod:rule",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("layer: 3", "line 4: unknown key 'layer'; did you mean 'layers'? Allowed are model, fea"),
        ("k: 3", "line 4: 'k' is given twice, first on line 3; keep one of them"),
        ("loss: log", "line 4: loss is 'log'; it should be 'logistic', 'hinge' or 'squared_hin"),
        ("door: nn", "line 4: door is 'nn'; it should be 'bridge', 'hooks' or 'nnsight'"),
        ("ridge: 0", "line 4: ridge is 0; it should be greater than 0"),
        ("ridge: .inf", "line 4: ridge is inf; it should be a finite number"),
        ("ridge: small", "line 4: ridge is 'small'; it should be a valid number"),
        ("layers: some", "line 4: layers: 'some' names no layers; write all, a number, 0:29 or"),
        ("layers: [1, -2]", "line 4: layers.1 is -2; it should be greater than or equal to 0"),
        ("layers: 5:2", "line 4: layers: '5:2' is no range; write a number, 1:4 or [1, 2, 4]"),
        ("hook: blocks.3.x", "line 4: hook: 'blocks.3.x' names one layer; write {l} in its place"),
        ("method: best", "line 4: method: unknown heuristic 'best'; choose one of "),
        ("method: compact", "or an exact one: bnb, oa, oa-plain"),
        ("sampling: 3", "line 4: sampling is 3; it should be a section with keys of its own"),
        ("sampling:\n  ratio: 0.5\n  seed: -1", "line 6: sampling.seed is -1; it should be"),
        ("budget:\n  second: 5", "line 5: unknown key 'budget.second'; did you mean 'seconds'?"),
        ("max_tokens: 1.5", "line 4: max_tokens is 1.5; it should be a valid integer"),
        ("x: [1", "not YAML (expected"),
        ("\tx: 1", "line 4: not YAML (found character"),
    ],
)
def test_errors_name_the_line_and_what_is_allowed(tmp_path, line, expected):
    assert expected in message(tmp_path, LEAST + line)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("features: [a/b]\nk: 1", "line 1: 'model' is missing; add it"),
        ("model: m\nfeatures: []\nk: 1", "line 2: features is []; list should have at least 1"),
        ("model: m\nfeatures: [a/b]\nk: 1\nridge: 0\ndoor: x", "line 4: ridge is 0; it should"),
        ("model: m\nfeatures: [a/b]\nk: 1\nridge: 0\ndoor: x", "than 0 (and 1 more)"),
        ("model: m\nfeatures: [a/b]\nk: true", "line 3: k is True; it should be a list"),
        ("", "line 1: a study is a mapping"),
        ("- 1", "line 1: a study is a mapping"),
    ],
)
def test_what_is_missing_or_empty(tmp_path, text, expected):
    assert expected in message(tmp_path, text)


def test_files_that_are_none(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_study(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes("model: é".encode("latin-1"))
    with pytest.raises(InputError, match="not UTF-8"):
        read_study(tmp_path / "latin.yaml")


def test_the_losses_are_those_of_the_problem():
    assert set(get_args(Study.model_fields["loss"].annotation)) == set(LOSSES)


def test_plain_words_are_those_of_yaml_1_2():
    held, lines = load("a: 1:4\nb: 1e-4\nc: no\nd: true\ne:\n- 0x1F\n- 010\n- -.5\nf: ~\n")
    assert held == {
        "a": "1:4", "b": 1e-4, "c": "no", "d": True, "e": ["0x1F", 10, -0.5], "f": None,
    }  # fmt: skip
    assert lines[("e",)] == 5
    assert [lines["e", i] for i in range(3)] == [6, 7, 8]
    assert yaml.safe_load("a: 1:4") == {"a": 64}  # what is avoided


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("ab1:.-e"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("xyz", min_size=1), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text("xyz", min_size=1), plain, max_size=3))
def test_json_means_what_it_says(value):
    held, _ = load(json.dumps(value))
    assert held == value
