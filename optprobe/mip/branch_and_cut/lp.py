"""The master's linear relaxation, kept in one HiGHS object from node to node.

    min t  s.t.  t + g_i . s >= c_i  for the cuts held,   sum s <= k,   0 <= s <= 1,   t >= 0

with fixed columns at their value. Multipliers u >= 0 of the cuts, scaled to sum u = 1, combine
them:

    t >= sum_i u_i c_i - (sum_i u_i g_i) . s

is a cut as valid as its parts, whatever the simplex's tolerances. A node's bound and its fixings
are computed from that cut by hand; what HiGHS calls optimal is never believed.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

import numpy as np
from jaxtyping import Bool, Float64

from optprobe.mip.backends.base import BackendError, Cut, Master

Array = np.ndarray

ROWS = 250
"""Cuts held at most; past that those that have been slack for longest go."""

KEPT = 0.7
"""Share of ROWS that a purge leaves."""


@dataclass(frozen=True)
class LpPoint:
    """Where a relaxation ended: s, and the combined cut (None if no cut was tight)."""

    s: Float64[Array, "p"]
    cut: Cut | None


def combined(
    value: Float64[Array, "cuts"], gain: Float64[Array, "cuts p"], u: Float64[Array, "cuts"]
) -> Cut | None:
    """The convex combination of cuts with weights max(u, 0); None if all are 0."""
    u = np.maximum(u, 0.0)
    used = np.flatnonzero(u > 0.0)
    total = float(u.sum())
    if not total > 0.0:
        return None
    weight = u[used] / total
    # Rounding in `weight` may leave its sum at 1 - 1e-16: far below any tolerance used here.
    return Cut(float(weight @ value[used]), weight @ gain[used])


class MasterLp:
    """The relaxation with its cuts.

    Attributes:
        value, gain: the cuts held, in the order of the rows.
        solves: how often it was solved.
    """

    def __init__(self, highspy: ModuleType, master: Master, seed: int, threads: int) -> None:
        p, infinity = master.p, highspy.kHighsInf
        self.infinity, self.error = infinity, highspy.HighsStatus.kError
        self.value, self.gain = np.empty(0), np.empty((0, p))
        self.slack = np.empty(0, int)  # solves since the cut was last tight
        self.solves = 0
        highspy.Highs.resetGlobalScheduler(True)  # or it keeps the first thread count
        self.solver = highspy.Highs()
        self.solver.silent()
        options: dict[str, float | int | str] = {
            "presolve": "off",  # the basis of the node before is worth more
            "solver": "simplex",
            "primal_feasibility_tolerance": master.feasibility,
            "dual_feasibility_tolerance": master.feasibility,
            "random_seed": seed % 2**31,
            "threads": threads,
        }
        for option, value in options.items():
            self.solver.setOptionValue(option, value)
        self.columns = np.arange(p + 1, dtype=np.int32)
        cost, none = np.append(np.zeros(p), 1.0), np.zeros(p + 1, np.int32)
        top = np.append(np.ones(p), infinity)
        self.solver.addCols(p + 1, cost, np.zeros(p + 1), top, 0, none, none[:0], cost[:0])
        self.solver.addRow(-infinity, float(master.k), p, self.columns[:-1], np.ones(p))
        for value, gain in zip(master.value, master.gain, strict=True):
            self.add(Cut(float(value), gain))

    def add(self, cut: Cut) -> None:
        """The row t + gain . s >= value."""
        used = np.flatnonzero(cut.gain)
        index = np.append(self.columns[used], self.columns[-1])
        row = np.append(cut.gain[used], 1.0)
        self.solver.addRow(cut.value, self.infinity, len(index), index, row)
        self.value = np.append(self.value, cut.value)
        self.gain = np.vstack([self.gain, cut.gain])
        self.slack = np.append(self.slack, 0)

    def solve(self, forced: Bool[Array, "p"], free: Bool[Array, "p"], seconds: float) -> LpPoint:
        """Solve over a node's box, starting from the basis of the node before.

        Raises:
            BackendError: HiGHS refuses the model.
        """
        self._purge()
        p = len(free)
        self.solver.changeColsBounds(
            p, self.columns[:-1], forced.astype(float), (forced | free).astype(float)
        )
        self.solver.setOptionValue("time_limit", min(max(seconds, 0.0), 1e30))
        if self.solver.run() == self.error:
            raise BackendError("HiGHS could not solve the linear relaxation of the master")
        self.solves += 1
        found = self.solver.getSolution()
        s = np.clip(np.array(found.col_value)[:p], 0.0, 1.0)
        u = np.maximum(np.array(found.row_dual)[1:], 0.0)
        self.slack = np.where(u > 0.0, 0, self.slack + 1)
        return LpPoint(s, combined(self.value, self.gain, u))

    def _purge(self) -> None:
        """Drop the cuts that have been slack for longest once there are too many."""
        if len(self.value) <= ROWS:
            return
        order = np.argsort(self.slack, kind="stable")
        keep = np.sort(order[: int(KEPT * ROWS)])
        gone = np.setdiff1d(np.arange(len(order)), keep)
        self.solver.deleteRows(len(gone), (gone + 1).astype(np.int32))
        self.value, self.gain, self.slack = self.value[keep], self.gain[keep], self.slack[keep]
