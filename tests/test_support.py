"""Fits on a fixed support against scikit-learn, scipy and their own dual points."""

from __future__ import annotations

from importlib.resources import files
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

from optprobe.bounds import repair_intercept
from optprobe.files import read
from optprobe.losses import LOSSES
from optprobe.support import Fits, Rows, fit_support, fit_supports, signed

DATA = Path(str(files("optprobe"))) / "data" / "digit_L01.npz"

every_loss = pytest.mark.parametrize("loss", LOSSES)

KINDS = ("plain", "heavy columns", "heavy rows", "duplicates", "separable", "rare", "noise")
WEIGHTINGS = ("balanced", "uniform", "given")


def instance(
    kind: str, weighting: str, loss: str, lam: float, n: int, k: int, seed: int
) -> tuple[np.ndarray, Rows]:
    """Columns (k x n) and rows of a random fit of that kind."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, k))
    if kind == "heavy columns":
        X = np.clip(rng.standard_t(1.2, (n, k)), -1e3, 1e3)
    elif kind == "heavy rows":
        X[rng.integers(0, n, 4)] *= 1e3
    elif kind == "duplicates":
        X[:, 1::2] = X[:, : k // 2 * 2 : 2]
    score = X @ rng.standard_normal(k) / np.sqrt(k)
    if kind != "separable":
        score = score + np.std(score) * rng.standard_normal(n)
    y = np.where(score > np.quantile(score, 0.9 if kind == "rare" else 0.4), 1.0, -1.0)
    if kind == "noise":
        y = rng.permutation(y)
    w = np.ones(n)
    if weighting == "balanced":
        w = np.where(y > 0, 0.5 / (y > 0).sum(), 0.5 / (y < 0).sum())
    elif weighting == "given":
        w = rng.integers(0, 4, n).astype(float)  # zeros included
        w[np.argmax(y)] = w[np.argmin(y)] = 1.0
    return np.ascontiguousarray(X.T), Rows(y, w / w.sum(), LOSSES[loss], lam)


def primal(columns: np.ndarray, rows: Rows, beta: np.ndarray, intercept: float) -> float:
    margin = rows.y * (beta @ columns + intercept)
    return float(rows.loss.value(margin) @ rows.w + 0.5 * rows.lam * (beta @ beta))


def dual_value(columns: np.ndarray, rows: Rows, a: np.ndarray) -> float:
    v = columns @ (rows.w * a * rows.y)
    return float(rows.loss.conjugate(a) @ rows.w - (v @ v) / (2.0 * rows.lam))


def rebuilt(columns: np.ndarray, rows: Rows, beta: np.ndarray, b: float, mu: float) -> np.ndarray:
    """The dual point that coefficients stand for."""
    margin = rows.y * (beta @ columns + b)
    dual = rows.loss.smoothed(mu).dual(margin[None])
    return repair_intercept(dual, rows.y, rows.w, rows.loss)[0]


def proves(columns: np.ndarray, rows: Rows, fits: Fits, gap: float = 1e-9) -> None:
    """Primal, dual point and dual values of one fit, each recomputed here."""
    upper = float(fits.primal[0])
    assert fits.gap[0] < gap
    assert fits.gap[0] > -1e-12
    solution = fits.solution[0]
    assert primal(columns, rows, solution[:-1], solution[-1]) == pytest.approx(upper, rel=1e-12)
    assert fits.point is not None
    a = fits.point[0]
    assert np.all((a >= 0.0) & (a <= rows.loss.upper))
    assert abs(np.sum(rows.w * a * rows.y)) < 1e-14 * max(1.0, a.max())
    assert abs(dual_value(columns, rows, a) - fits.lower[0]) <= 1e-12 * upper
    again = rebuilt(columns, rows, fits.beta[0], float(fits.intercept[0]), float(fits.mu[0]))
    # The hinge's a(m) magnifies the rounding of the margins by 1/(8 mu), mu about 1e-8 P.
    accuracy = 1e-7 if fits.mu[0] else 1e-12
    assert abs(dual_value(columns, rows, again) - fits.dual[0]) <= accuracy * upper
    assert fits.dual[0] <= fits.lower[0]
    # What the coefficients alone prove is nearly as good as the fit.
    assert upper - fits.dual[0] <= 1e-6 * upper


@every_loss
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("k", [1, 5, 64])
def test_the_gap_closes(loss, kind, k):
    for number, lam in enumerate((1.0, 0.1, 1e-2, 1e-3)):
        weighting = WEIGHTINGS[(number + k) % 3]
        n = 80 if number % 2 else 300
        columns, rows = instance(kind, weighting, loss, lam, n, k, seed=number)
        proves(columns, rows, fit_support(columns, rows))


@every_loss
@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_the_gap_closes_with_fewer_rows_than_columns(loss, weighting):
    columns, rows = instance("separable", weighting, loss, 1e-2, 40, 64, seed=1)
    proves(columns, rows, fit_support(columns, rows))


@every_loss
@given(
    kind=st.sampled_from(KINDS),
    weighting=st.sampled_from(WEIGHTINGS),
    power=st.floats(-3.0, 0.0),
    k=st.integers(1, 9),
    n=st.integers(12, 120),
    seed=st.integers(0, 10**6),
)
def test_the_gap_closes_on_random_fits(loss, kind, weighting, power, k, n, seed):
    columns, rows = instance(kind, weighting, loss, 10.0**power, n, k, seed)
    proves(columns, rows, fit_support(columns, rows))


def test_the_gap_closes_where_few_rows_hold_the_fit():
    """At a large ridge the hinge is a linear program but for a handful of rows at the kink: a fit
    whose rows all stopped short alone would go round in circles."""
    problem = read(DATA).problem(k=2, lam=1.0, loss="hinge")
    rng = np.random.default_rng(0)
    columns = np.sort(rng.permutation(problem.usable)[:40])
    block = signed(problem.matrix.columns(columns), problem.rows)
    supports = np.array([np.sort(rng.permutation(40)[:2]) for _ in range(64)])
    assert fit_supports(block, supports, problem.rows).gap.max() < 1e-9


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("lam", [1.0, 0.05, 1e-3])
@pytest.mark.parametrize("kind", ["plain", "duplicates", "rare", "separable"])
def test_logistic_fits_agree_with_scikit_learn(kind, weighting, lam):
    columns, rows = instance(kind, weighting, "logistic", lam, 200, 6, seed=8)
    model = LogisticRegression(C=1.0 / lam, solver="newton-cholesky", tol=1e-10, max_iter=1000)
    model.fit(columns.T, rows.y, sample_weight=rows.w)
    fits = fit_support(columns, rows)
    theirs = primal(columns, rows, model.coef_[0], float(model.intercept_[0]))
    assert fits.primal[0] == pytest.approx(theirs, rel=1e-9)
    np.testing.assert_allclose(fits.beta[0], model.coef_[0], rtol=1e-4, atol=1e-5)
    assert fits.intercept[0] == pytest.approx(model.intercept_[0], rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("lam", [1.0, 0.05, 1e-3])
@pytest.mark.parametrize("kind", ["plain", "duplicates", "rare", "separable"])
def test_hinge_fits_agree_with_a_support_vector_machine(kind, weighting, lam):
    """libsvm solves the dual quadratic programme, its intercept is not penalised."""
    columns, rows = instance(kind, weighting, "hinge", lam, 120, 4, seed=8)
    used = rows.w > 0
    model = SVC(kernel="linear", C=1.0 / lam, tol=1e-9)
    model.fit(columns.T[used], rows.y[used], sample_weight=rows.w[used])
    fits = fit_support(columns, rows)
    theirs = primal(columns, rows, model.coef_[0], float(model.intercept_[0]))
    assert fits.primal[0] == pytest.approx(theirs, rel=1e-5)
    assert fits.primal[0] <= theirs * (1.0 + 1e-9)
    np.testing.assert_allclose(fits.solution[0, :-1], model.coef_[0], rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("lam", [1.0, 0.05, 1e-3])
@pytest.mark.parametrize("kind", ["plain", "duplicates", "rare", "separable"])
def test_squared_hinge_fits_agree_with_scipy(kind, weighting, lam):
    columns, rows = instance(kind, weighting, "squared_hinge", lam, 150, 4, seed=8)

    def objective(theta: np.ndarray) -> tuple[float, np.ndarray]:
        slack = np.maximum(0.0, 1.0 - rows.y * (theta[:-1] @ columns + theta[-1]))
        slope = -2.0 * rows.w * slack * rows.y
        value = rows.w @ slack**2 + 0.5 * lam * theta[:-1] @ theta[:-1]
        return value, np.append(columns @ slope + lam * theta[:-1], slope.sum())

    start = np.zeros(len(columns) + 1)
    options = {"ftol": 1e-16, "gtol": 1e-12, "maxiter": 10000}
    found = minimize(objective, start, jac=True, method="L-BFGS-B", options=options)
    assert fit_support(columns, rows).primal[0] == pytest.approx(found.fun, rel=1e-9)


@every_loss
def test_the_empty_support_fits_the_intercept(loss):
    _, rows = instance("plain", "uniform", loss, 0.1, 50, 1, seed=0)
    fits = fit_support(np.empty((0, 50)), rows)
    grid = np.linspace(-4.0, 4.0, 80001)
    positive = rows.w[rows.y > 0].sum()
    values = positive * rows.loss.value(grid) + (1.0 - positive) * rows.loss.value(-grid)
    assert fits.primal[0] == pytest.approx(values.min(), abs=1e-8)
    proves(np.empty((0, 50)), rows, fits)


@every_loss
def test_a_batch_equals_one_at_a_time(loss, monkeypatch):
    columns, rows = instance("plain", "given", loss, 0.02, 60, 8, seed=4)
    block = signed(columns, rows)
    supports = np.array(list(combinations(range(8), 3)))
    together = fit_supports(block, supports, rows)
    monkeypatch.setattr("optprobe.support.fit.CHUNK", 60 * 5)
    in_chunks = fit_supports(block, supports, rows)
    for i, support in enumerate(supports):
        alone = fit_support(columns[support], rows)
        for found in (together, in_chunks):
            assert found.primal[i] == pytest.approx(alone.primal[0], rel=1e-10)
            assert found.lower[i] == pytest.approx(alone.lower[0], rel=2e-9)
            np.testing.assert_allclose(found.solution[i], alone.solution[0], rtol=1e-3, atol=1e-4)
        one = together.row(i)
        assert one.primal.tolist() == [together.primal[i]]
        assert one.beta.tolist() == [together.beta[i].tolist()]


@every_loss
def test_the_order_of_a_support_is_kept(loss):
    columns, rows = instance("plain", "balanced", loss, 0.02, 60, 6, seed=4)
    block = signed(columns, rows)
    fits = fit_supports(block, np.array([[1, 4, 2], [2, 1, 4]]), rows)
    np.testing.assert_allclose(fits.beta[0], fits.beta[1][[1, 2, 0]], rtol=1e-4, atol=1e-6)


@every_loss
def test_a_start_changes_nothing_but_the_way(loss):
    columns, rows = instance("plain", "balanced", loss, 0.02, 90, 5, seed=6)
    cold = fit_support(columns, rows)
    rng = np.random.default_rng(0)
    for start in (cold.solution[0], 20.0 * rng.standard_normal(6)):
        warm = fit_support(columns, rows, start=start)
        before = start.copy()
        assert warm.primal[0] == pytest.approx(cold.primal[0], rel=1e-9)
        assert warm.gap[0] < 1e-9
        np.testing.assert_array_equal(start, before)


@every_loss
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_a_cutoff_never_prunes_a_better_support(loss, share):
    columns, rows = instance("plain", "balanced", loss, 0.01, 80, 9, seed=2)
    block = signed(columns, rows)
    supports = np.array(list(combinations(range(9), 3)))
    whole = fit_supports(block, supports, rows)
    cutoff = float(np.quantile(whole.primal, share))
    fits = fit_supports(block, supports, rows, cutoff=cutoff)
    pruned = fits.dual > cutoff
    assert pruned.mean() > 0.4
    assert not np.any(pruned & (whole.primal < cutoff))
    # Bounds hold for every support, pruned or not; the best ones are fitted to the end.
    slack = 1e-12
    assert np.all(fits.lower <= whole.primal + slack)
    assert np.all(fits.primal >= whole.lower - slack)
    np.testing.assert_allclose(fits.primal[~pruned], whole.primal[~pruned], rtol=1e-8)
    # The coefficients of a pruned support are its proof.
    for i in np.flatnonzero(pruned)[:10]:
        part = columns[supports[i]]
        b, mu = float(fits.intercept[i]), float(fits.mu[i])
        a = rebuilt(part, rows, fits.beta[i], b, mu)
        assert dual_value(part, rows, a) == pytest.approx(fits.dual[i], rel=1e-7)
        assert dual_value(part, rows, a) > cutoff * (1.0 - 1e-7)
        solution = fits.solution[i]
        value = primal(part, rows, solution[:-1], solution[-1])
        assert value == pytest.approx(fits.primal[i], rel=1e-12)


@every_loss
def test_no_iterations_left_leaves_valid_bounds(loss, monkeypatch):
    columns, rows = instance("heavy columns", "given", loss, 1e-3, 80, 20, seed=3)
    whole = fit_support(columns, rows)
    for steps in (1, 2, 5, 9):
        monkeypatch.setattr("optprobe.support.newton.STEPS", steps)
        monkeypatch.setattr("optprobe.support.interior_point.STEPS", steps)
        fits = fit_support(columns, rows)
        assert fits.lower[0] <= whole.primal[0] + 1e-12
        assert fits.primal[0] >= whole.lower[0] - 1e-12


@every_loss
def test_duplicate_columns_share_their_weight(loss):
    """beta split in halves costs half the ridge: P({j, j}) with lam is P({j}) with lam / 2."""
    columns, rows = instance("plain", "balanced", loss, 0.2, 100, 1, seed=1)
    twice = fit_support(np.repeat(columns, 2, axis=0), rows)
    half = fit_support(columns, Rows(rows.y, rows.w, rows.loss, 0.1))
    assert twice.primal[0] == pytest.approx(half.primal[0], rel=1e-9)
    np.testing.assert_allclose(twice.solution[0, 0], twice.solution[0, 1], rtol=1e-6)


@every_loss
def test_a_zero_column_changes_nothing(loss):
    columns, rows = instance("plain", "balanced", loss, 0.2, 100, 3, seed=1)
    padded = np.concatenate([columns, np.zeros((1, 100))])
    fits = fit_support(padded, rows)
    assert fits.primal[0] == pytest.approx(fit_support(columns, rows).primal[0], rel=1e-9)
    assert abs(fits.beta[0, -1]) < 1e-9
