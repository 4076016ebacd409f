"""The perspective (Boolean) relaxation of a batch of tree nodes.

    min over beta, b of  sum_i w_i l(m_i) + (lam/2) ||beta_S1||^2 + (lam/2) (||beta_F||_r^sp)^2

with ||.||_r^sp the r-support norm (Argyriou, Foygel, Srebro 2012); its dual is
max_a { sum w H(a) - g(S1) - top_r(g_F) }, the best bound a single dual point can give.

Accelerated proximal gradient with adaptive restart (Beck and Teboulle 2009; O'Donoghue and Candes
2015) on a working set of columns shared by the batch, so that every step is two matrix products;
Newton's method on the face of the norm (`face.py`); for the hinge an interior point
(`hinge_relaxation.py`) once the columns that matter are known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Float, Float64, Int

from optprobe.bounds import dual_points, stored_as, sum_of_largest
from optprobe.face import Face, newton_step
from optprobe.matrix import DesignMatrix
from optprobe.rows import Rows
from optprobe.support_norm import support_norm_prox, support_norm_squared
from optprobe.threads import in_threads

Array = np.ndarray

ACCURACY = 1e-6
"""Relative duality gap at which a relaxation is done."""

NEWTON = 3
"""Second-order steps of a node in a round, at most."""

ROUNDS, STEPS = 40, 10
"""At most ROUNDS evaluations in float64, STEPS proximal steps in float32 between two of them."""

PATIENCE = 8
"""Rounds without progress after which a node keeps the bound it has."""

TRACE = 1e-3
"""First coefficients below this share of the largest are left out."""

SPARE = 12
"""Columns in the working set beyond the r largest gains of a node."""

HINGE_MU = 0.05
"""First smoothing of the hinge, which costs up to 2 mu of the bound; it shrinks on the way."""

HINGE_ACCURACY = 5e-6
"""What the hinge's interior point reaches in one go."""

HINGE_LOOSE = 0.9
"""Share of what separates a hinge node from the cutoff that its bound may be off by."""

SIDE_BY_SIDE = 2**17
"""Bytes of a working set from which a hinge's nodes are worked in threads."""

GROWTH = 1.1
"""A hinge's working set is nearly complete once a round adds less than this to it."""


@dataclass(frozen=True)
class Nodes:
    """A batch of tree nodes over the columns of one matrix."""

    forced: Bool[Array, "batch d"]
    free: Bool[Array, "batch d"]
    remaining: Int[Array, "batch"]


@dataclass
class Relaxed:
    """Where the relaxation of each node stands: a primal point and the best dual point so far.

    The dual point is a(margins at (beta, intercept), mu), repaired; `beta` is rounded to float32
    before it is evaluated, so that a certificate may store it in four bytes without loss.

    Attributes:
        beta, intercept, mu: the coefficients whose dual point is the best so far.
        bound: its node bound; value, gain: its numbers (see `bounds.DualPoints`).
        primal: the smallest relaxed objective seen, an upper bound on the relaxation's value.
    """

    beta: Float64[Array, "batch d"]
    intercept: Float64[Array, "batch"]
    mu: Float64[Array, "batch"]
    bound: Float64[Array, "batch"]
    value: Float64[Array, "batch"]
    gain: Float64[Array, "batch d"]
    primal: Float64[Array, "batch"]


