"""Cut a captured activation file down to the packaged one: python make_demo_data.py SOURCE TARGET.

Keeps whole documents, drawn in a fixed random order, up to ROWS tokens, and what a problem needs of
them (X, y, names, token, doc, test), and says where it came from.
SOURCE is an .npz with X [n, d], y in {-1, +1}, names [d], token [n], doc [n] and test [n], a split
by document.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

ROWS = 2700
SEED = 4  # of 0..7 the one with the most positives on the smaller side of the split
MODEL = "SmolLM2-135M-Instruct (Apache-2.0), Q4_1 weights dequantised to float32"
HOOK = "blocks.{layer}.mlp.hook_post"  # the input of down_proj
TEXT = "Universal Dependencies: English-EWT"
LICENCE = "CC BY-SA 4.0"


def kept_rows(doc: np.ndarray) -> np.ndarray:
    """Row numbers of documents in random order, each taken if it still fits into ROWS."""
    kept = np.zeros(len(doc), bool)
    for one in np.random.default_rng(SEED).permutation(np.unique(doc)):
        rows = doc == one
        if kept.sum() + rows.sum() <= ROWS:
            kept |= rows
    return np.flatnonzero(kept)


def cut(source: Path, target: Path) -> None:
    """Write the packaged file; ValueError if the source is not what the package promises."""
    with np.load(source, allow_pickle=False) as held:
        rows = kept_rows(held["doc"])
        X = held["X"][rows].astype(np.float16)
        doc = np.unique(held["doc"][rows], return_inverse=True)[1].astype(np.int32)
        test = held["test"][rows].astype(bool)
        arrays = {
            "X": X,
            "y": held["y"][rows].astype(np.int8),
            "names": held["names"].astype(str),
            "token": held["token"][rows].astype(str),
            "doc": doc,
            "test": test,
            "model": np.array(MODEL),
            "hook": np.array(HOOK.format(layer=int(held["layer"]))),
            "feature": np.array(str(held["feature"])),
            "text": np.array(TEXT),
            "licence": np.array(LICENCE),
        }
    if not np.isfinite(X).all():
        raise ValueError(f"{source}: X is not finite in float16")
    if straddling := np.intersect1d(doc[test], doc[~test]).size:
        raise ValueError(f"{source}: {straddling} documents are on both sides of the split")
    np.savez_compressed(target, **arrays)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    cut(**vars(parser.parse_args()))
