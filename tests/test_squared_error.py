"""Probes of numbers: closed-form ridge regression of every support is the judge."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from instances import random_targets
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_squared_error, r2_score
from typer.testing import CliRunner

from optprobe import Limits, Problem, solve
from optprobe.bounds import dual_points, repair_intercept
from optprobe.checker import verify
from optprobe.cli import app
from optprobe.engine import native
from optprobe.heuristics import HEURISTICS, get_heuristic
from optprobe.losses import SquaredError, get_loss
from optprobe.matrix import dense
from optprobe.metrics import evaluate, held_out, held_out_targets
from optprobe.prefilter import best_columns, proven_columns
from optprobe.result import Result, Status
from optprobe.support import fit_support

SEEDS = range(120)


def ridge(problem: Problem, support: tuple[int, ...]) -> tuple[float, np.ndarray, float]:
    """Objective, coefficients and intercept of a support by the normal equations."""
    Z = problem.data.columns(np.array(support, int), problem.data.train)
    y, w = problem.data.y[problem.data.train], problem.weights
    centre, mean = Z @ w, float(w @ y)
    C, r = Z - centre[:, None], y - mean
    beta = np.linalg.solve((C * w) @ C.T + problem.lam * np.eye(len(Z)), C @ (w * r))
    loss = 0.5 * float(w @ (r - beta @ C) ** 2)
    return loss + 0.5 * problem.lam * float(beta @ beta), beta, mean - float(beta @ centre)


def closed_form(problem: Problem) -> dict[tuple[int, ...], float]:
    """The objective of every support of size k."""
    supports = combinations(problem.usable.tolist(), problem.k)
    return {support: ridge(problem, support)[0] for support in supports}


def regression(
    n: int = 80, d: int = 8, seed: int = 0, *, scale: float = 1.0, shift: float = 0.0, **more: Any
) -> Problem:
    """A plain problem with three columns that matter."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    y = X[:, :3] @ np.array([1.0, -0.7, 0.5]) + 0.5 * rng.standard_normal(n)
    settings: dict[str, Any] = {"k": 3, "lam": 0.05} | more
    return Problem.of(X, scale * y + shift, loss="squared_error", **settings)


# The loss and its dual points


def test_value_is_the_largest_of_its_dual_functions() -> None:
    target, score = np.array([2.0, -1.0, 0.5]), np.array([0.3, 4.0, 0.5])
    loss = SquaredError(target)
    grid = np.linspace(-10.0, 10.0, 4001)[:, None]
    dual_values = -grid * score + loss.conjugate(grid + np.zeros(3))
    np.testing.assert_allclose(dual_values.max(axis=0), (target - score) ** 2 / 2, atol=1e-5)
    np.testing.assert_allclose(grid[dual_values.argmax(axis=0), 0], loss.dual(score), atol=3e-3)
    terms = loss.terms(score)
    assert np.array_equal(terms.value, loss.value(score))
    assert np.array_equal(terms.dual, target - score)
    assert np.array_equal(terms.curvature, np.ones(3))
    assert loss.dual(score.astype(np.float32)).dtype == np.float32
    assert loss.smoothed(0.1) is loss


@pytest.mark.parametrize("seed", range(20))
def test_the_repair_is_the_best_intercept(seed: int) -> None:
    """Whatever b, the dual point is that of the b which minimises the loss, and it is feasible."""
    problem = random_targets(seed)
    rows, rng = problem.rows, np.random.default_rng(seed)
    scores = rng.standard_normal(len(rows.w)) * rows.spread
    best = float(rows.w @ (rows.loss.dual(scores)))  # the mean residual
    expected = rows.loss.dual(scores + best)
    for b in (0.0, best, -3.0 * rows.spread):
        dual = rows.loss.dual(scores + b)[None]
        repaired = repair_intercept(dual, rows.y, rows.w, rows.loss)[0]
        np.testing.assert_allclose(repaired, expected, atol=1e-12 * rows.size)
        assert abs(rows.w @ repaired) <= 1e-13 * rows.size
    value = float(rows.w @ rows.loss.value(scores + best))
    for off in (-0.1, 0.1):
        assert value < float(rows.w @ rows.loss.value(scores + best + off * rows.spread))


