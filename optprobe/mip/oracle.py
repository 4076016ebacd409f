"""What a backend asks for cuts: supports and points in the columns and units of the master."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int

from optprobe.mip.backends.base import BackendError, Cut, Evaluation
from optprobe.mip.cuts import scaled
from optprobe.mip.root import Root

Array = np.ndarray


class RootOracle:
    """Cuts over the free columns, t counted from `floor` in units of `scale`.

    What it evaluates becomes the root's incumbent where it is better.
    """

    def __init__(self, root: Root, floor: float, scale: float, *, tighten: bool) -> None:
        self.root, self.floor, self.scale, self.tighten = root, floor, scale, tighten
        self.forced, self.free = np.flatnonzero(root.forced), np.flatnonzero(root.free)

    def row(self, cut: Cut) -> Cut:
        """A cut of the pool in the master's terms."""
        return scaled(cut, self.floor, self.scale, self.forced, self.free, tighten=self.tighten)

    def local(self, support: Int[Array, "s"]) -> Int[Array, "s"]:
        """A support in the master's columns (those that it lacks left out)."""
        return np.flatnonzero(np.isin(self.free, support))

    def at_support(self, support: Int[Array, "s"]) -> Evaluation:
        """Fit the support together with the forced columns.

        Raises:
            BackendError: the solver asks for more columns than a support may have.
        """
        if len(support) > self.root.remaining:
            raise BackendError(
                f"the solver holds a point with {len(support)} columns, more than the "
                f"{self.root.remaining} it may choose; its answer cannot be trusted"
            )
        fit = self.root.offer(np.union1d(self.forced, self.free[support]))
        return Evaluation(self.row(fit.cut), (fit.objective - self.floor) / self.scale)

    def at_fraction(self, s: Float64[Array, "p"]) -> Cut:
        """Cut at s, the forced columns at 1."""
        whole = np.zeros(len(self.root.free))
        whole[self.forced], whole[self.free] = 1.0, s
        return self.row(self.root.pool.at_fraction(whole))
