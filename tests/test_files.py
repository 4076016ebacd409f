"""Activation files: what is read, what is mapped, what is refused and with which words."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from optprobe import files
from optprobe.files import InputError, read


def arrays(rows: int = 30, columns: int = 4) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    y = np.tile([1, -1, -1], rows)[:rows].astype(np.int8)
    X = (rng.standard_normal((rows, columns)) + y[:, None]).astype(np.float16)
    return {"X": X, "y": y}


def save(path: Path, content: dict[str, np.ndarray], compressed: bool = False) -> Path:
    """Write by suffix."""
    if path.suffix == ".safetensors":
        save_file({key: np.ascontiguousarray(value) for key, value in content.items()}, path)
    else:
        (np.savez_compressed if compressed else np.savez)(path, **content)
    return path


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("kind", ["npz", "compressed npz", "safetensors"])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_round_trip(tmp_path, monkeypatch, kind, dtype, mapped):
    if mapped:
        monkeypatch.setattr(files, "MAP_BYTES", 1)
    content = arrays()
    content["X"] = content["X"].astype(dtype)
    content["test"] = np.arange(30) >= 20
    content["groups"] = np.arange(30) // 10
    content["weights"] = np.linspace(0.5, 1.5, 30)
    path = tmp_path / ("a.safetensors" if kind == "safetensors" else "a.npz")
    found = read(save(path, content, compressed="compressed" in kind))
    for key, value in content.items():
        held = getattr(found, key)
        assert held.dtype == value.dtype
        np.testing.assert_array_equal(held, value)
    assert isinstance(found.X, np.memmap) == (mapped and kind != "compressed npz")
    assert found.names is None


def test_columns_first_arrays_are_mapped_as_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAP_BYTES", 1)
    content = arrays()
    content["X"] = np.asfortranarray(content["X"])
    found = read(save(tmp_path / "a.npz", content))
    assert isinstance(found.X, np.memmap)
    np.testing.assert_array_equal(found.X, content["X"])


@pytest.mark.parametrize(
    "names", [np.array(["a", "b", "c", "d"]), np.array([b"a", b"b", b"c", b"d"])]
)
def test_names_become_strings(tmp_path, names):
    found = read(save(tmp_path / "a.npz", arrays() | {"names": names}))
    assert found.names == ("a", "b", "c", "d")


def test_safetensors_names_come_from_the_metadata(tmp_path):
    path = tmp_path / "a.safetensors"
    save_file(arrays(), path, metadata={"names": json.dumps(["a", "b", "c", "d"])})
    assert read(path).names == ("a", "b", "c", "d")


def test_bfloat16_widens_exactly(tmp_path):
    content = arrays()
    X = content["X"].astype(np.float32)
    bits = (X.view(np.uint32) >> 16).astype("<u2")
    header = {
        "X": {"dtype": "BF16", "shape": list(X.shape), "data_offsets": [0, bits.nbytes]},
        "y": {"dtype": "I8", "shape": [30], "data_offsets": [bits.nbytes, bits.nbytes + 30]},
    }
    text = json.dumps(header).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + bits.tobytes() + content["y"].tobytes())
    found = read(path)
    assert found.X.dtype == np.float32
    np.testing.assert_array_equal(found.X, (bits.astype(np.uint32) << 16).view(np.float32))


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_doc_serves_as_groups_unless_groups_are_given(tmp_path, suffix):
    doc, groups = np.arange(30) // 3, np.arange(30) // 5
    path = tmp_path / f"a{suffix}"
    np.testing.assert_array_equal(read(save(path, arrays() | {"doc": doc})).groups, doc)
    both = arrays() | {"doc": doc, "groups": groups}
    np.testing.assert_array_equal(read(save(path, both)).groups, groups)


def test_other_arrays_are_left_alone(tmp_path):
    objects = np.array([{"a": 1}, None], dtype=object)
    found = read(save(tmp_path / "a.npz", arrays() | {"notes": objects}))
    assert found.X.shape == (30, 4)


def test_labels_may_be_words(tmp_path):
    content = arrays()
    content["y"] = np.where(content["y"] > 0, "yes", "no")
    problem = read(save(tmp_path / "a.npz", content)).problem(k=2, lam=0.1)
    assert problem.data.labels == ("no", "yes")


def test_given_weights_reach_the_problem(tmp_path):
    weights = np.linspace(0.5, 1.5, 30)
    found = read(save(tmp_path / "a.npz", arrays() | {"weights": weights}))
    problem = found.problem(k=1, lam=0.1, weights="given")
    np.testing.assert_allclose(problem.weights, weights / weights.sum())
    assert found.problem(k=1, lam=0.1).data.weighting == "balanced"


@pytest.mark.parametrize(
    ("weights", "message"), [("given", "array 'weights' in the file"), ("even", "'even': choose")]
)
def test_weights_that_are_not_there_are_refused(tmp_path, weights, message):
    found = read(save(tmp_path / "a.npz", arrays()))
    with pytest.raises(InputError, match=message):
        found.problem(k=1, lam=0.1, weights=weights)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("missing", ["X", "y"])
def test_a_missing_array_is_named_with_those_that_are_there(tmp_path, suffix, missing):
    content = arrays() | {"token_id": np.arange(30)}
    del content[missing]
    with pytest.raises(InputError, match=rf"no array '{missing}'; it holds .*token_id"):
        read(save(tmp_path / f"a{suffix}", content))


@pytest.mark.parametrize("key", ["X", "y", "names"])
def test_object_arrays_are_never_unpickled(tmp_path, key):
    content = dict(arrays())
    content[key] = np.array([1, "a", None], dtype=object)
    with pytest.raises(InputError, match=f"{key!r} holds Python objects"):
        read(save(tmp_path / "a.npz", content))


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9])
def test_truncated_files_are_refused(tmp_path, suffix, keep):
    path = save(tmp_path / f"a{suffix}", arrays())
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(InputError, match="truncated or damaged"):
        read(path)


def test_flipped_bytes_are_noticed(tmp_path):
    path = save(tmp_path / "a.npz", arrays())
    content = bytearray(path.read_bytes())
    content[200] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(InputError, match="truncated or damaged"):
        read(path)


def test_neither_a_pickle_nor_text_passes_for_an_npz(tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(b"\x80\x04]\x94.")
    with pytest.raises(InputError, match="truncated or damaged"):
        read(path)


def test_names_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(InputError, match="one name a column"):
        read(save(tmp_path / "a.npz", arrays() | {"names": np.array([["a", "b"]])}))
    path = tmp_path / "a.safetensors"
    save_file(arrays(), path, metadata={"names": '"abcd"'})
    with pytest.raises(InputError, match="JSON list"):
        read(path)


def test_a_tensor_type_without_a_counterpart_is_refused(tmp_path):
    text = json.dumps({"X": {"dtype": "F8_E4M3", "shape": [2, 2], "data_offsets": [0, 4]}}).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(4))
    with pytest.raises(InputError, match="F16 or F32"):
        read(path)


def test_places_without_a_file_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read(tmp_path / "a.npz")
    with pytest.raises(InputError, match="is a folder"):
        read(tmp_path)
    (tmp_path / "a.csv").write_text("1,2\n")
    with pytest.raises(InputError, match=r"unknown suffix '\.csv'"):
        read(tmp_path / "a.csv")