@pytest.mark.parametrize("seed", range(40))
def test_every_dual_point_bounds_every_support(seed: int) -> None:
    problem = random_targets(seed)
    rows, rng = problem.rows, np.random.default_rng(seed)
    dual = rng.standard_normal((6, len(rows.w))) * rows.spread * rng.uniform(0, 2, (6, 1))
    points = dual_points(problem.matrix, dual, rows.y, rows.w, rows.loss, rows.lam)
    for support, objective in closed_form(problem).items():
        bounds = points.value - points.gain[:, list(support)].sum(axis=1)
        assert (bounds <= objective + 1e-9 * rows.spread * rows.size).all()


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("weighted", [False, True])
def test_fits_are_ridge_regressions(seed: int, weighted: bool) -> None:
    """sum w (y - t)^2 / 2 + lam/2 |b|^2 is scikit-learn's with alpha = lam, or n lam unweighted."""
    rng = np.random.default_rng(seed)
    n, size = int(rng.integers(4, 80)), int(rng.integers(1, 7))
    weights = rng.uniform(0.1, 2.0, n) if weighted else None
    problem = regression(n, 7, seed, k=size, lam=10.0 ** rng.uniform(-3, 1), weights=weights)
    Z = problem.data.columns(np.arange(size), problem.data.train)
    fit = fit_support(Z, problem.rows)
    y = problem.data.y
    if weighted:
        other = Ridge(alpha=problem.lam).fit(Z.T, y, sample_weight=problem.weights)
    else:
        other = Ridge(alpha=n * problem.lam).fit(Z.T, y)
    np.testing.assert_allclose(fit.solution[0, :-1], other.coef_, atol=1e-10)
    assert fit.solution[0, -1] == pytest.approx(other.intercept_, abs=1e-10)
    assert fit.primal[0] == pytest.approx(ridge(problem, tuple(range(size)))[0], rel=1e-11)
    assert fit.dual[0] == pytest.approx(fit.primal[0], rel=1e-9)


# The exact path


@pytest.mark.parametrize("seed", SEEDS)
def test_the_optimum_is_that_of_brute_force(seed: int) -> None:
    problem = random_targets(seed)
    every = closed_form(problem)
    optimum = min(every.values())
    result = solve(problem, limits=Limits(gap=1e-6))
    assert result.status is Status.OPTIMAL
    assert result.verified is not None
    assert optimum * (1 - 1e-10) <= result.objective <= optimum * (1 + 2e-6)
    assert result.verified.lower <= optimum * (1 + 1e-10)
    assert result.verified.lower >= optimum * (1 - 2e-6)
    assert result.verified.upper >= optimum * (1 - 1e-10)
    assert result.objective == pytest.approx(ridge(problem, tuple(result.support))[0], rel=1e-9)


@pytest.mark.parametrize("seed", range(8))
def test_outer_approximation_serves_it_too(seed: int) -> None:
    problem = random_targets(seed)
    result = solve(problem, method="oa", backend="highs")
    optimum = min(closed_form(problem).values())
    assert result.status is Status.OPTIMAL
    assert result.claimed.lower <= optimum * (1 + 1e-6)
    assert optimum * (1 - 1e-9) <= result.objective <= optimum * (1 + 2e-4)


@given(
    scale=st.sampled_from([1e-4, -1.0, 3.0, 1e6]),
    shift=st.sampled_from([0.0, -20.0, 1e4]),
    seed=st.integers(0, 50),
)
def test_scaling_and_shifting_the_target(scale: float, shift: float, seed: int) -> None:
    plain = solve(regression(seed=seed))
    moved = solve(regression(seed=seed, scale=scale, shift=scale * shift))
    assert np.array_equal(moved.support, plain.support)
    assert moved.objective == pytest.approx(scale**2 * plain.objective, rel=1e-7)
    np.testing.assert_allclose(moved.beta, scale * plain.beta, rtol=1e-5, atol=1e-8 * abs(scale))
    assert moved.intercept == pytest.approx(scale * (plain.intercept + shift), rel=1e-6)
    assert moved.verified is not None
    assert moved.verified.gap <= 1.01e-4


