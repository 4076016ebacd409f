"""The winsorised dual step: bounds on millions of supports around one dual point.

A node forces the columns S, leaves the columns F free and takes r more. A centre is any (beta, b);
a is its dual point, repaired so that sum w a y = 0 (y = 1 for targets). Every row has an omega and
a c (`damping`). Directions are the clipped free columns, made orthogonal to the intercept and to S:

    Omega = diag(w omega),   Z = clip(X, -kappa, kappa)
    B = [1, X_S],  Bc = [1, Z_S],  C = (B' Omega Bc)^-1 B' Omega Z_F,  G = Z_F - Bc C
    D0 = sum w H(a) - ||X_S' (w a y)||^2 / (2 lam),   v = X_F' (w a y)
    M = X_F' Omega G,   K = G' diag(w c) G,   h = G' Omega (y H'(a)),   L_j = max_i |G_ij|

Claim. For every T in F and every d with sum_{j in T} |d_j| L_j <= e, and every U within S + T,

    P(U) >= D0 - [ ||v_T - M_TT d||^2 / (2 lam) + d' K_TT d / 2 + h_T' d ]

Proof. Let s_i = G_i . d, so |s_i| <= e, and delta_i = -omega_i y_i s_i. Then a + delta is a dual
point: it lies in the box by the choice of omega, and sum w delta y = -1' Omega G d = 0. In
P(U) >= sum w H(a + delta) - ||X_U' (w (a + delta) y)||^2 / (2 lam) the sum over U is at most that
over S + T; X_S' (w delta y) = -X_S' Omega G d = 0 and X_T' (w delta y) = -M_TT d; and
H(a + delta) >= H(a) + H'(a) delta - c s^2 / 2, sum w H'(a) delta = -h' d, sum w c s^2 = d' K d.

Where few rows can move, clipped columns of S may repeat the intercept on all of them; no C is exact
then. With q_k = max_j |B_k' Omega G_j| / L_j the condition is off by rho = e q_0 at most. To repair
it moves every v_j by rho max |x_ij| and lowers the entropy by 64 rho at most (sum w |y| rho for
squared error), and X_s' (w delta y) is e q_s at most instead of 0: D0 is charged for all of it.

The centre need not be stationary. One that has an offset, coefficients on F, serves all T at once
best: at the fit on S alone the step to the fit on S + T is long. Any d is valid; the one taken
solves (M_TT + lam diag(K_jj / M_jj)) d = v_T - lam h_T / M_jj, scaled into reach. Without the clip
a few heavy rows would leave no room to move. For squared error without a clip, K = M, and the
bracket at the fit on S is least at this d: only rounding and the ridge on S are lost.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from optprobe.bounds import repair_intercept
from optprobe.engine.damping import REACH, limits, moves
from optprobe.losses import Logistic
from optprobe.matrix.resident import Block, Resident
from optprobe.rows import Rows
from optprobe.threads import in_threads, workers

Array = np.ndarray

DEAD = 1e-3
"""A direction that is shorter than this times kappa is left out: its column nearly repeats S."""

FLAT = 1e-12
"""So is one with M_jj less than this times kappa^2 sum w omega: its sign would be rounding's."""

MOST_ADDED = 6
"""Columns that a support of a filtered node adds, at most."""

SLICE = 256
"""Columns from which a product is split between processors."""


class Quadratic(NamedTuple):
    """What bounds every support of a node at one centre; names as above.

    `value` is D0 less a generous multiple of what the checker charges for rounding; `reach` is
    L REACH / e, so that for every loss sum |d_j| reach_j may be REACH; `mass` is sum w omega.
    """

    value: float
    v: Float64[Array, "f"]
    M: Float64[Array, "f f"]
    K: Float64[Array, "f f"]
    h: Float64[Array, "f"]
    reach: Float64[Array, "f"]
    mass: float


class Weightings(NamedTuple):
    """Weights of the rows in sums: w a y, w omega, w omega^2 c and w omega y H'(a)."""

    push: Float64[Array, "n"]
    move: Float64[Array, "n"]
    bend: Float64[Array, "n"]
    tilt: Float64[Array, "n"]


