"""Sparsity curves against brute force, and their resumption."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from curve_tasks import FAST, RULES, problem, stub, task, too_high
from instances import brute_force, random_problem

import optprobe.curves.job
import optprobe.curves.report.page
import optprobe.curves.report.png
from optprobe import demo
from optprobe.curves import Curve, Point, curve
from optprobe.curves.compare import best_known, compare
from optprobe.curves.controls import shuffled
from optprobe.curves.records import DENSE, EXACT, RANDOM, SHUFFLED, Solve
from optprobe.curves.scoring import METRICS, Scorer
from optprobe.heuristics import HEURISTICS
from optprobe.losses import LOSSES
from optprobe.metrics import evaluate, scores
from optprobe.problem import Problem
from optprobe.result import Limits
from optprobe.solver import solve_path
from optprobe.support import fit_support


def timeless(found: Curve) -> list[Point]:
    return [replace(point, seconds=0.0, refit_seconds=0.0) for point in found.points]


@pytest.mark.parametrize("seed", range(6))
def test_regrets_are_those_of_brute_force(seed):
    given = random_problem(seed)
    ks = range(1, given.k + 1)
    found = curve(given, ks, limits=Limits(gap=1e-6), **FAST)
    assert found.complete
    assert found.solved
    assert found.defects == []
    assert found.no_test == "there are no test rows"
    for k in ks:
        best = brute_force(given.with_k(k))
        exact = found.exact(k)
        assert exact is not None
        assert exact.objective == pytest.approx(best.value, rel=2e-6)
        held = [p for p in found.points if p.k == k and p.comparable]
        assert len(held) == 1 + len(found.methods) + 2
        for point in held:
            against = point.against
            assert against is not None
            assert against.reference == "optimum"
            assert against.regret == pytest.approx(point.objective / best.value - 1, abs=3e-6)
            assert against.regret >= 0.0
            both = set(point.support) & set(exact.support)
            assert against.overlap == len(both) / len(set(point.support) | set(exact.support))
            assert point.test is None


def test_scores_are_those_of_the_refit():
    given = problem()
    found = curve(given, [1, 3], methods=RULES, **FAST)
    test, y = given.data.test, given.data.y
    for point in found.points:
        assert point.test is not None
        assert set(point.test) == set(METRICS)
        for estimate in point.test.values():
            assert estimate.low is not None
            assert estimate.high is not None
            assert estimate.low <= estimate.high
        if not point.comparable:
            continue
        support = np.array(point.support)
        solution = fit_support(given.matrix.columns(support), given.rows).solution[0]
        at = evaluate(y[test], scores(given, support, solution[:-1], float(solution[-1]), test))
        for name in METRICS:
            assert point.test[name].value == pytest.approx(getattr(at, name), abs=1e-12)
        exact = found.exact(point.k)
        assert point.against is not None
        if point.kind == "heuristic" and exact is not None and exact.test is not None:
            difference = point.against.f1_difference
            assert difference is not None
            assert difference.value == pytest.approx(exact.test["f1"].value - at.f1, abs=1e-12)


def test_the_refit_ridge_changes_scores_only():
    given = problem()
    one = curve(given, [2], methods=RULES, **FAST)
    two = curve(given, [2], methods=RULES, refit_lam=10.0, **FAST)
    weaker = replace(given, lam=10.0)
    for a, b in zip(one.points, two.points, strict=True):
        assert (a.method, a.support, a.objective) == (b.method, b.support, b.objective)
        if b.comparable:
            columns = given.matrix.columns(np.array(b.support))
            solution = fit_support(columns, weaker.rows).solution[0]
            np.testing.assert_allclose([*b.beta, b.intercept], solution, atol=1e-4)


def test_dense_is_the_fit_on_all_columns():
    given = problem()
    found = curve(given, [1], methods=RULES, **FAST)
    (dense,) = found.of(DENSE, "control")
    everything = fit_support(given.matrix.columns(given.usable), given.rows)
    assert dense.objective == pytest.approx(float(everything.primal[0]), rel=1e-6)
    assert dense.k == 7
    assert dense.against is None


def test_shuffled_labels_keep_the_weighting_and_the_test_side():
    for weights in ("balanced", "uniform", np.linspace(1.0, 2.0, 120)):
        given = problem(weights=weights)
        noise = shuffled(given, seed=3)
        assert not np.array_equal(noise.y, given.y)
        assert sorted(noise.y) == sorted(given.y)
        test = given.data.test
        np.testing.assert_array_equal(noise.data.y[test], given.data.y[test])
        assert noise.matrix is given.matrix
        again = Problem.of(k=1, lam=0.1, **task(y=noise.data.y, weights=weights))
        np.testing.assert_array_equal(noise.weights, again.weights)
        assert noise.data.digest == again.data.digest


def test_shuffled_labels_score_near_chance_on_real_activations():
    found = curve(demo.problem(), [1, 2], methods=["greedy"], exact=[], **FAST)
    for noise, greedy in zip(found.of(SHUFFLED, "control"), found.of("greedy"), strict=True):
        assert noise.test is not None
        assert greedy.test is not None
        assert 0.3 < noise.test["roc_auc"].value < 0.7
        assert greedy.test["roc_auc"].value > 0.9
        assert noise.objective > 0.6  # ln 2 without any column
    assert {point.against.reference for point in found.of("greedy") if point.against} == {
        "best known"
    }
    for point in found.of("greedy"):
        assert point.against is not None
        assert point.against.regret is None


def test_random_coordinates_are_several():
    found = curve(problem(), [2, 3], methods=RULES, resamples=10, random_seeds=4)
    drawn = found.of(RANDOM, "control")
    assert [(p.k, p.seed) for p in drawn] == [(k, seed) for k in (2, 3) for seed in range(4)]
    assert len({point.support for point in drawn}) > 2


def test_an_interruption_loses_nothing_and_resumes(tmp_path, monkeypatch):
    given, ks = problem(), [1, 2]
    chosen = {1: [3], 2: [3, 5]}
    methods = ["greedy", "stub", "mean_difference"]
    monkeypatch.setitem(HEURISTICS, "stub", stub({1: [3]}, KeyboardInterrupt()))
    seen: list[Point] = []
    cut = curve(given, ks, methods=methods, out=tmp_path / "a", observe=seen.append, **FAST)
    assert not cut.complete
    assert [(point.method, point.k) for point in cut.points] == [
        ("greedy", 1), ("greedy", 2), ("stub", 1)
    ]  # fmt: skip
    assert [point.key for point in cut.points] == [point.key for point in seen]
    assert all(point.against is not None for point in cut.points)
    monkeypatch.setitem(HEURISTICS, "stub", stub(chosen))
    calls: list[str] = []
    greedy = HEURISTICS["greedy"]

    def counted(*arguments: object) -> object:
        calls.append("greedy")
        return greedy.choose(*arguments)  # pyright: ignore[reportArgumentType]

    monkeypatch.setitem(HEURISTICS, "greedy", replace(greedy, choose=counted))
    seen.clear()
    resumed = curve(given, ks, methods=methods, out=tmp_path / "a", observe=seen.append, **FAST)
    assert calls == ["greedy"]  # that of the shuffled labels only
    assert [point.method for point in seen][:3] == ["stub", "mean_difference", "mean_difference"]
    whole = curve(given, ks, methods=methods, out=tmp_path / "b", **FAST)
    assert timeless(resumed) == timeless(whole)
    seen.clear()
    again = curve(given, ks, methods=methods, out=tmp_path / "a", observe=seen.append, **FAST)
    assert seen == []
    assert again.points == resumed.points


def test_an_interrupted_solve_is_done_again(tmp_path, monkeypatch):
    given = problem()

    def cut(*arguments: object, **settings: object) -> Iterator[object]:
        for result in solve_path(*arguments, **settings):  # pyright: ignore[reportArgumentType]
            yield replace(result, limit="interrupted")
            return

    monkeypatch.setattr(optprobe.curves.job, "solve_path", cut)
    first = curve(given, [1, 2], methods=RULES, out=tmp_path, **FAST)
    assert not first.complete
    assert [point.k for point in first.of(EXACT, "exact")] == [1]
    monkeypatch.undo()
    whole = curve(given, [1, 2], methods=RULES, out=tmp_path, **FAST)
    assert whole.complete
    assert whole.solved
    assert timeless(whole) == timeless(curve(given, [1, 2], methods=RULES, out=tmp_path, **FAST))


def test_more_methods_join_a_folder(tmp_path):
    given = problem()
    curve(given, [1, 2], methods=["greedy"], out=tmp_path, **FAST)
    both = curve(given, [1, 2], methods=["mean_difference"], out=tmp_path, **FAST)
    assert set(both.methods) == {"greedy", "mean_difference"}


@pytest.mark.parametrize("changed", ["ks", "resamples", "loss", "labels", "groups"])
def test_a_folder_with_other_settings_is_refused(tmp_path, changed):
    given, ks, more = problem(), [1], dict(FAST)
    curve(given, ks, methods=RULES, out=tmp_path, **more)
    if changed == "ks":
        ks = [1, 2]
    if changed == "resamples":
        more["resamples"] = 41
    if changed == "loss":
        given = replace(given, loss_name="squared_hinge")
    if changed == "labels":
        given = problem(y=~task()["y"])  # pyright: ignore[reportOperatorIssue]
    if changed == "groups":
        given = problem(groups=None)
    with pytest.raises(ValueError, match="holds a curve with another"):
        curve(given, ks, methods=RULES, out=tmp_path, **more)


def test_open_gaps_are_judged_by_the_lower_bound():
    given = random_problem(3, "logistic")
    found = curve(given, [1, 2, 3], exact=[2], limits=Limits(time_s=1e-9), methods=RULES, **FAST)
    assert found.complete
    assert not found.solved
    exact = found.exact(2)
    assert exact is not None
    assert exact.solve is not None
    assert exact.solve.lower is not None
    assert exact.solve.lower < brute_force(given.with_k(2)).value <= exact.objective * (1 + 1e-9)
    assert found.exact(1) is None
    for point in found.points:
        if point.comparable and point.k == 2:
            assert point.against is not None
            assert point.against.reference == "lower bound"
            regret = point.objective / exact.solve.lower - 1
            assert point.against.regret == pytest.approx(regret, rel=1e-12)
    assert "mean difference took" in found.stopped["heuristic.mean_difference.0"]
    assert [point.k for point in found.of("mean_difference")] == [1, 2]


def point_at(objective: float, support: tuple[int, ...], **more: object) -> Point:
    plain = Point(
        "heuristic", "rule", "rule", 2, 0, support, (), (), 0.0, objective, 0.0, 0.0, None
    )
    return replace(plain, **more)  # pyright: ignore[reportArgumentType]


def test_the_exact_line_takes_the_best_support_known():
    solve = Solve(0.4, 0.5, False, "feasible", "time", 3, EXACT, None)
    exact = point_at(0.6, (0, 1), kind="exact", method=EXACT, solve=solve)
    rival = point_at(0.5, (2, 3))
    best = best_known(exact, [rival], 1e-4)
    assert (best.support, best.objective, best.kind) == ((2, 3), 0.5, "exact")
    assert best.solve is not None
    assert (best.solve.found_by, best.solve.lower, best.solve.certified) == ("rule", 0.4, False)
    scorer = Scorer(random_problem(0), curve(random_problem(0), [1], exact=[]).settings)
    against = compare(rival, best, best, scorer)
    assert against.regret == pytest.approx(0.25)
    assert (against.reference, against.overlap) == ("lower bound", 1.0)
    sure = best_known(exact, [replace(rival, objective=0.40001)], 1e-4)
    assert sure.solve is not None
    assert sure.solve.certified


def test_a_support_below_a_verified_bound_is_told_loudly(monkeypatch):
    monkeypatch.setattr(optprobe.curves.job, "solve_path", too_high)
    with pytest.warns(RuntimeWarning, match="below the verified lower bound"):
        found = curve(problem(), [1], methods=["greedy"], **FAST)
    assert any("the bound is false" in said for said in found.defects)


def test_missing_packages_are_named(monkeypatch):
    lost = replace(stub({}), package="lost", imports=("no_such_package",))
    for name in list(HEURISTICS):
        if name not in ("greedy", RANDOM):
            monkeypatch.delitem(HEURISTICS, name)
    monkeypatch.setitem(HEURISTICS, "stub", lost)
    hinge = replace(stub({}), name="wrong", losses=("hinge",))
    monkeypatch.setitem(HEURISTICS, "wrong", hinge)
    found = curve(problem(), [1], methods="all", **FAST)
    assert found.methods == ("greedy",)
    assert set(found.missing) == {"stub", "wrong"}
    assert "pip install" in found.missing["stub"]
    with pytest.raises(ImportError, match="pip install"):
        curve(problem(), [1], methods=["stub"], **FAST)
    with pytest.raises(ValueError, match="does not serve the loss logistic"):
        curve(problem(), [1], methods=["wrong"], **FAST)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ks": []}, "pass increasing numbers"),
        ({"ks": [0, 1]}, "pass increasing numbers"),
        ({"ks": [8]}, "k=8 exceeds the 7 usable columns"),
        ({"exact": [2]}, "exact k=2 is not among the ks"),
        ({"methods": ["nonsense"]}, "unknown heuristic 'nonsense'; choose one of "),
        ({"methods": "greedy"}, "pass 'default', 'all' or a list"),
        ({"resamples": 0}, "resamples >= 1"),
        ({"refit_lam": -1.0}, "refit ridge -1.0: pass a number > 0"),
    ],
)
def test_bad_arguments_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        curve(problem(), settings.pop("ks", [1]), **settings)


def test_losses_of_numbers_are_refused(monkeypatch):
    given = replace(problem(), loss_name="hinge")
    monkeypatch.delitem(LOSSES, "hinge")
    with pytest.raises(ValueError, match="compare classifiers; the loss hinge predicts numbers"):
        curve(given, [1])


def test_choices_come_as_the_method_finds_them():
    backwards = stub({2: [5, 3], 1: [3]})
    given = problem()
    assert [choice.k for choice in backwards.choices(given, [1, 2])] == [2, 1]
    assert [choice.k for choice in backwards.path(given, [1, 2])] == [1, 2]
    assert next(backwards.choices(given, [1, 2])).support.tolist() == [3, 5]


def test_inside_p_columns_no_more_than_p_are_asked_for():
    found = curve(problem(), [1, 2, 3], methods=["greedy@2"], exact=[], **FAST)
    assert [point.k for point in found.of("greedy@2")] == [1, 2]
