"""HiGHS, in one of two schemes.

It takes no cuts inside its own tree. Where cuts at integer points are enough, its trees are run
one after another (`multi_tree.py`); where the root gap is wide that stalls, and our own tree runs
on its linear solver (`branch_and_cut/`), with cuts at fractional points as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Literal

import numpy as np
from jaxtyping import Int

from optprobe.mip.backends.base import (
    Availability,
    Capability,
    Master,
    MipResult,
    NotInstalledError,
    Oracle,
    Progress,
)
from optprobe.mip.branch_and_cut import branch_and_cut
from optprobe.mip.multi_tree import MultiTree
from optprobe.result import Limits

Array = np.ndarray
Scheme = Literal["multi_tree", "branch_and_cut"]

HOW = 'pip install "highspy>=1.15.1"'

COMMON = Capability.MIP_START | Capability.INTERRUPT | Capability.NODE_LIMIT
LAZY = Capability.LAZY_INTEGER | Capability.LAZY_FRACTIONAL


def _highspy() -> ModuleType:
    """The solver's package, imported on first use."""
    try:
        import highspy
    except ImportError as error:
        raise NotInstalledError(f"the backend 'highs' needs highspy: {HOW}") from error
    return highspy


@dataclass(frozen=True)
class Highs:
    """HiGHS behind the backend protocol.

    Attributes:
        scheme: which one runs; None chooses by the master: "branch_and_cut" where it asks for cuts
            at fractional points, else "multi_tree".
    """

    scheme: Scheme | None = None
    name: str = "highs"

    @property
    def capabilities(self) -> Capability:
        """Of the scheme; only what both have is common to the choice, but for its cuts."""
        if self.scheme == "multi_tree":
            return COMMON
        if self.scheme == "branch_and_cut":
            return COMMON | LAZY | Capability.MEMORY_LIMIT
        return COMMON | LAZY

    def check(self) -> None:
        """Raise NotInstalledError if highspy is missing."""
        _highspy()

    def available(self) -> Availability:
        """Installed or not; HiGHS needs no licence."""
        version, reason = "", ""
        try:
            version = _highspy().Highs().version()
        except NotInstalledError:
            reason = "not installed"
        return Availability(
            self.name, not reason, reason, version, "MIT, none needed", "none", HOW,
            self.capabilities,
        )  # fmt: skip

    def solve(
        self,
        master: Master,
        oracle: Oracle,
        *,
        mip_start: Int[Array, "s"],
        limits: Limits,
        seed: int,
        threads: int,
        stop: Callable[[float], bool],
        on_progress: Callable[[Progress], None],
    ) -> MipResult:
        """Branch and cut or one tree after another, see the module."""
        highspy = _highspy()
        scheme = self.scheme or ("branch_and_cut" if master.fractional else "multi_tree")
        if scheme == "branch_and_cut":
            return branch_and_cut(
                highspy, master, oracle, mip_start=mip_start, limits=limits, seed=seed,
                threads=threads, stop=stop, on_progress=on_progress,
            )  # fmt: skip
        trees = MultiTree(
            highspy, master, oracle, mip_start=mip_start, seed=seed, threads=threads, stop=stop,
            on_progress=on_progress,
        )  # fmt: skip
        return trees.solve(limits)


BACKEND = Highs()
