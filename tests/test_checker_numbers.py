"""The numbers the checker decides by: each on its safe side, and not far on it."""

from __future__ import annotations

import itertools
import math
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from drafts import (
    LOSSES,
    Draft,
    make,
)

from optprobe.certificate import Kind
from optprobe.checker import columns as kept
from optprobe.checker import data, duals, points
from optprobe.checker.survivors import Listed, surviving
from optprobe.checker.walk import node_bounds


def exact_dual(
    rows: duals.Rows, dual: np.ndarray, Z: np.ndarray
) -> tuple[Fraction | Decimal, list[Fraction]]:
    """sum w H(a) and v of the exactly feasible point that `rounding` speaks of."""
    a = [Fraction(float(value)) for value in dual]
    w = [Fraction(float(value)) for value in rows.w]
    p = rows.positives
    above = sum((w[i] * a[i] for i in range(p)), Fraction(0))
    below = sum((w[i] * a[i] for i in range(p, rows.n)), Fraction(0))
    least = min(above, below)
    scale = [least / total if total else Fraction(0) for total in (above, below)]
    if rows.loss == "squared_error":
        mean = above / sum(w, Fraction(0))
        a = [value - mean for value in a]
    else:
        a = [value * scale[i >= p] for i, value in enumerate(a)]
    sign = [1 if i < p else -1 for i in range(rows.n)]
    v = [
        sum((w[i] * a[i] * sign[i] * Fraction(float(z[i])) for i in range(rows.n)), Fraction(0))
        for z in Z
    ]
    if rows.loss == "squared_error":
        y = [Fraction(float(value)) for value in rows.y]
        terms = (wi * (ai * yi - ai * ai / 2) for wi, ai, yi in zip(w, a, y, strict=True))
        return sum(terms, Fraction(0)), v
    if rows.loss == "hinge":
        return sum((wi * ai for wi, ai in zip(w, a, strict=True)), Fraction(0)), v
    if rows.loss == "squared_hinge":
        return sum((wi * (ai - ai * ai / 4) for wi, ai in zip(w, a, strict=True)), Fraction(0)), v
    total = Decimal(0)
    for wi, ai in zip(w, a, strict=True):
        for part in (ai, 1 - ai):
            if part:
                number = decimal(part)
                total -= decimal(wi) * number * number.ln()
    return total, v


def some_rows(
    rng: np.random.Generator, n: int, positives: int, loss: str, lam: float
) -> duals.Rows:
    """Random weights; the first rows positive, or targets about 3."""
    w = rng.uniform(0.1, 1.0, n)
    if loss == "squared_error":
        return duals.Rows(w / w.sum(), 3.0 + rng.standard_normal(n), n, loss, lam)
    y = np.where(np.arange(n) < positives, 1.0, -1.0)
    return duals.Rows(w / w.sum(), y, positives, loss, lam)


def decimal(number: Fraction) -> Decimal:
    return Decimal(number.numerator) / Decimal(number.denominator)


@pytest.mark.parametrize("loss", LOSSES)
def test_rounding_allowances_are_real_and_small(loss: str) -> None:
    """Against rational arithmetic (and 60 digits of ln): below the exact value, within 1e-12."""
    rng = np.random.default_rng(3)
    n, p, batch = 30, 4, 6
    rows = some_rows(rng, n, 13, loss, 0.013)
    Z = rng.standard_normal((p, n))
    Z[0] += 1e3
    scores = rng.standard_normal((batch, n)) * np.array(
        [[0.0], [0.1], [1.0], [3.0], [12.0], [40.0]]
    )
    dual = duals.box_point(rows, scores, np.full(batch, 1e-3))
    assert loss == "squared_error" or (dual >= 0).all()
    assert loss in ("squared_error", "squared_hinge") or (dual <= 1).all()
    found = duals.duals(rows, dual)
    norm, peak = np.linalg.norm(Z, axis=1) * (1 + 1e-14), np.abs(Z).max(axis=1)
    gain = duals.gains(found, found.u @ Z.T, norm, peak, rows.lam)
    with localcontext() as context:
        context.prec = 60
        for i in range(batch):
            value, v = exact_dual(rows, dual[i], Z)
            low = Fraction(float(found.value[i]))
            exact = value if isinstance(value, Fraction) else Fraction(value)
            assert low <= exact <= low + Fraction(1, 10**12) * (1 + abs(exact))
            for j in range(p):
                truth = v[j] * v[j] / (2 * Fraction(rows.lam))
                high = Fraction(float(gain[i, j]))
                assert truth <= high <= truth + Fraction(1, 10**9) * (1 + truth)