class Sums(NamedTuple):
    """The sums over the rows in a quadratic, and what their rounding goes by.

    `length` is L, `residual` what the function of that name says.
    """

    v: Float64[Array, "f"]
    M: Float64[Array, "f f"]
    K: Float64[Array, "f f"]
    h: Float64[Array, "f"]
    length: Float64[Array, "f"]
    residual: Float64[Array, "s1"]


class Sizes(NamedTuple):
    """The largest norm and the largest entry of some columns."""

    longest: float
    peak: float


class Around(NamedTuple):
    """What every quadratic of one centre shares: D0 before any allowance, e, the weights of the
    rows in sums, sum w omega, and kappa."""

    value: float
    reach: float
    given: Weightings
    mass: float
    clip: float


def around(
    forced: Float64[Array, "s n"],
    margin: Float64[Array, "n"],
    rows: Rows,
    reach: float | None = None,
    compiled: bool = False,
) -> Around:
    """The centre with these margins; arguments as for `quadratic`."""
    clip, usual = limits(rows)
    reach = usual if reach is None else reach
    if compiled and isinstance(rows.loss, Logistic):
        from optprobe.engine.logistic_rows import moved

        entropy, given = moved(margin, rows, reach)
    else:
        entropy, given = _moved(margin, rows, reach)
    value = entropy - float(np.sum((forced @ given.push) ** 2)) / (2 * rows.lam)
    return Around(value, reach, given, float(given.move.sum()), clip)


def _moved(margin: Float64[Array, "n"], rows: Rows, reach: float) -> tuple[float, Weightings]:
    """sum w H(a) and the weights of the rows at the repaired dual point of these margins."""
    w, y = rows.w, rows.y
    a = repair_intercept(rows.loss.dual(margin)[None], y, w, rows.loss)[0]
    omega, bend, slope = moves(rows.loss, a, reach)
    weight = w * omega
    given = Weightings(w * a * y, weight, w * bend, weight * y * slope)
    return float(rows.loss.conjugate(a) @ w), given


def quadratic(
    forced: Float64[Array, "s n"],
    free: Block,
    margin: Float64[Array, "n"],
    rows: Rows,
    reach: float | None = None,
    sizes: Sizes | None = None,
    compiled: bool = False,
) -> Quadratic:
    """The quadratic of the centre with these margins.

    Args:
        forced, free: columns of X, as they are; the free ones may be on a device.
        margin: y (x . beta + b) of the centre.
        rows: labels, weights, a loss of `damping.MOVED` and ridge.
        reach: e, by default that of `damping.limits`.
        sizes: of these columns and perhaps others, where they are known.
        compiled: whether to take compiled loops.
    """
    at = around(forced, margin, rows, reach, compiled)
    return quadratic_of(at, forced, free, rows, sizes or sizes_of(free, forced), compiled)


def quadratic_of(
    at: Around,
    forced: Float64[Array, "s n"],
    free: Block,
    rows: Rows,
    sizes: Sizes,
    compiled: bool = False,
) -> Quadratic:
    """The quadratic of a centre over some free columns."""
    if isinstance(free, Resident):
        from optprobe.engine.device import sums as on_device

        found = on_device.sums(forced, free, at.given, at.clip)
    elif compiled:
        from optprobe.engine import column_sums

        found = column_sums.sums(forced, free, at.given, at.clip)
    else:
        found = sums(forced, free, at.given, at.clip)
    length = found.length * (REACH / at.reach)
    noise = allowance(at, len(forced), rows, sizes, found.residual)
    return Quadratic(at.value - noise, found.v, found.M, found.K, found.h, length, at.mass)


def allowance(
    at: Around, forced: int, rows: Rows, sizes: Sizes, residual: Float64[Array, "s1"]
) -> float:
    """What D0 is charged for, beside so many forced columns.

    Each |x_j . u - M_T d| is at most `size`, computed to n u of it; squares over 2 lam follow. The
    residual of the intercept condition, n u e sum w omega at most, moves it by `peak` times.
    """
    reach, u, weight = at.reach, at.given.push, at.given.move
    longest, peak = sizes
    size = longest * (np.linalg.norm(u) + reach * np.linalg.norm(weight))
    worst = size * (size + reach * peak * at.mass) / rows.lam
    noise = (len(u) + 100) * 2.0**-53 * (8.0 * worst + 100.0 * rows.spread * rows.size)
    slip = reach * (residual[0] * peak + residual.max())
    noise += (forced + MOST_ADDED) * slip * (2.0 * size + slip) / (2.0 * rows.lam)
    return float(noise + 64.0 * reach * residual[0] * rows.size)


