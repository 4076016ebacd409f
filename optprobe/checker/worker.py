"""A process that checks filtered leaves: python -m optprobe.checker.worker FOLDER

Reads the two files of FOLDER (`processes`), then line by line a leaf of the walk as JSON, and
answers what it covers, or why it is refused.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from optprobe.certificate import read
from optprobe.checker.columns import Columns
from optprobe.checker.data import Source
from optprobe.checker.duals import Rows
from optprobe.checker.form import RefusedError, check_arrays, claim_of
from optprobe.checker.leaves import Node, Tree, check_filtered
from optprobe.checker.processes import DATA, PROOF
from optprobe.checker.walk import tree_of

if TYPE_CHECKING:
    from typing import Any


def tree_in(folder: Path) -> Tree:
    """The tree, from Z, labels and weights in the order of `Columns`."""
    certificate = read(folder / PROOF)
    claim = claim_of(certificate)
    with np.load(folder / DATA, allow_pickle=False) as data:
        Z, w, y, positives = data["Z"], data["w"], data["y"], int(data["positives"])
    p, n = Z.shape
    every = np.arange(n)
    source = Source(Z.T, y, every, w, every < positives)
    columns = Columns(source, np.zeros(p), np.ones(p), np.arange(p))
    rows = Rows(w, y, positives, claim.loss, claim.lam)
    return tree_of(columns, rows, certificate.arrays, check_arrays(certificate, claim), claim)


def answer(question: dict[str, Any], tree: Tree) -> dict[str, Any]:
    """What a leaf covers, or why it is refused."""
    free = np.array(question["free"], np.int64)
    node = Node(question["number"], tuple(question["forced"]), free, question["remaining"])
    try:
        return {"number": node.number, **check_filtered(node, tree)._asdict()}
    except RefusedError as fault:
        return {"number": node.number, "refused": str(fault)}


def main() -> None:
    """Until no more is asked."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one that asks ends it
    tree = tree_in(Path(sys.argv[1]))
    with np.errstate(all="ignore"):
        for line in sys.stdin:
            sys.stdout.write(json.dumps(answer(json.loads(line), tree)) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