@pytest.mark.parametrize("loss", LOSSES)
def test_an_unbalanced_point_is_charged_for_its_residual(loss: str) -> None:
    """Any point of the box bounds, whatever its residual: the exact point is the scaled one."""
    rng = np.random.default_rng(7)
    rows = some_rows(rng, 20, 8, loss, 0.1)
    Z = rng.standard_normal((3, 20))
    norm, peak = np.linalg.norm(Z, axis=1) * (1 + 1e-14), np.abs(Z).max(axis=1)
    top = 4.0 if loss == "squared_hinge" else 1.0
    dual = rng.uniform(0.0, top, (8, 20)) * rng.uniform(0.0, 1.0, (8, 1))
    dual[6], dual[7, :8] = 0.0, 0.0
    with np.errstate(all="ignore"):
        found = duals.duals(rows, dual)
    gain = duals.gains(found, found.u @ Z.T, norm, peak, rows.lam)
    with localcontext() as context:
        context.prec = 60
        for i in range(8):
            value, v = exact_dual(rows, dual[i], Z)
            assert Decimal(float(found.value[i])) <= (
                value if isinstance(value, Decimal) else decimal(value)
            )
            for j in range(3):
                assert v[j] * v[j] / (2 * Fraction(rows.lam)) <= Fraction(float(gain[i, j]))