def relax(
    matrix: DesignMatrix,
    rows: Rows,
    nodes: Nodes,
    start: Float64[Array, "batch d"],
    start_intercept: Float64[Array, "batch"],
    cutoff: float,
    *,
    accuracy: float = ACCURACY,
    stop: Callable[[], bool] = lambda: False,
) -> Relaxed:
    """Bound every node of the batch, stopping early at those that pass the cutoff.

    Args:
        matrix: standardised columns, d of them.
        rows: labels, weights, loss and ridge.
        nodes: the batch.
        start, start_intercept: first coefficients, e.g. the parent's.
        cutoff: a node whose bound exceeds this is empty and needs no better bound; one whose
            relaxation lies far below it needs no tight one. Infinite: every node to `accuracy`.
        accuracy: relative duality gap of the relaxation at which a node is done.
        stop: asked between rounds; once it says so the bounds so far are returned.
    """
    smooth = bool(np.isfinite(rows.loss.lipschitz))
    accuracy = accuracy if smooth else max(accuracy, HINGE_ACCURACY)
    state = _State(matrix, rows, nodes, start, start_intercept)
    state.evaluate(np.arange(len(start)))
    live = state.unfinished(np.arange(len(start)), cutoff, accuracy)
    columns = 0
    # First-order steps find the columns of a hinge cheaply; a child has its parent's.
    searching = smooth or not start.any()
    for _ in range(ROUNDS):
        if not len(live) or stop():
            break
        searching = smooth or (searching and len(state.indices) > GROWTH * columns)
        columns = len(state.indices)
        if searching:
            state.descend(live)
            for node in live:
                state.newton(int(node))
        else:
            state.follow_paths(live, cutoff)
        state.evaluate(live)
        live = state.unfinished(live, cutoff, accuracy)
    return state.best


