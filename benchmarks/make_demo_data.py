"""Cut a captured activation file down to the packaged one: python make_demo_data.py SOURCE TARGET.

Keeps what a problem needs (X, y, names, doc, test) and says where it came from; drops the rest.
SOURCE is an .npz with X [n, d], y in {-1, +1}, names [d], doc [n] and test [n], a document split.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

MODEL = "SmolLM2-135M-Instruct (Apache-2.0)"
HOOK = "blocks.{layer}.mlp.hook_post"  # the input of down_proj
TEXT = "Universal Dependencies: English-EWT, French-GSD, German-GSD, Spanish-GSD"
LICENCE = "CC BY-SA 4.0"


def cut(source: Path, target: Path) -> None:
    """Write the packaged file; ValueError if the source is not what the package promises."""
    with np.load(source, allow_pickle=False) as held:
        X = held["X"].astype(np.float16)
        doc = np.unique(held["doc"], return_inverse=True)[1].astype(np.int32)
        test = held["test"].astype(bool)
        arrays = {
            "X": X,
            "y": held["y"].astype(np.int8),
            "names": held["names"].astype(str),
            "doc": doc,
            "test": test,
            "model": np.array(MODEL),
            "hook": np.array(HOOK.format(layer=int(held["layer"]))),
            "feature": np.array(str(held["feature"])),
            "aggregation": np.array(f"{held['aggregation']} over 32 tokens"),
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