@pytest.mark.parametrize("held", [True, False])
def test_columns_of_z(held: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    case = make(n=50)
    of = case.problem
    source = data.Source(case.X, of.data.y, of.data.train, of.weights, of.y > 0)
    if not held:
        monkeypatch.setattr(kept, "HELD_BYTES", 0)
    monkeypatch.setattr(data, "BLOCK_BYTES", 8 * 7 * 9)
    by, scope = case.problem.data.by, np.array([0, 2, 3, 6])
    columns = kept.Columns(source, by.mean, by.scale, scope)
    assert columns.held == held
    order = np.argsort(case.problem.y < 0, kind="stable")
    Z = case.problem.data.columns(scope, case.problem.data.train)[:, order]
    block, place = columns.gather(np.array([[0, 3, 4], [1, 2, 3]]))
    padded = np.concatenate([Z, np.zeros((1, Z.shape[1]))])
    assert np.array_equal(block[place], padded[np.array([[0, 3, 4], [1, 2, 3]])])
    assert np.array_equal(columns.peak, np.abs(padded).max(axis=1))
    for j, z in enumerate(padded):
        square = sum((Fraction(float(x)) ** 2 for x in z), Fraction(0))
        assert square <= Fraction(float(columns.norm[j])) ** 2 <= square * (1 + Fraction(1, 10**12))
    u = np.random.default_rng(0).standard_normal((3, Z.shape[1]))
    np.testing.assert_allclose(columns.correlations(u), u @ Z.T, rtol=1e-12, atol=1e-12)
    beta = np.ones((2, 2))
    np.testing.assert_allclose(columns.scores(np.array([1, 3]), beta), beta @ Z[[1, 3]], rtol=1e-12)


def test_node_bounds_are_those_of_the_supports() -> None:
    """Bound, entering and leaving against the smallest value - g(S) over the supports meant."""
    rng = np.random.default_rng(8)
    for size, remaining in itertools.product((1, 2, 5), (1, 2, 3, 5, 6)):
        forced, free = rng.exponential(size=2), rng.exponential(size=size)
        free[-1] = free[0]
        bounds = node_bounds(3.0, forced, free, remaining)
        some = range(min(remaining, size) + 1)
        sets = [s for count in some for s in itertools.combinations(range(size), count)]
        values = {s: 3.0 - forced.sum() - free[list(s)].sum() for s in sets}
        assert bounds.bound == pytest.approx(min(values.values()))
        top = sorted(map(Fraction, free.tolist()))[max(0, size - remaining) :]
        exact = 3 - sum(map(Fraction, forced.tolist())) - sum(top)
        assert Fraction(bounds.bound) < exact
        for j in range(size):
            inside = min(value for s, value in values.items() if j in s)
            outside = min(value for s, value in values.items() if j not in s)
            assert bounds.entering[j] == pytest.approx(inside)
            assert bounds.leaving[j] == pytest.approx(outside)


def test_columns_are_fixed_only_by_bounds_that_reach_the_claim() -> None:
    """FIX, then the supports without the weakest column: its entering bound must do the rest."""
    case = make(lam=0.1)
    draft = Draft(case, 0.0)
    supports, fits = case.brute
    best = int(np.argmin(fits.primal))
    beta = np.zeros(7)
    beta[supports[best]] = fits.beta[best].astype(np.float32)
    draft.points.append((beta, float(fits.intercept[best]), 0.0))
    draft.node(Kind.FIX, point=0, child=[1, -1])
    of = case.problem
    source = data.Source(case.X, of.data.y, of.data.train, of.weights, of.y > 0)
    by = case.problem.data.by
    columns = kept.Columns(source, by.mean, by.scale, np.arange(7))
    positive = case.problem.y > 0
    weights = np.concatenate([case.rows.w[positive], case.rows.w[~positive]])
    rows = duals.Rows(weights, np.sort(case.problem.y)[::-1], int(positive.sum()), "logistic", 0.1)
    scores = columns.scores(np.arange(7), beta[None]) + fits.intercept[best]
    point = duals.duals(rows, duals.box_point(rows, scores, np.zeros(1)))
    v = columns.correlations(point.u)
    gain = duals.gains(point, v, columns.norm[:-1], columns.peak[:-1], 0.1)[0]
    entering = node_bounds(float(point.value[0]), gain[:0], gain, 3).entering
    weakest = int(np.argmin(gain))
    assert entering[weakest] <= case.provable
    rest = case.supports([j for j in range(7) if j != weakest])
    draft.node(Kind.ENUMERATED, fits=draft.list_fits(rest))
    for change, valid in ((-1e-9, True), (1e-9, False), (5e-3, False)):
        lower = float(entering[weakest]) + change
        verdict = case.check(draft.certificate(lower=lower, upper=5.0))
        assert verdict.valid == valid, verdict.reason


@pytest.mark.parametrize("loss", LOSSES)
def test_the_objective_is_rounded_up(loss: str) -> None:
    rng = np.random.default_rng(4)
    n = 25
    rows = some_rows(rng, n, 11, loss, 0.013)
    Z, beta, b = rng.standard_normal((3, n)) * 5, rng.standard_normal(3), 0.3
    plain, above = duals.objective(rows, Z, beta, b)
    with localcontext() as context:
        context.prec = 60
        truth = Decimal(rows.lam) / 2 * sum(Decimal(x) ** 2 for x in beta.tolist())
        for i in range(n):
            margin = sum(
                (
                    Decimal(x) * Decimal(z)
                    for x, z in zip(beta.tolist(), Z[:, i].tolist(), strict=True)
                ),
                Decimal(b),
            )
            margin = margin if i < rows.positives else -margin
            slack = max(1 - margin, Decimal(0))
            residual = Decimal(float(rows.y[i])) - margin
            values = {
                "hinge": slack,
                "squared_hinge": slack * slack,
                "squared_error": residual * residual / 2,
            }
            value = (1 + (-margin).exp()).ln() if loss == "logistic" else values[loss]
            truth += Decimal(float(rows.w[i])) * value
    assert truth <= Decimal(above) <= truth * (1 + Decimal("1e-12"))
    assert plain == pytest.approx(float(truth), rel=1e-14)


def test_survivors_are_exactly_those_over_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    monkeypatch.setattr("optprobe.checker.survivors.CHUNK", 10)
    for size, r in ((9, 3), (9, 1), (5, 5), (6, 0), (0, 0), (12, 4)):
        gain = np.sort(rng.exponential(size=size))[::-1]
        every = np.array(list(itertools.combinations(range(size), r)), np.int64)
        every = every.reshape(math.comb(size, r), r)
        sums = gain[every].sum(axis=1)
        for budget in (-np.inf, -1.0, *np.quantile(sums, [0.1, 0.5, 0.9]), 100.0):
            found = np.concatenate([np.empty((0, r), np.int64), *surviving(gain, r, budget)])
            expected = every[sums > budget * (1 - 1e-14)] if budget > 0 else every
            expected = expected[:0] if r == 0 and budget >= 0 else expected
            assert sorted(map(tuple, found.tolist())) == sorted(map(tuple, expected.tolist()))


def test_equal_gains_all_survive_or_none() -> None:
    assert not list(surviving(np.zeros(5), 2, 1e-300))
    blocks = list(surviving(np.ones(5), 2, 1.5))
    assert sum(map(len, blocks)) == 10


def test_listed_supports_are_found() -> None:
    rng = np.random.default_rng(6)
    inside = np.sort(rng.integers(0, 40, (300, 4)), axis=1)
    queries = np.concatenate([inside[::2], np.sort(rng.integers(0, 40, (300, 4)), axis=1)])
    members = {tuple(row) for row in inside.tolist()}
    found = Listed(inside, 41).contains(queries)
    assert found.tolist() == [tuple(row) in members for row in queries.tolist()]
    assert not Listed(inside[:0], 41).contains(queries).any()


@pytest.mark.parametrize("loss", ["logistic", "squared_hinge"])
def test_fits_are_bounded_alike_however_many_are_taken_together(
    loss: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One by one, a few, with few columns between them, or all; never above the fit's own value."""
    case = make(lam=0.1, loss=loss)
    draft = Draft(case, 0.0)
    supports, fits = case.brute
    draft.node(Kind.ENUMERATED, fits=draft.list_fits(supports))
    arrays = draft.certificate(lower=0.0, upper=5.0).arrays
    of, by = case.problem, case.problem.data.by
    source = data.Source(case.X, of.data.y, of.data.train, of.weights, of.y > 0)
    columns = kept.Columns(source, by.mean, by.scale, np.arange(7))
    positive = of.y > 0
    w, y = (np.concatenate([part[positive], part[~positive]]) for part in (of.rows.w, of.y))
    rows = duals.Rows(w, y, int(positive.sum()), loss, 0.1)
    found = []
    for at_once, wide in ((1, 1), (30, 3), (10**6, 4), (10**6, 128)):
        monkeypatch.setattr(points, "FIT_ROWS", at_once * columns.n)
        monkeypatch.setattr(points, "FIT_COLUMNS", wide)
        found.append(points.Fits(columns, rows, arrays, np.arange(7)).bounds(0, len(supports)))
    for bounds in found:
        np.testing.assert_allclose(bounds, found[0], rtol=1e-12)
        assert (bounds <= fits.primal).all()
        np.testing.assert_allclose(bounds, fits.lower, rtol=1e-6)