def sums(
    forced: Float64[Array, "s n"], free: Float64[Array, "f n"], at: Weightings, clip: float
) -> Sums:
    """The sums over the rows; directions that are flat are left out."""
    G = directions(forced, free, at.move, clip)
    weighted = G * at.move
    M = products(free, weighted)
    flat = np.diag(M) <= FLAT * clip * clip * at.move.sum()
    G[flat] = 0.0
    M[:, flat] = 0.0
    length = _largest(G)
    return Sums(
        free @ at.push,
        M,
        gram(np.multiply(G, np.sqrt(at.bend), out=weighted)),
        G @ at.tilt,
        length,
        residual(forced, G, length, at.move),
    )


def sizes_of(*blocks: Block) -> Sizes:
    """The sizes of all the columns of some blocks."""
    longest = peak = 0.0
    for block in blocks:
        if isinstance(block, Resident):
            from optprobe.engine.device import sums as on_device

            norm, most = on_device.sizes(block)
        else:
            norm = float(np.sqrt(np.einsum("ij,ij->i", block, block).max(initial=0.0)))
            most = float(_largest(block).max(initial=0.0))
        longest, peak = max(longest, norm), max(peak, most)
    return Sizes(longest, peak)


def _largest(columns: Float64[Array, "q n"]) -> Float64[Array, "q"]:
    """max_i |x_ij| of every column, without a copy of them all."""
    return np.maximum(columns.max(axis=1), -columns.min(axis=1))


def residual(
    forced: Float64[Array, "s n"],
    G: Block,
    length: Float64[Array, "f"],
    weight: Float64[Array, "n"],
) -> Float64[Array, "s1"]:
    """max_j |B' Omega G_j| / L_j, of the intercept and every forced column; 0 for an exact C."""
    plain = np.concatenate([np.ones((1, forced.shape[1])), forced]) * weight
    apart = np.abs(G @ plain.T) / np.where(length > 0.0, length, 1.0)[:, None]
    return apart.max(axis=0, initial=0.0)


def directions(
    forced: Float64[Array, "s n"],
    free: Float64[Array, "f n"],
    weight: Float64[Array, "n"],
    clip: float,
) -> Float64[Array, "f n"]:
    """G', with zeros for the columns that the forced ones nearly repeat."""
    one = np.ones((1, forced.shape[1]))
    plain = np.concatenate([one, forced]) * weight
    clipped = np.concatenate([one, np.clip(forced, -clip, clip)])
    G = np.clip(free, -clip, clip)
    C = np.linalg.lstsq(plain @ clipped.T, plain @ G.T)[0]
    G -= C.T @ clipped
    G[_largest(G) < DEAD * clip] = 0.0
    return G


def products(A: Float64[Array, "f n"], B: Float64[Array, "g n"]) -> Float64[Array, "f g"]:
    """A B', in slices side by side where that is much work."""
    step = max(SLICE, -(-len(A) // workers()))
    parts = [A[first : first + step] for first in range(0, len(A), step)]
    return np.concatenate(in_threads(lambda part: part @ B.T, parts))


def gram(A: Float64[Array, "f n"]) -> Float64[Array, "f f"]:
    """A A', the two halves of its diagonal beside what lies off it."""
    half = len(A) // 2
    if workers() == 1 or len(A) < 2 * SLICE:
        return A @ A.T
    out = np.empty((len(A), len(A)))

    def work(diagonal: bool) -> None:
        if diagonal:
            for part in (slice(0, half), slice(half, None)):
                out[part, part] = A[part] @ A[part].T
        else:
            out[:half, half:] = A[:half] @ A[half:].T
            out[half:, :half] = out[:half, half:].T

    in_threads(work, (True, False))
    return out
