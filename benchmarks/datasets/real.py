"""Activations of a language model: the packaged ones or a file, see optprobe.bench.instances."""

from __future__ import annotations

from pathlib import Path

from benchopt import BaseDataset

from optprobe.bench.instances import Real


class Dataset(BaseDataset):
    """One probing task; `file` is "demo" or the path of a .npz or .safetensors file."""

    name = "real"
    parameters = {"file": ["demo"], "seed": [0]}  # noqa: RUF012

    def get_data(self) -> dict:
        """The rows of the file."""
        source = Real.of(None if self.file == "demo" else Path(self.file))
        return {
            "activations": source.activations(self.seed),
            "weights": source.weights,
            "seed": self.seed,
        }
