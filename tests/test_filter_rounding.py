"""What the checker claims for a filtered support, against its dual point in extended precision."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from optprobe.checker import filtered, parabola
from optprobe.checker.columns import Columns
from optprobe.checker.data import Source
from optprobe.checker.duals import Rows

Long = np.longdouble

LOSSES = ("logistic", "squared_hinge", "squared_error")
EXACT = LOSSES[1:]
"""Where the parabola is H itself, the claim is what the dual point gives but for rounding."""

pytestmark = pytest.mark.skipif(np.finfo(Long).eps > 1e-18, reason="long doubles are doubles here")


@dataclass(frozen=True)
class Made:
    """A centre as the checker evaluates it, with the numbers it rests on, positive rows first."""

    rows: Rows
    forced: np.ndarray
    free: np.ndarray
    dual: np.ndarray
    clip: float
    at: filtered.Centre

    @property
    def sign(self) -> np.ndarray:
        return np.where(np.arange(self.rows.n) < self.rows.positives, 1.0, -1.0)


def make(seed: int, loss: str) -> Made:
    """Outlying entries, targets far from zero, any ridge; S of 0 to 2 columns."""
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(20, 90)), 6
    X = rng.standard_normal((n, d)) + rng.uniform(0, 2) * rng.standard_normal((n, 1))
    X[rng.integers(n), :3] *= rng.choice([1.0, 30.0])
    y = X[:, :3] @ rng.standard_normal(3) + rng.standard_normal(n)
    targets = loss == "squared_error"
    unit = float(rng.choice([1e-2, 1.0, 1e3])) if targets else 1.0
    y = unit * (y + rng.choice([0.0, 50.0])) if targets else np.where(y > 0.3, 1.0, -1.0)
    positive = np.ones(n, bool) if targets else y > 0
    w = rng.uniform(0.2, 2.0, n)
    source = Source(X, y, np.arange(n), w / w.sum(), positive)
    scope, mean, scale = np.arange(d), np.zeros(d), np.ones(d)
    columns = Columns(source, mean, scale, scope)
    order = np.concatenate([np.flatnonzero(positive), np.flatnonzero(~positive)])
    lam = float(10.0 ** rng.uniform(-4, 0))
    rows = Rows(source.weights[order], y[order], int(positive.sum()), loss, lam)
    s = int(rng.integers(0, 3))
    clip, reach = float(rng.choice([0.8, 4.0])), unit * float(rng.choice([0.5, 2.0, 4.0]))
    parts = {
        "point_start": np.array([0, d]),
        "point_column": scope,
        "point_beta": unit * 0.2 * rng.standard_normal(d),
        "point_intercept": np.array([float(y.mean())]),
        "centre_point": np.array([0]),
        "centre_start": np.array([0, s]),
        "centre_forced": scope[:s],
        "centre_clip": np.array([clip]),
        "centre_reach": np.array([reach]),
    }
    centres = filtered.Centres(columns, rows, parts, scope)
    Z = X[order].T
    at = centres.at(0, scope[s:], 3)
    return Made(rows, Z[:s], Z[s:], centres._dual(0)[0], clip, at)


def directions(made: Made, omega: np.ndarray) -> np.ndarray:
    """G', orthogonal to the last bit of a long double."""
    one = np.ones((1, made.rows.n), Long)
    forced, free = made.forced.astype(Long), made.free.astype(Long)
    plain = np.concatenate([one, forced]) * (made.rows.w.astype(Long) * omega)
    clipped = np.concatenate([one, np.clip(forced, -made.clip, made.clip)])
    G = np.clip(free, -made.clip, made.clip)
    gram = (plain @ clipped.T).astype(float)
    for _ in range(4):
        C = np.linalg.lstsq(gram, (plain @ G.T).astype(float))[0]
        G = G - C.T.astype(Long) @ clipped
    return np.where(made.at.length[:, None] > 0.0, G, 0.0)


def entropy(made: Made, a: np.ndarray) -> np.ndarray:
    """H(a)."""
    if made.rows.loss == "squared_hinge":
        return a - a * a / 4
    if made.rows.loss == "squared_error":
        return a * made.rows.y - a * a / 2
    return -sum(p * np.log(np.maximum(p, Long(1e-4000))) for p in (a, 1 - a))


