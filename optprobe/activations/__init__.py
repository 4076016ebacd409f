"""Activations on disk: what a model computed on labelled text, row by row."""

from optprobe.activations.manifest import Manifest, text_digest
from optprobe.activations.rows import RowFacts
from optprobe.activations.store import Store
from optprobe.activations.writer import Writer

__all__ = ["Manifest", "RowFacts", "Store", "Writer", "text_digest"]