class _State:
    """The iterates of one batch: `descend` moves them, `evaluate` turns them into bounds."""

    def __init__(
        self, matrix: DesignMatrix, rows: Rows, nodes: Nodes, start: Array, intercept: Array
    ) -> None:
        batch, d = start.shape
        self.matrix, self.rows, self.nodes = matrix, rows, nodes
        usable = nodes.forced | (nodes.free & (nodes.remaining[:, None] > 0))
        # An interior point leaves traces of columns that its solution does not use.
        traces = np.abs(start) < TRACE * np.abs(start).max(axis=1, keepdims=True, initial=0.0)
        self.beta = np.where(usable & ~traces, start, 0.0)
        self.intercept = intercept.copy()
        self.mu = np.full(batch, HINGE_MU)
        self.own = np.zeros((batch, d), bool)
        self.working = np.zeros(d, bool)
        self.indices = np.empty(0, int)
        self.block = self.single = np.empty((0, 0))
        self.lipschitz = 0.0
        self.stalled = np.zeros(batch, int)
        low = np.full(batch, -np.inf)
        self.best = Relaxed(
            self.beta.copy(),
            self.intercept.copy(),
            self.mu.copy(),
            low,
            low.copy(),
            np.zeros((batch, d)),
            np.full(batch, np.inf),
        )

    def evaluate(self, live: Int[Array, "live"]) -> None:
        """Primal value and dual bound of the live nodes, in float64 over every column."""
        rows, nodes, best = self.rows, self.nodes, self.best
        stored = stored_as(rows.loss)
        beta = self.beta[live].astype(stored).astype(np.float64)
        intercept = self.intercept[live].astype(stored).astype(np.float64)
        used = np.flatnonzero(beta.any(axis=0))
        margin = (self.matrix.scores(used, beta[:, used]) + intercept[:, None]) * rows.y
        used_mu = self.mu[live]
        smooth = rows.loss.smoothed(used_mu[:, None])
        points = dual_points(self.matrix, smooth.dual(margin), rows.y, rows.w, rows.loss, rows.lam)
        forced, free, remaining = nodes.forced[live], nodes.free[live], nodes.remaining[live]
        penalty = np.sum(np.where(forced, beta * beta, 0.0), axis=1)
        penalty += support_norm_squared(beta, free, remaining)[0]
        primal = rows.loss.value(margin) @ rows.w + 0.5 * rows.lam * penalty
        best.primal[live] = np.minimum(best.primal[live], primal)
        free_gain = np.where(free, points.gain, 0.0)
        bound = points.value - np.sum(np.where(forced, points.gain, 0.0), axis=1)
        bound -= np.array(
            [sum_of_largest(g, int(r)) for g, r in zip(free_gain, remaining, strict=True)]
        )
        # Once the duality gap is mostly the smoothing's, smooth less.
        self.mu[live] *= np.where(primal - bound < 3.0 * self.mu[live], 0.3, 1.0)
        # Margins from a float32 matrix are off by its roundoff, which a(m) divides by 8 mu.
        self.mu = np.maximum(self.mu, 1e3 * self.matrix.roundoff)
        progress = bound - best.bound[live]
        self.stalled[live] = np.where(
            progress > 0.05 * (best.primal[live] - bound), 0, self.stalled[live] + 1
        )
        better = progress > 0.0
        rows_better = live[better]
        best.beta[rows_better] = beta[better]
        best.intercept[rows_better] = intercept[better]
        best.mu[rows_better] = used_mu[better]
        best.bound[rows_better] = bound[better]
        best.value[rows_better] = points.value[better]
        best.gain[rows_better] = points.gain[better]
        self._grow_working_set(live, points.gain, forced, free, remaining)

    def _grow_working_set(
        self, live: Array, gain: Array, forced: Array, free: Array, remaining: Array
    ) -> None:
        """Add every column that a live node uses or whose gain nearly reaches its r largest."""
        wanted = forced.any(axis=0) | (self.beta[live] != 0.0).any(axis=0)
        self.own[live] |= forced | (self.beta[live] != 0.0)
        for node, g, f, r in zip(live, gain, free, remaining, strict=True):
            members = np.flatnonzero(f)
            if r <= 0 or not len(members):
                continue
            count = min(len(members), int(r) + SPARE)
            top = members[np.argpartition(g[members], len(members) - count)[-count:]]
            wanted[top] = self.own[node, top] = True
        if (wanted & ~self.working).any():
            self.working |= wanted
            self.indices = np.flatnonzero(self.working)
            self.block = np.empty((len(self.indices) + 1, len(self.rows.y)))
            self.block[:-1], self.block[-1] = self.matrix.columns(self.indices), 1.0
            self.block *= self.rows.y
            self.single = np.empty((0, 0), np.float32)

    def descend(self, live: Int[Array, "live"]) -> None:
        """STEPS accelerated proximal steps of the live nodes on the working set, in float32."""
        rows, nodes = self.rows, self.nodes
        if not len(self.single):  # the working set has grown
            self.single = self.block.astype(np.float32)
            weighted = self.single * rows.w.astype(np.float32)
            self.lipschitz = _largest_eigenvalue(weighted @ self.single.T)
        smooth = rows.loss.smoothed(float(self.mu[live].min()))
        rate = np.float32(1.0 / (smooth.lipschitz * self.lipschitz))
        rho = rows.lam * float(rate)
        forced = nodes.forced[live][:, self.indices]
        free = nodes.free[live][:, self.indices]
        remaining = nodes.remaining[live]
        w = rows.w.astype(np.float32)
        last = np.concatenate(
            [self.beta[live][:, self.indices], self.intercept[live, None]], axis=1
        )
        last = last.astype(np.float32)
        ahead = last.copy()
        momentum = np.ones(len(live), np.float32)
        for _ in range(STEPS):
            with np.errstate(invalid="ignore"):  # some float32 kernels flag lanes past the array
                weighted = smooth.dual(ahead @ self.single) * w
                moved = ahead + rate * (weighted @ self.single.T)
            new = moved.copy()
            shrunk, _ = support_norm_prox(moved[:, :-1], free, remaining, rho)
            new[:, :-1] = np.where(forced, moved[:, :-1] / (1.0 + rho), shrunk)
            uphill = np.sum((ahead - new) * (new - last), axis=1) > 0.0
            momentum[uphill] = 1.0
            following = 0.5 * (1.0 + np.sqrt(1.0 + 4.0 * momentum * momentum))
            pull = ((momentum - 1.0) / following)[:, None]
            ahead = new + pull * (new - last)
            last, momentum = new, following
        if not np.isfinite(last).all():
            return
        full = np.zeros((len(live), self.beta.shape[1]))
        full[:, self.indices] = last[:, :-1]
        self.beta[live] = full
        self.intercept[live] = last[:, -1]

    def follow_paths(self, live: Int[Array, "live"], cutoff: float) -> None:
        """Follow the central path of every live node; side by side where that is much work."""
        work = partial(self.centre, cutoff=cutoff)
        if self.block.nbytes >= SIDE_BY_SIDE:
            in_threads(work, live.tolist())
        else:
            for node in live.tolist():
                work(node)

    def centre(self, node: int, cutoff: float) -> None:
        """Follow the hinge's central path over the node's columns in the working set."""
        from optprobe.hinge_relaxation import follow  # compiled loops take time to load

        forced = self.nodes.forced[node, self.indices]
        free = self.nodes.free[node, self.indices]
        mine = np.flatnonzero(self.own[node, self.indices] & (forced | free))
        remaining = int(self.nodes.remaining[node])
        block = self.block[np.append(mine, len(self.indices))]
        theta = np.append(self.beta[node, self.indices[mine]], self.intercept[node])
        alone = forced[mine] | (int(free[mine].sum()) <= remaining)  # their z is 1
        floor = 1e3 * self.matrix.roundoff
        found = follow(block, self.rows, alone, max(remaining, 1), theta, cutoff, floor)
        self.beta[node] = 0.0
        self.beta[node, self.indices[mine]] = found.theta[:-1]
        self.intercept[node], self.mu[node] = found.theta[-1], found.mu

    def newton(self, node: int) -> None:
        """Up to NEWTON second-order steps of one node, as long as they are taken in full."""
        for _ in range(NEWTON):
            if not self._newton_step(node):
                return

    def _newton_step(self, node: int) -> bool:
        """One step on the columns in use; True if it was taken in full."""
        face = self._face(node)
        smooth = self.rows.loss.smoothed(float(self.mu[node]))
        taken = newton_step(face, smooth, self.rows, partial(self._penalty, node, face))
        if taken is None:
            return False
        self.beta[node, self.indices[face.active]] = taken.point[:-1]
        self.intercept[node] = taken.point[-1]
        return taken.length == 1.0

    def _face(self, node: int) -> Face:
        """The face of the r-support norm that a node's iterate lies on."""
        lam = self.rows.lam
        forced = self.nodes.forced[node, self.indices]
        free = self.nodes.free[node, self.indices]
        beta = self.beta[node, self.indices]
        remaining = self.nodes.remaining[node : node + 1]
        _, q = support_norm_squared(beta[None], free[None], remaining)
        size = np.where(free, np.abs(beta), 0.0)
        shared = free & (beta != 0.0)
        if q[0] > 0:
            shared[np.argsort(-size, kind="stable")[: q[0]]] = False
        active = np.flatnonzero(forced | (beta != 0.0))
        return Face(
            active,
            self.block[np.append(active, len(self.indices))],
            np.append(beta[active], self.intercept[node]),
            np.append(np.where(shared, np.sign(beta), 0.0)[active], 0.0),
            np.append(np.where(shared, 0.0, lam)[active], 0.0),
            max(int(remaining[0]) - int(q[0]), 1),
        )

    def _penalty(self, node: int, face: Face, point: Float64[Array, "q"]) -> float:
        """(lam/2) (||beta_S1||^2 + (||beta_F||_r^sp)^2) at coefficients on the face's columns."""
        columns = self.indices[face.active]
        beta, remaining = point[:-1], self.nodes.remaining[node : node + 1]
        forced, free = self.nodes.forced[node, columns], self.nodes.free[node, columns]
        norm, _ = support_norm_squared(beta[None], free[None], remaining)
        return 0.5 * self.rows.lam * float(norm[0] + np.sum(beta[forced] ** 2))

    def unfinished(
        self, live: Int[Array, "live"], cutoff: float, accuracy: float
    ) -> Int[Array, "still"]:
        """The live nodes that a better dual point could still help."""
        best = self.best
        bound, primal = best.bound[live], best.primal[live]
        gap = primal - bound
        done = (
            (bound > cutoff) | (gap <= accuracy * np.abs(primal)) | (self.stalled[live] >= PATIENCE)
        )
        # The relaxation itself lies below the cutoff: a tight enough bound for fixing will do.
        if np.isfinite(cutoff):
            loose = 0.05 if np.isfinite(self.rows.loss.lipschitz) else HINGE_LOOSE
            done |= (primal < cutoff) & (gap <= loose * (cutoff - primal))
        return live[~done]


def _largest_eigenvalue(gram: Float[Array, "p p"]) -> float:
    """Power iteration, with a margin for what a few steps miss."""
    vector = np.ones(len(gram), gram.dtype)
    norm = 1.0
    for _ in range(20):
        vector = gram @ vector
        norm = float(np.linalg.norm(vector))
        vector /= norm
    return 1.05 * norm