def truth(made: Made, T: np.ndarray, d: np.ndarray) -> float:
    """The dual value of S + T at a - omega y (G d), repaired, in long doubles."""
    rows, sign = made.rows, made.sign
    omega = parabola.parabola(rows, made.dual, made.at.reach).omega.astype(Long)
    a = made.dual - omega * sign * (d.astype(Long) @ directions(made, omega)[T])
    w = rows.w.astype(Long)
    if rows.loss == "squared_error":
        a = a - (w @ a) / w.sum()
    else:
        assert a.min() > -1e-15
        a = np.maximum(a, 0)
        above, below = w @ (a * (sign > 0)), w @ (a * (sign < 0))
        least = min(above, below)
        a = a * np.where(sign > 0, least / above, least / below)
    support = np.concatenate([made.forced, made.free[T]]).astype(Long)
    v = support @ (w * a * sign)
    return w @ entropy(made, a) - v @ v / (2 * Long(rows.lam))


def claim(made: Made, T: np.ndarray, d: np.ndarray) -> float:
    """The bound of S + T at this d, in doubles as the checker computes it."""
    at, block = made.at, np.ix_(T, T)
    rest = at.v[T] - at.M[block] @ d
    bent = 0.5 * at.K[block] @ d + at.h[T]
    return float(at.floor - (rest @ rest / (2.0 * at.lam) + d @ bent))


def tried(loss: str, seeds: range) -> tuple[np.ndarray, np.ndarray]:
    """Truth less claim of ten steps a seed, and the size of what rounding acts on."""
    slack, size = [], []
    rng = np.random.default_rng(0)
    for seed in seeds:
        made = make(seed, loss)
        live = np.flatnonzero(made.at.length > 0.0)
        for _ in range(10):
            T = rng.choice(live, min(len(live), int(rng.integers(1, 4))), replace=False)
            d = rng.standard_normal(len(T))
            length = np.abs(d) @ made.at.length[T]
            d *= made.at.reach * (1.0 - 2.0**-40) / length * rng.choice([1e-3, 0.3, 1.0])
            slack.append(float(truth(made, T, d) - Long(claim(made, T, d))))
            push = made.free[T] @ (made.rows.w * made.dual)
            size.append(abs(made.at.floor) + (push @ push + made.at.reach**2) / made.rows.lam)
    return np.array(slack), np.array(size)


@pytest.mark.parametrize("loss", LOSSES)
def test_no_claim_exceeds_its_dual_point(loss: str) -> None:
    slack, size = tried(loss, range(150))
    assert (slack >= 0.0).all()
    if loss in EXACT:
        assert (slack <= 1e-8 * size).all()
        assert np.median(slack / size) < 1e-11


@pytest.mark.parametrize("loss", EXACT)
def test_allowances_of_the_wrong_sign_are_caught(
    loss: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = filtered._floor

    def generous(
        value: float,
        v: np.ndarray,
        norm: np.ndarray,
        peak: np.ndarray,
        residual: np.ndarray,
        sizes: filtered.Sizes,
        r: int,
    ) -> float:
        forced = v[: len(residual) - 1]
        plain = value - forced @ forced / (2.0 * sizes.rows.lam)
        return 2.0 * plain - honest(value, v, norm, peak, residual, sizes, r)

    monkeypatch.setattr(filtered, "_floor", generous)
    assert (tried(loss, range(60))[0] < 0.0).sum() > 500


@pytest.mark.parametrize("loss", EXACT)
def test_a_parabola_that_is_too_flat_is_caught(loss: str, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = parabola.parabola

    def flat(rows: Rows, dual: np.ndarray, reach: float) -> parabola.Parabola:
        found = honest(rows, dual, reach)
        return found._replace(bend=(1.0 - 1e-6) * found.bend)

    monkeypatch.setattr(filtered, "parabola", flat)
    assert (tried(loss, range(60))[0] < 0.0).sum() > 20
