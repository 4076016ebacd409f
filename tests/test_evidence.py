"""Neuron evidence on tiny random models, against losses and logits computed by other means."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest

from optprobe.evidence import LanguageModel, Neuron, neuron_evidence, write_evidence
from optprobe.evidence.ablation import ablated, effects, next_token_losses
from optprobe.evidence.contexts import extremes
from optprobe.evidence.histogram import histogram
from optprobe.evidence.parts import parts
from optprobe.evidence.unembedding import promoted

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

WORDS, WIDTH, NEURONS = 23, 16, 24

SIZES = {
    "vocab_size": WORDS,
    "hidden_size": WIDTH,
    "intermediate_size": NEURONS,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "tie_word_embeddings": False,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 0,
}


def llama():
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES))


def gemma():
    return transformers.Gemma3ForCausalLM(
        transformers.Gemma3TextConfig(
            **SIZES, sliding_window=16, layer_types=["full_attention"] * 2
        )
    )


def gpt2():
    config = transformers.GPT2Config(
        vocab_size=WORDS, n_embd=WIDTH, n_inner=NEURONS, n_layer=2, n_head=2, n_positions=64,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    return transformers.GPT2LMHeadModel(config)


def neox():
    sizes = {key: SIZES[key] for key in list(SIZES)[:5]}
    return transformers.GPTNeoXForCausalLM(
        transformers.GPTNeoXConfig(**sizes, bos_token_id=0, eos_token_id=0)
    )


MODELS = {"llama": llama, "gemma": gemma, "gpt2": gpt2, "neox": neox}


def random_model(name: str):
    torch.manual_seed(0)
    model = MODELS[name]().eval()
    with torch.no_grad():  # gains and biases of norms that are not 1 and 0
        for part, value in model.named_parameters():
            if value.ndim == 1:
                value.add_(0.3 * torch.randn_like(value))
            elif "embed" not in part:
                value.mul_(5.0)
    return model


@pytest.fixture(params=MODELS)
def model(request):
    return random_model(request.param)


@pytest.fixture
def sequences():
    rng = np.random.default_rng(0)
    return [rng.integers(1, WORDS, size) for size in (7, 1, 12, 3)]


def loss_by_hand(model, ids):
    logits = model(input_ids=torch.tensor(ids)[None]).logits[0].double()
    logp = logits - torch.logsumexp(logits, -1, keepdim=True)
    return [-float(logp[i, ids[i + 1]]) for i in range(len(ids) - 1)]


def test_losses_are_those_of_every_text_alone(model, sequences):
    found = next_token_losses(model, sequences)
    for ids, losses in zip(sequences, found, strict=True):
        assert np.isnan(losses[-1])
        with torch.no_grad():
            np.testing.assert_allclose(losses[:-1], loss_by_hand(model, ids), atol=1e-4)


def test_ablation_is_the_model_with_other_weights(model, sequences):
    # An activation of 0 everywhere is a row of W_out that is 0 everywhere.
    found = parts(model, Neuron(1, 5))
    with ablated(found.projection, 5, 0.0):
        losses = next_token_losses(model, sequences)
    plain = next_token_losses(model, sequences)
    weight = found.projection.weight
    with torch.no_grad():
        (weight[5] if type(found.projection).__name__ == "Conv1D" else weight[:, 5]).zero_()
    expected = next_token_losses(model, sequences)
    for a, b, untouched in zip(losses, expected, plain, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
        if len(a) > 1:
            assert np.nanmax(np.abs(a - untouched)) > 1e-5
    assert not found.projection._forward_pre_hooks


def test_a_constant_is_what_the_layer_reads(model):
    found = parts(model, Neuron(0, 3))
    seen = []
    with ablated(found.projection, 3, 1.5):
        handle = found.projection.register_forward_pre_hook(
            lambda module, inputs: seen.append(inputs[0])
        )
        next_token_losses(model, [np.arange(1, 6)])
        handle.remove()
    assert (seen[0][..., 3] == 1.5).all()
    assert not (seen[0][..., 2] == 1.5).any()


def test_output_weights_change_logits_as_the_model_does(model):
    # With the final norm's input replaced by the direction alone, the head gives these logits.
    neuron = Neuron(1, 7)
    found = parts(model, neuron)
    high, low = promoted(found, str, count=WORDS)
    assert [entry.id for entry in high] == [entry.id for entry in low][::-1]
    norm = found.norms[-1]
    with torch.no_grad():
        stream = found.direction
        if len(found.norms) == 2:
            stream = found.norms[0](stream)
        logits = model.get_output_embeddings()(norm(stream)) - model.get_output_embeddings()(
            norm(torch.zeros(WIDTH))
        )
    for entry in high:
        assert entry.logit == pytest.approx(float(logits[entry.id]), abs=1e-4)
        assert entry.token == str(entry.id)
    assert high[0].logit == pytest.approx(float(logits.max()), abs=1e-4)


def test_the_norm_of_a_block_is_on_the_way():
    assert len(parts(random_model("gemma"), Neuron(0, 0)).norms) == 2
    assert len(parts(random_model("llama"), Neuron(0, 0)).norms) == 1


def test_neurons_that_do_not_exist_are_named(model):
    with pytest.raises(ValueError, match="L02N0: the model has layers 0 to 1"):
        parts(model, Neuron(2, 0))
    with pytest.raises(ValueError, match="L01N24: layer 1 has neurons 0 to 23"):
        parts(model, Neuron(1, 24))
    with pytest.raises(ValueError, match="not a neuron of an MLP"):
        Neuron.parse("blocks.1.hook_resid_post:3")
    assert Neuron.parse("L12N77") == Neuron(12, 77)
    assert Neuron(12, 77).site == "blocks.12.mlp.hook_post"


def test_standard_errors_are_over_documents():
    # Two rows that always agree are one observation.
    rng = np.random.default_rng(1)
    values = rng.standard_normal(40)
    base = np.zeros(80)
    labels, documents = np.ones(80, np.int8), np.repeat(np.arange(40), 2)
    losses = {"as it is": base, "zero": np.repeat(values, 2), "mean": base}
    zero, mean = effects(losses, labels, documents)
    assert (zero.ablation, zero.label, zero.rows, zero.documents) == ("zero", 1, 80, 40)
    assert zero.effect == pytest.approx(values.mean())
    assert zero.standard_error == pytest.approx(np.std(values, ddof=1) / np.sqrt(40))
    assert mean.effect == mean.standard_error == 0.0
    (alone, _) = effects(losses, labels, np.zeros(80))
    assert alone.standard_error is None


def test_rows_without_a_next_token_are_left_out():
    losses = {name: np.array([1.0, np.nan, 2.0]) for name in ("as it is", "zero", "mean")}
    losses["zero"] = losses["zero"] + 0.5
    found = effects(losses, np.array([1, 1, -1], np.int8), np.array(["a", "a", "b"]))
    assert [(one.label, one.rows, one.loss) for one in found[:2]] == [(1, 1, 1.0), (-1, 1, 2.0)]
    assert found[0].effect == 0.5


def test_a_histogram_counts_every_labelled_row_once():
    rng = np.random.default_rng(0)
    values, labels = rng.standard_normal(300), rng.integers(-1, 2, 300).astype(np.int8)
    found = histogram(values, labels, bins=9)
    assert found.positive.sum() == (labels == 1).sum()
    assert found.negative.sum() == (labels == -1).sum()
    assert found.edges[0] == values[labels != 0].min()
    with pytest.raises(ValueError, match="no positive row"):
        histogram(values, np.minimum(labels, 0))
    with pytest.raises(ValueError, match="one label a row"):
        histogram(values, labels[1:])


def facts(text, position, token, start, stop):
    return SimpleNamespace(
        text=np.array(text), position=np.array(position), token=np.array(token),
        start=np.array(start), stop=np.array(stop),
    )  # fmt: skip


def test_contexts_are_the_characters_around_the_extremes():
    texts = ["a bc def", "gh"]
    rows = facts([0, 0, 0, 1], [0, 1, 2, 0], [1, 2, 3, 4], [0, 1, 4, 0], [1, 4, 8, 2])
    values, labels = np.array([3.0, -1.0, 5.0, 0.0]), np.array([1, 0, -1, 1], np.int8)
    top, bottom = extremes(values, labels, rows, texts, count=2, width=3)
    assert [(one.before, one.token, one.after) for one in top] == [
        (" bc", " def", ""),
        ("", "a", " bc"),
    ]
    assert [(one.row, one.activation, one.label) for one in bottom] == [(1, -1.0, 0), (3, 0.0, 1)]


@pytest.fixture
def study():
    """A store in memory: letters as tokens, positions 2.. of six texts."""
    model = random_model("llama")
    rng = np.random.default_rng(3)
    texts = ["".join(rng.choice(list("abcdefghijklmnopqrst"), 9)) for _ in range(6)]
    places = [(text, at) for text in range(6) for at in range(2, 9)]
    text, at = np.array(places).T
    token = np.array([ord(texts[t][p]) - 96 for t, p in places])
    rows = facts(text, at, token, at, at + 1)
    seen = []
    projection = parts(model, Neuron(1, 4)).projection
    handle = projection.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        for one in texts:
            model(input_ids=torch.tensor([[ord(letter) - 96 for letter in one]]))
    handle.remove()
    values = np.array([float(seen[t][0, p, 4]) for t, p in places])
    labels = np.where(token < 8, 1, -1).astype(np.int8)
    language = LanguageModel(
        "tiny",
        model,
        lambda words: np.array([ord(letter) - 96 for letter in words]),
        lambda number: chr(number + 96),
    )
    return language, values, labels, rows, texts, [f"d{t // 2}" for t in range(6)]


def test_evidence_of_one_neuron_is_written_whole(study, tmp_path):
    model, values, labels, rows, texts, documents = study
    found = neuron_evidence(
        model, Neuron(1, 4), "letters/early", values, labels, rows, texts, documents, count=3
    )
    write_evidence(tmp_path / "out", found)
    record = json.loads((tmp_path / "out" / "evidence.json").read_text())
    assert (record["neuron"], record["site"]) == ("L01N4", "blocks.1.mlp.hook_post")
    assert record["top"][0]["activation"] == values.max()
    assert len(record["bottom"]) == len(record["promotes"]) == 3
    table = pq.read_table(tmp_path / "out" / "rows.parquet").to_pydict()
    assert table["activation"] == values.tolist()
    last = np.array(table["position"]) == 8
    assert [value is None for value in table["loss"]] == last.tolist()
    ids = model.encode(texts[4])
    with torch.no_grad():
        expected = loss_by_hand(model.module, ids)[2:]
    own = [loss for loss, text in zip(table["loss"], table["text"], strict=True) if text == 4]
    np.testing.assert_allclose(own[:-1], expected, atol=1e-4)
    positive = [effect for effect in record["effects"] if effect["label"] == 1]
    assert [effect["ablation"] for effect in positive] == ["zero", "mean"]
    differences = [
        zero - loss
        for zero, loss, label in zip(table["loss_zero"], table["loss"], table["label"], strict=True)
        if label == 1 and loss is not None
    ]
    assert positive[0]["effect"] == pytest.approx(np.mean(differences))
    assert (tmp_path / "out" / "evidence.png").read_bytes().startswith(b"\x89PNG")
    assert not list((tmp_path / "out").glob("*.partial"))


def test_other_texts_than_those_captured_are_refused(study):
    model, values, labels, rows, texts, documents = study
    with pytest.raises(ValueError, match="text 2 has other tokens under tiny"):
        neuron_evidence(
            model, Neuron(1, 4), "f", values, labels, rows,
            [*texts[:2], texts[2][::-1], *texts[3:]], documents,
        )  # fmt: skip


def test_only_so_many_texts_are_run(study):
    model, values, labels, rows, texts, documents = study
    found = neuron_evidence(
        model, Neuron(1, 4), "f", values, labels, rows, texts, documents, ablated_texts=2
    )
    run = np.isfinite(found.losses["zero"])
    assert len(np.unique(rows.text[run])) == 2


def test_whole_texts_have_no_next_token(study, tmp_path):
    model, values, labels, rows, texts, documents = study
    rows.position = np.full(len(values), -1)
    found = neuron_evidence(model, Neuron(1, 4), "f", values, labels, rows, texts, documents)
    assert (found.effects, found.losses) == ([], {})
    write_evidence(tmp_path, found)
    table = pq.read_table(tmp_path / "rows.parquet").to_pydict()
    assert table["loss"] == [None] * len(values)
