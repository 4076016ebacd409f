"""Studies on a tiny random model: certified probes, nothing done twice, nothing mixed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from instances import brute_force
from tiny import LINES, save_tiny
from treebanks import tokens
from typer.testing import CliRunner

from optprobe import verify
from optprobe.activations.store import Store
from optprobe.cli import app
from optprobe.features import load_feature
from optprobe.features.base import Dataset
from optprobe.study import read_study, run_study
from optprobe.study import run as runner
from optprobe.study.probes import layer_problem, settled, solved
from optprobe.study.rows import feature_rows
from optprobe.study.schema import Budget, Sampling

STUDY = """\
model: {model}
features: [vowels.jsonl]
layers: all
k: 1:2
ridge: 0.05
sampling: {{ratio: 0.4, limit: 120, skip_first: 1, test_size: 0.3}}
"""


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def place(tmp_path, model) -> Path:
    """A folder with a study and its texts: words that begin with a vowel are positive."""
    rng = np.random.default_rng(0)
    words = [word for line in LINES for word in line.split()]
    with (tmp_path / "vowels.jsonl").open("w", encoding="utf-8") as stream:
        for number in range(24):
            text, spans = "", []
            for word in rng.choice(words, 9):
                if word[0] in "aeiouAEIOU":
                    spans.append([len(text), len(text) + len(word)])
                text += word + " "
            entry = {"text": text.strip(), "spans": spans, "document": f"d{number // 2}"}
            stream.write(json.dumps(entry) + "\n")
    (tmp_path / "study.yaml").write_text(STUDY.format(model=model), encoding="utf-8")
    return tmp_path


def changed(place: Path, before: str, after: str) -> Path:
    path = place / "study.yaml"
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after), encoding="utf-8")
    return path


def files(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith("table")
    }


def test_every_probe_is_the_best_there_is_and_its_proof_holds(place):
    study = read_study(place / "study.yaml")
    outcome = run_study(study, place / "out")
    assert outcome.solved
    assert outcome.left == 0
    assert [record["layer"] for record in outcome.records] == [0, 1]
    store = Store.open(place / "out" / "activations" / "vowels")
    dataset, feature = load_feature(study.features[0])
    rows = feature_rows(feature, dataset, store.rows, study.sampling)
    assert not set(rows.documents[rows.test]) & set(rows.documents[rows.keep & ~rows.test])
    for record in outcome.records:
        site = f"blocks.{record['layer']}.mlp.hook_post"
        problem = layer_problem(store, site, rows, study)
        assert record["data"] == problem.data.digest
        X = np.array(store.array([site])[np.flatnonzero(rows.keep)])
        for probe in record["probes"]:
            best = brute_force(problem.with_k(probe["k"]))
            assert probe["certified"]
            assert probe["objective"] == pytest.approx(best.value, rel=1e-4)
            assert probe["lower"] <= best.value * (1 + 1e-9)
            names = [f"L{record['layer']:02d}N{j}" for j in probe["support"]]
            assert probe["names"] == names
            verdict = verify(
                place / "out" / probe["certificate"],
                X,
                rows.labels[rows.keep],
                test=rows.test[rows.keep],
            )
            assert verdict.valid


def test_verify_takes_the_store_and_the_study(place):
    out, study = place / "out", place / "study.yaml"
    outcome = run_study(read_study(study), out)
    name = outcome.records[0]["feature"]
    store = out / "activations" / "vowels"
    with_study = [str(store), "--study", str(study), "--layer", "1"]
    proof = str(out / outcome.records[1]["probes"][1]["certificate"])

    def checked(*words: str) -> tuple[int, str]:
        found = CliRunner().invoke(app, ["verify", *words])
        return found.exit_code, " ".join(found.output.split())

    code, said = checked(proof, *with_study)
    assert code == 0
    assert "Certified" in said
    assert checked(proof, *with_study, "--feature", name)[0] == 0
    for words, why in (
        ([str(store)], "pass the study that was run on it"),
        ([*with_study, "--feature", "vowels/none"], f"it has {name}"),
        ([*with_study[:-2]], "has several layers: pass one of 0, 1"),
        ([*with_study[:-1], "7"], "has no layer 7; it has 0, 1"),
        ([*with_study, "--test", str(study)], "--test is for activation files"),
        ([str(study), "--layer", "1"], "--layer is for stores"),
    ):
        code, said = checked(proof, *words)
        assert code == 2, said
        assert why in said
    for number, words in ((0, with_study), (1, [*with_study[:-1], "0"])):
        other = str(out / outcome.records[number]["probes"][1]["certificate"])
        code, said = checked(other, *words)
        assert code == 1
        assert "SHA-256 differs" in said
    changed(place, "test_size: 0.3", "test_size: 0.3, seed: 1")
    assert checked(proof, *with_study)[0] == 1
    texts = place / "vowels.jsonl"
    texts.write_text("".join(texts.read_text("utf-8").splitlines(keepends=True)[2:]), "utf-8")
    code, said = checked(proof, *with_study)
    assert code == 2
    assert "holds activations of other texts than vowels" in said


def test_what_is_there_is_not_done_again(place, monkeypatch):
    out, study = place / "out", read_study(place / "study.yaml")
    first = run_study(study, out)
    before = files(out)
    monkeypatch.setattr(runner, "get_door", None)  # no model is opened
    again = run_study(study, out)
    assert files(out) == before
    assert again.records == first.records
    lost = out / "results" / "user" / "vowels.L1.json"
    lost.unlink()
    third = run_study(study, out)
    after = files(out)
    here = "results/user/vowels.L"
    assert after[f"{here}0.json"] == before[f"{here}0.json"]
    assert after[f"{here}1.json"] != before[f"{here}1.json"]
    for one, other in zip(third.records, first.records, strict=True):
        for a, b in zip(one["probes"], other["probes"], strict=True):
            assert (a["support"], a["objective"]) == (b["support"], b["objective"])


def test_a_capture_that_was_killed_before_its_first_shard_is_made_again(place):
    out, study = place / "out", read_study(place / "study.yaml")
    first = run_study(study, out)
    store = out / "activations" / "vowels"
    before = {path.name: path.read_bytes() for path in store.iterdir()}
    for path in store.iterdir():
        if path.name != "manifest.json":
            path.unlink()
    assert run_study(study, out).records == first.records
    assert {path.name: path.read_bytes() for path in store.iterdir()} == before


def test_features_may_be_added_but_studies_are_not_mixed(place):
    out = place / "out"
    run_study(read_study(place / "study.yaml"), out)
    before = files(out)
    (place / "again.jsonl").write_text((place / "vowels.jsonl").read_text())
    outcome = run_study(read_study(changed(place, "[vow", "[again.jsonl, vow")), out)
    names = [record["feature"] for record in outcome.records]
    assert names == ["user/again", "user/again", "user/vowels", "user/vowels"]
    assert before.items() <= files(out).items()
    for before, after, named in (
        ("ridge: 0.05", "ridge: 0.1", "ridge: 0.05 there, 0.1 now"),
        ("ridge: 0.1", "ridge: 0.05\ndtype: float32", "dtype"),
    ):
        with pytest.raises(ValueError, match=f"holds a study with another .*{named}"):
            run_study(read_study(changed(place, before, after)), out)


def test_other_texts_are_refused(place):
    out, study = place / "out", read_study(place / "study.yaml")
    run_study(study, out)
    lines = (place / "vowels.jsonl").read_text().splitlines()
    (place / "vowels.jsonl").write_text("\n".join(lines[:-1]))
    with pytest.raises(ValueError, match="activations of other texts than vowels has now"):
        run_study(study, out)


def test_two_data_sets_of_one_name_are_not_taken_for_each_other(place, monkeypatch):
    def load(name, folder):
        dataset, feature = load_feature(name, folder)
        if name.endswith("again.jsonl"):
            dataset = replace(dataset, name="vowels", texts=dataset.texts[::-1])
        return dataset, feature

    (place / "again.jsonl").write_text((place / "vowels.jsonl").read_text())
    monkeypatch.setattr(runner, "load_feature", load)
    study = read_study(changed(place, "[vow", "[again.jsonl, vow"))
    with pytest.raises(ValueError, match="holds activations of other texts than vowels has now"):
        run_study(study, place / "out")


def test_a_budget_ends_a_run_and_the_next_one_goes_on(place):
    out = place / "out"
    path = changed(place, "k: 1:2", "k: 1:2\nbudget: {seconds: 1e-9}")
    outcome = run_study(read_study(path), out)
    assert (outcome.left, outcome.records, outcome.solved) == (2, [], False)
    assert pq.read_table(out / "table.parquet").num_rows == 0
    outcome = run_study(read_study(changed(place, "{seconds: 1e-9}", "{seconds: null}")), out)
    assert (outcome.left, len(outcome.records), outcome.solved) == (0, 2, True)


def test_an_interrupted_probe_ends_the_run_and_is_done_again(place, monkeypatch):
    study, out, real = read_study(place / "study.yaml"), place / "out", runner.probe

    def interrupted(*arguments):
        record = real(*arguments)
        return record | {"interrupted": True, "probes": record["probes"][:1]}

    monkeypatch.setattr(runner, "probe", interrupted)
    outcome = run_study(study, out)
    assert (outcome.left, len(outcome.records), outcome.solved) == (2, 1, False)
    assert len(pq.read_table(out / "table.parquet")) == 1
    monkeypatch.setattr(runner, "probe", real)
    outcome = run_study(study, out)
    assert outcome.solved
    assert [len(record["probes"]) for record in outcome.records] == [2, 2]


@pytest.mark.parametrize(
    ("had", "now", "done"),
    [
        (5.0, 5.0, True),
        (5.0, 6.0, False),
        (5.0, None, False),
        (None, None, True),
        (None, 9.0, True),
    ],
)
def test_more_seconds_reopen_what_a_limit_ended(had, now, done):
    record = {
        "interrupted": False,
        "seconds_per_k": had,
        "probes": [{"certified": True}, {"certified": False}],
    }
    budget = Budget(seconds_per_k=now)
    assert not solved([record])
    assert settled(record, True, budget) == done
    assert settled(record, False, budget)  # a heuristic certifies nothing
    record["probes"][1]["certified"] = True
    assert settled(record, True, budget)
    assert not settled(record | {"interrupted": True}, True, budget)
    assert not settled(None, True, budget)


def test_a_heuristic_needs_no_certificate(place):
    path = changed(place, "k: 1:2", "k: 1:2\nmethod: greedy")
    outcome = run_study(read_study(path), place / "out")
    assert outcome.solved
    probe = outcome.records[0]["probes"][1]
    assert (probe["certified"], probe["gap"], probe["certificate"]) == (False, None, None)
    assert not (place / "out" / "certificates").exists()
    assert "| greedy |" in (place / "out" / "table.md").read_text()


def test_a_probe_among_candidates_says_so(place):
    path = changed(place, "k: 1:2", "k: 1:2\ncandidates: 5")
    outcome = run_study(read_study(path), place / "out")
    assert outcome.records[0]["probes"][0]["scope"] == "these candidates"
    assert "certified among candidates" in (place / "out" / "table.md").read_text()


def test_the_table_holds_every_probe(place):
    outcome = run_study(read_study(place / "study.yaml"), place / "out")
    table = pq.read_table(place / "out" / "table.parquet").to_pylist()
    assert [(row["layer"], row["k"]) for row in table] == [(0, 1), (0, 2), (1, 1), (1, 2)]
    probe = outcome.records[1]["probes"][0]
    assert table[2]["objective"] == probe["objective"]
    assert table[2]["test_f1"] == probe["test"]["f1"]
    assert table[2]["names"] == " ".join(probe["names"])
    lines = (place / "out" / "table.md").read_text().splitlines()
    assert len(lines) == 6
    assert len({line.count("|") for line in lines}) == 1


def test_a_feature_without_a_class_is_named(place):
    text = (place / "vowels.jsonl").read_text().splitlines()
    empty = [json.dumps({**json.loads(line), "spans": []}) for line in text]
    (place / "vowels.jsonl").write_text("\n".join(empty))
    with pytest.raises(ValueError, match="user/vowels: the feature has no positive row"):
        run_study(read_study(place / "study.yaml"), place / "out")


def test_damaged_results_are_named(place):
    study, out = read_study(place / "study.yaml"), place / "out"
    run_study(study, out)
    path = out / "results" / "user" / "vowels.L0.json"
    path.write_text(path.read_text()[:100])
    with pytest.raises(ValueError, match=r"vowels\.L0\.json is no result of this study"):
        run_study(study, out)


def invoke(*arguments: object):
    return CliRunner().invoke(app, [str(part) for part in arguments])


def test_the_command_prints_and_writes_the_table(place):
    result = invoke("run", place / "study.yaml", "--out", place / "out")
    assert result.exit_code == 0, result.output
    assert result.stdout.count("certified") == 4
    assert "user/vowels" in result.stdout
    study = changed(place, "k: 1:2", "k: 1:2\nbudget: {seconds: 1e-9}")
    result = invoke("run", study, "--out", place / "other")
    assert result.exit_code == 3
    assert "2 layers are left" in result.stdout


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("ridge: 0.05", "ridge: -1", "line 5: ridge is -1"),
        ("layers: all", "layers: [0, 7]", "has 2 layers"),
        ("layers: all", "hook: 'blocks.{l}.mlp.hook_pots'", "hook_pos"),
        ("[vowels.jsonl]", "[none.csv]", "none.csv"),
        ("[vowels.jsonl]", "[pos/NOUN]", "the texts of 'pos' are not here"),
    ],
)
def test_bad_input_is_one_sentence(place, before, after, expected):
    result = invoke("run", changed(place, before, after), "--out", place / "out")
    assert result.exit_code == 2
    assert expected in result.stderr
    assert result.stderr.count("\n") == 1


def test_evidence_on_a_neuron_of_a_study(place, model):
    outcome = run_study(read_study(place / "study.yaml"), place / "out")
    (column,) = outcome.records[1]["probes"][0]["support"]
    arguments = (
        "evidence", place / "out" / "activations" / "vowels", place / "vowels.jsonl",
        "--model", model, "--out", place / "shown",
    )  # fmt: skip
    result = invoke(*arguments, "--neuron", f"L01N{column}", "--top", 3)
    assert result.exit_code == 0, result.output
    record = json.loads((place / "shown" / f"L01N{column}" / "evidence.json").read_text())
    assert record["feature"] == "user/vowels"
    assert len(record["effects"]) == 4
    store = Store.open(place / "out" / "activations" / "vowels")
    values = np.array(store.array(["blocks.1.mlp.hook_post"])[:, column : column + 1])
    assert record["top"][0]["activation"] == values.max()
    for wrong, expected in (("L5N0", "blocks.5"), ("L1N99", "neurons 0 to 23"), ("N1", "such as")):
        result = invoke(*arguments, "--neuron", wrong)
        assert result.exit_code == 2
        assert expected in result.stderr


def test_positions_that_are_skipped_are_the_feature_s_unless_the_study_says():
    """position/first would have no positive row if its five first tokens were skipped."""
    texts, facts = tokens(*[("a", "b", "c", "d", "e", "f", "g", "h")] * 12)
    documents = tuple(f"document {i}" for i in range(len(texts)))
    dataset, feature = load_feature(
        "position/first", dataset=Dataset("texts", texts, documents, "here", "none")
    )
    rows = feature_rows(feature, dataset, facts, Sampling())
    assert facts.position[rows.keep].min() == 0
    with pytest.raises(ValueError, match="position/first"):
        feature_rows(feature, dataset, facts, Sampling(skip_first=5))
    with pytest.raises(ValueError, match="position/first"):
        feature_rows(replace(feature, skip_first=5), dataset, facts, Sampling())