def test_whole_weights_are_repeated_rows() -> None:
    rng = np.random.default_rng(4)
    X, times = rng.standard_normal((40, 6)), rng.integers(0, 4, 40)
    y = X[:, 0] - X[:, 4] + rng.standard_normal(40)
    weighted = Problem.of(X, y, k=2, loss="squared_error", weights=times)
    again = np.repeat(np.arange(40), times)
    # The same columns, so that both standardise alike: only the weights may differ.
    by = weighted.data.by
    Z = (X - by.mean) / by.scale
    for support in combinations(range(6), 2):
        alone = Ridge(alpha=len(again) * weighted.lam).fit(Z[again][:, support], y[again])
        assert np.allclose(alone.coef_, ridge(weighted, support)[1])
    assert solve(weighted).objective == pytest.approx(min(closed_form(weighted).values()), rel=1e-7)


def test_columns_in_single_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Z is held in float32 the search allows for it, and the checker still agrees."""
    monkeypatch.setattr(dense, "DOUBLE_BYTES", 0)
    monkeypatch.setattr("optprobe.observations.DOUBLE_BYTES", 0)
    for shift in (0.0, 50.0):
        problem = regression(seed=3, lam=0.01, shift=shift)
        assert problem.matrix.roundoff > native.DOUBLE
        result = solve(problem)
        assert result.verified is not None
        assert result.verified.gap <= 1.01e-4
        assert result.objective == pytest.approx(min(closed_form(problem).values()), rel=1e-6)


def test_tensors() -> None:
    problem = regression(seed=5)
    same = Problem.of(
        torch.tensor(np.asarray(problem.data.X), dtype=torch.bfloat16),
        torch.tensor(problem.data.y),
        k=3,
        lam=0.05,
        loss="squared_error",
    )
    result = solve(same)
    assert result.verified is not None
    assert result.objective == pytest.approx(min(closed_form(same).values()), rel=1e-4)


def test_proven_columns_keep_the_optimum() -> None:
    for seed in range(20):
        problem = random_targets(seed)
        every = closed_form(problem)
        best = min(every, key=every.__getitem__)
        assert set(best) <= set(proven_columns(problem, every[best]).tolist())


# The certificate


@pytest.fixture(scope="module")
def solved() -> tuple[Problem, Result]:
    problem = regression(seed=1, lam=0.01, test=np.arange(80) % 5 == 0)
    return problem, solve(problem)


def check(problem: Problem, result: Result, y: np.ndarray | None = None) -> Any:
    held = np.ones(len(problem.data.y), bool)
    held[problem.data.train] = False
    y = problem.data.y if y is None else y
    assert result.certificate is not None
    return verify(result.certificate, problem.data.X, y, test=held)


def tampered(result: Result, change: Callable[[dict[str, Any], dict[str, Any]], None]) -> Result:
    """The result with a certificate whose header or arrays were changed."""
    assert result.certificate is not None
    header = dict(result.certificate.header)
    arrays = {name: array.copy() for name, array in result.certificate.arrays.items()}
    change(header, arrays)
    return replace(result, certificate=replace(result.certificate, header=header, arrays=arrays))


def test_the_honest_certificate_holds(solved: tuple[Problem, Result]) -> None:
    verdict = check(*solved)
    assert verdict.valid, verdict.reason
    assert (verdict.loss, verdict.weighting) == ("squared_error", "uniform")
    assert verdict.lower <= min(closed_form(solved[0]).values()) <= verdict.upper


def test_another_target_is_refused(solved: tuple[Problem, Result]) -> None:
    problem, result = solved
    for row in (int(problem.data.train[0]), int(problem.data.test[0])):
        y = problem.data.y.copy()
        y[row] = np.nextafter(y[row], np.inf)
        assert "SHA-256" in check(problem, result, y).reason
    classes = np.where(problem.data.y > 0, "yes", "no")
    assert "for numbers" in check(problem, result, classes).reason
    with pytest.raises(ValueError, match="NaN"):
        check(problem, result, np.where(problem.data.y > 0, problem.data.y, np.nan))


TAMPERINGS: dict[str, Callable[[dict[str, Any], dict[str, Any]], None]] = {
    "a higher lower bound": lambda h, a: h.update(lower=h["lower"] * (1 + 1e-3)),
    "a lower upper bound": lambda h, a: h.update(upper=h["upper"] * (1 - 1e-9)),
    "another support": lambda h, a: a["support"].__setitem__(2, 7),
    "other coefficients": lambda h, a: a["beta"].__imul__(0.98),
    "another intercept": lambda h, a: a["intercept"].__iadd__(0.02),
    "another dual point": lambda h, a: (a["point_beta"].__imul__(0.9), a["fit_beta"].fill(0.0)),
    "balanced classes": lambda h, a: h.update(weighting="balanced"),
    "given weights": lambda h, a: h.update(weighting="given"),
    "another ridge": lambda h, a: h.update(lam=h["lam"] * 1.01),
    "another loss": lambda h, a: h.update(loss="logistic"),
    "another k": lambda h, a: h.update(k=4),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_a_tampered_certificate_is_refused(solved: tuple[Problem, Result], name: str) -> None:
    problem, result = solved
    verdict = check(problem, tampered(result, TAMPERINGS[name]))
    assert not verdict.valid, name
    assert verdict.reason
    assert verdict.gap == np.inf


def test_the_intercept_of_a_dual_point_plays_no_part(solved: tuple[Problem, Result]) -> None:
    def move(header: dict[str, Any], arrays: dict[str, Any]) -> None:
        arrays["point_intercept"] += 3.0

    assert check(solved[0], tampered(solved[1], move)).valid


# What surrounds it


def test_the_probe_predicts_the_target() -> None:
    rng = np.random.default_rng(2)
    X = 5.0 + 3.0 * rng.standard_normal((90, 6)).astype(np.float32)
    y = 40.0 + X[:, 1] - 0.5 * X[:, 4] + rng.standard_normal(90)
    test = np.arange(90) % 3 == 0
    problem = Problem.of(X, y, k=2, lam=0.1, loss="squared_error", test=test)
    result = solve(problem)
    assert result.support.tolist() == [1, 4]
    by = problem.data.by
    Z = ((X.astype(np.float64) - by.mean) / by.scale)[:, [1, 4]]
    other = Ridge(alpha=60 * 0.1).fit(Z[~test], y[~test])
    predicted = result.probe.predict(X)
    np.testing.assert_allclose(predicted, other.predict(Z), rtol=1e-9)
    assert np.array_equal(predicted, result.probe.decision_function(X))
    metrics = held_out_targets(problem, result.support, result.beta, result.intercept)
    assert metrics is not None
    assert metrics.r2 == pytest.approx(r2_score(y[test], predicted[test]), rel=1e-12)
    assert metrics.mean_squared_error == pytest.approx(
        mean_squared_error(y[test], predicted[test]), rel=1e-12
    )
    without = Problem.of(X, y, k=2, loss="squared_error")
    assert held_out_targets(without, result.support, result.beta, result.intercept) is None


@pytest.mark.parametrize("seed", range(12))
def test_searches_serve_it(seed: int) -> None:
    problem = random_targets(seed)
    every = closed_form(problem)
    for name in ("greedy", "greedy_swaps"):
        (choice,) = HEURISTICS[name].path(problem, [problem.k])
        assert every[tuple(choice.support.tolist())] >= min(every.values())
    (single,) = HEURISTICS["greedy"].path(problem, [1])
    alone = closed_form(problem.with_k(1))
    assert alone[(int(single.support[0]),)] == pytest.approx(min(alone.values()), rel=1e-9)


def test_candidates_are_ranked_by_correlation() -> None:
    problem = regression(d=20, seed=8, k=2)
    Z, y = problem.data.columns(np.arange(20), problem.data.train), problem.data.y
    correlation = np.abs([np.corrcoef(z, y)[0, 1] for z in Z])
    expected = np.sort(np.argsort(-correlation)[:6])
    assert np.array_equal(best_columns(problem, 6), expected)
    result = solve(problem, candidates=6)
    assert result.scope == "these candidates"
    inside = closed_form(problem)
    least = min(f for s, f in inside.items() if set(s) <= set(expected.tolist()))
    assert result.objective == pytest.approx(least, rel=1e-4)


TWO_CLASSES: dict[str, Callable[[Problem], Any]] = {
    "signs": lambda p: p.y,
    "mean difference": lambda p: HEURISTICS["mean_difference"].path(p, [2]),
    "a ranking first": lambda p: get_heuristic("greedy@5").path(p, [2]),
    "candidates by mean difference": lambda p: best_columns(p, 4, "mean_difference"),
    "metrics of classes": lambda p: held_out(p, np.array([0]), np.ones(1), 0.0),
}


@pytest.mark.parametrize("name", TWO_CLASSES)
def test_what_compares_two_classes_refuses_targets(name: str) -> None:
    with pytest.raises(ValueError, match=r"squared_error.*two classes|loss .*not squared_error"):
        TWO_CLASSES[name](regression(test=np.arange(80) < 20))


def test_metrics_of_classes_need_classes() -> None:
    with pytest.raises(ValueError, match="one class"):
        evaluate(np.full(3, 2.5), np.zeros(3))


def test_formulations_refuse_it() -> None:
    with pytest.raises(ValueError, match="not 'squared_error'"):
        solve(regression(), method="compact", formulation="perspective")


X = np.random.default_rng(0).standard_normal((12, 3))
Y = X[:, 0] + 0.1
REFUSED: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "words": ({"y": np.array(["a", "b"] * 6)}, TypeError, "predicts numbers"),
    "truth values": ({"y": Y > 0}, TypeError, "predicts numbers"),
    "objects": ({"y": np.array([None] * 12)}, TypeError, "object array"),
    "NaN": ({"y": np.where(np.arange(12) == 7, np.nan, Y)}, ValueError, "infinity at row 7"),
    "too large": ({"y": Y * 1e150}, ValueError, "divide y by a constant"),
    "too few": ({"y": Y[:5]}, ValueError, "one label a row"),
    "a constant": ({"y": np.full(12, 7.0)}, ValueError, "varies by only .* about its mean 7"),
    "all but a constant": ({"y": 1e9 + Y}, ValueError, "shift or scale y"),
    "tiny": ({"y": 1e-9 * Y}, ValueError, "shift or scale y"),
    "constant in training": (
        {"y": np.arange(12.0) // 11, "test": np.arange(12) == 11},
        ValueError,
        "on the training rows",
    ),
    "balanced": ({"weights": "balanced"}, ValueError, "has none; pass 'uniform'"),
    "other words": ({"weights": "equal"}, ValueError, "pass 'balanced', 'uniform' or"),
    "no weight": ({"weights": np.zeros(12)}, ValueError, "weigh nothing in all"),
    "negative": ({"weights": np.full(12, -1.0)}, ValueError, "not negative"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_unusable_targets_are_refused(name: str) -> None:
    change, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        Problem.of(**({"X": X, "y": Y, "k": 1, "loss": "squared_error"} | change))


def test_data_of_one_kind_do_not_serve_the_other() -> None:
    with pytest.raises(ValueError, match=r"Problem\.of"):
        replace(Problem.of(X, Y, k=1, loss="squared_error"), loss_name="logistic")
    with pytest.raises(ValueError, match=r"Problem\.of"):
        replace(Problem.of(X, Y > 0, k=1), loss_name="squared_error")
    with pytest.raises(ValueError, match="numbers take squared_error"):
        get_loss("squared_error")
    assert Problem.of(X, Y > 0, k=1).data.weighting == "balanced"


def test_from_the_command_line(tmp_path: Path) -> None:
    problem = regression(seed=6)
    path = tmp_path / "years.npz"
    np.savez(path, X=problem.data.X, y=1950 + 20 * problem.data.y, test=np.arange(80) % 4 == 0)
    command = ["solve", str(path), "--k", "1:3", "--loss", "squared_error", "--quiet"]
    out = [*command, "--json", str(tmp_path / "out.json"), "--certificate", str(tmp_path)]
    found = CliRunner().invoke(app, out)
    assert found.exit_code == 0, found.output
    records = json.loads((tmp_path / "out.json").read_text())
    assert [record["k"] for record in records] == [1, 2, 3]
    assert all(record["verified"]["gap"] <= 1.01e-4 for record in records)
    assert records[2]["weights"] == "uniform"
    assert 0.5 < records[2]["test"]["r2"] < 1.0
    checked = CliRunner().invoke(app, ["verify", str(tmp_path / "years.k3.npz"), str(path)])
    assert checked.exit_code == 0, checked.output
    assert "squared_error loss" in checked.output
    refused = CliRunner().invoke(app, [*command, "--weights", "balanced"])
    assert refused.exit_code == 2
    assert "squared_error has none" in refused.output
    export = ["export", str(path), "--k", "2", "--loss", "squared_error"]
    refused = CliRunner().invoke(app, export)
    assert refused.exit_code == 2
    assert "not 'squared_error'" in refused.output
