"""Where texts and labels come from: folders, packages and the hub."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from feature_texts import dataset_of

from optprobe.activations.rows import RowFacts
from optprobe.features import (
    COLLECTIONS,
    get_collection,
    load_feature,
)
from optprobe.features.counting import count, word_rows
from optprobe.features.text_labels import join

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
