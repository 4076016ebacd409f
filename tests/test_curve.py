"""Sparsity curves against brute force, their resumption, their files, and `optprobe curve`."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from instances import brute_force, random_problem
from typer.testing import CliRunner

import optprobe.curves.job
import optprobe.curves.report.page
import optprobe.curves.report.png
from optprobe import demo
from optprobe.cli import app
from optprobe.cli.common import parse_grid
from optprobe.curves import Curve, Point, curve
from optprobe.curves.compare import best_known, compare
from optprobe.curves.controls import shuffled
from optprobe.curves.records import DENSE, EXACT, RANDOM, SHUFFLED, Solve
from optprobe.curves.report import write_report
from optprobe.curves.report.style import thinned
from optprobe.curves.scoring import METRICS, Scorer
from optprobe.heuristics import HEURISTICS, Heuristic
from optprobe.losses import LOSSES
from optprobe.metrics import evaluate, scores
from optprobe.problem import Problem
from optprobe.result import Bounds, Limits
from optprobe.solver import solve_path
from optprobe.support import fit_support

FAST = {"resamples": 40, "random_seeds": 2}
RULES = ("mean_difference", "greedy")


def task(**changes: object) -> dict[str, object]:
    """Arrays of a small task: three columns of seven matter, documents of three rows."""
    rng = np.random.default_rng(5)
    X = rng.standard_normal((120, 7)).astype(np.float32)
    y = X[:, 0] - X[:, 2] + 0.5 * X[:, 4] + rng.standard_normal(120) > 0
    documents = np.arange(120) // 3
    held: dict[str, object] = {
        "X": X, "y": y, "groups": documents, "test": documents % 3 == 2,
        "names": [f"L3N{j}" for j in range(7)],
    }  # fmt: skip
    return held | changes


def problem(**changes: object) -> Problem:
    return Problem.of(k=1, lam=0.1, **task(**changes))  # pyright: ignore[reportArgumentType]


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


def stub(supports: dict[int, list[int]], error: BaseException | None = None) -> Heuristic:
    """A heuristic that chooses these supports, then raises."""

    def choose(*_: object) -> Iterator[tuple[int, np.ndarray]]:
        for k, support in supports.items():
            yield k, np.array(support)
        if error is not None:
            raise error

    return Heuristic("stub", "stub", choose)


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


def too_high(*arguments: object, **settings: object) -> Iterator[object]:
    """Results whose verified lower bound is false."""
    for result in solve_path(*arguments, **settings):  # pyright: ignore[reportArgumentType]
        upper = result.objective
        yield replace(result, verified=Bounds(1.01 * upper, 1.02 * upper))


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


# Files


def report(folder: Path, given: Problem, ks: list[int]) -> Curve:
    found = curve(given, ks, methods=RULES, out=folder, name="task", **FAST)
    write_report(folder, found)
    return found


def test_parquet_and_json_hold_the_same(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    found = report(tmp_path, problem(), [1, 2])
    rows = parquet.read_table(tmp_path / "curve.parquet").to_pylist()
    held = json.loads((tmp_path / "curve.json").read_text())
    assert rows == found.rows()
    assert len(rows) == len(held["points"])
    assert {(row["instance"], row["loss"], row["lam"]) for row in rows} == {
        ("task", "logistic", 0.1)
    }
    for row, point, original in zip(rows, held["points"], found.points, strict=True):
        assert Point.from_json(point) == original
        for name in ("kind", "method", "k", "seed", "objective", "support"):
            assert row[name] == point[name]
        assert row["test_pr_auc_low"] == point["test"]["pr_auc"]["low"]
        assert row["regret"] == (point["against"] or {}).get("regret")
    assert held["facts"]["data"] == found.facts.data
    assert held["machine"]["packages"]["numpy"] == np.__version__
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


class Loads(HTMLParser):
    """Collects what a page would fetch, and its policy."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.policy = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        held = dict(attrs)
        self.found += [
            str(held[name]) for name in ("src", "href", "data", "action") if name in held
        ]
        if tag in ("link", "iframe", "object", "embed", "base", "img"):
            self.found.append(tag)
        if held.get("http-equiv") == "Content-Security-Policy":
            self.policy = str(held["content"])


def test_the_page_loads_nothing_and_escapes_names(tmp_path):
    pytest.importorskip("plotly")
    names = [f"</script><script>alert({j})</script><b>" for j in range(7)]
    given = problem(names=names)
    found = curve(given, [1, 2], methods=RULES, **FAST)
    write_report(tmp_path, replace(found, facts=replace(found.facts, name="<img src=x>")))
    text = (tmp_path / "curve.html").read_text()
    page = Loads()
    page.feed(text)
    assert page.found == []
    assert page.policy.startswith("default-src 'none'")
    assert "alert(0)" in text
    assert "<script>alert" not in text
    assert "<img" not in text


def test_a_damaged_record_is_refused_by_name(tmp_path):
    given = problem()
    curve(given, [1], methods=["greedy"], out=tmp_path, **FAST)
    record = tmp_path / "points" / "heuristic.greedy.1.0.json"
    for text in ("{", "[]", '{"support": []}'):
        record.write_text(text)
        with pytest.raises(ValueError, match=r"heuristic\.greedy\.1\.0\.json is no record"):
            curve(given, [1], methods=["greedy"], out=tmp_path, **FAST)


def test_figures_of_an_unfinished_or_untested_curve(tmp_path, monkeypatch):
    given = problem(test=None)
    write_report(tmp_path, curve(given, [1, 2, 4], methods=RULES, exact=[], **FAST))
    assert (tmp_path / "curve.png").exists()
    monkeypatch.setitem(HEURISTICS, "stub", stub({}, KeyboardInterrupt()))
    (tmp_path / "b").mkdir()
    write_report(tmp_path / "b", curve(given, [1], methods=["stub"], **FAST))
    assert json.loads((tmp_path / "b" / "curve.json").read_text())["complete"] is False


def test_tick_labels_keep_their_distance():
    ks = parse_grid("paper", 1536)
    assert thinned(range(1, 9)) == [str(k) for k in range(1, 9)]
    shown = [int(label) for label in thinned(ks) if label]
    assert {1, 2, 4, 8, 1024} <= set(shown)
    assert np.diff(np.log2(shown)).min() > 0.3


# Command line


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "task.npz"
    np.savez(path, **{key: np.asarray(value) for key, value in task().items()})
    return path


def run(*arguments: object):
    return CliRunner().invoke(app, [str(part) for part in arguments])


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports without figures, for what is told of other files."""
    monkeypatch.setattr(optprobe.curves.report.png, "write_png", lambda *_: None)
    monkeypatch.setattr(optprobe.curves.report.page, "write_html", lambda *_: None)


QUICK = ("--k", "1:2", "--methods", "greedy,mean_difference@3", "--resamples", "20")


def test_curve_writes_everything(data, tmp_path):
    out = tmp_path / "out"
    result = run("curve", data, *QUICK, "--out", out)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    assert "certified" in result.stdout
    assert "mean difference @3" in result.stdout
    for name in ("curve.json", "curve.parquet", "curve.png", "curve.html"):
        assert (out / name).stat().st_size > 0
    for k in (1, 2):
        checked = run("verify", out / "certificates" / f"task.k{k}.npz", data)
        assert checked.exit_code == 0, checked.output
    again = run("curve", data, *QUICK, "--out", out)
    assert again.stdout == result.stdout
    other = run("curve", data, *QUICK, "--ridge", "0.5", "--out", out)
    assert other.exit_code == 2
    assert "another ridge (ridge: 0.01 there, 0.5 now)" in other.stderr


def test_several_files_get_a_folder_each(data, tmp_path, undrawn):
    other = tmp_path / "other.npz"
    other.write_bytes(data.read_bytes())
    out = tmp_path / "out"
    result = run("curve", data, other, *QUICK, "--out", out, "--quiet")
    assert (result.exit_code, result.output) == (0, "")
    assert (out / "task" / "curve.json").exists()
    assert (out / "other" / "curve.json").exists()
    assert run("curve", data, data, *QUICK, "--out", out).exit_code == 2


def test_a_limit_is_exit_code_3(data, tmp_path):
    result = run(
        "curve", data, *QUICK, "--ridge", "1", "--time-limit", "1e-9", "--out", tmp_path / "out"
    )
    assert result.exit_code == 3, result.output
    assert "best known, open" in result.stdout
    assert "<= " in result.stdout


def test_ctrl_c_is_exit_code_3_with_what_was_found(data, tmp_path, monkeypatch):
    monkeypatch.setitem(HEURISTICS, "stub", stub({1: [3]}, KeyboardInterrupt()))
    out = tmp_path / "out"
    result = run("curve", data, "--k", "1:2", "--methods", "greedy,stub", "--out", out)
    assert result.exit_code == 3
    assert "Interrupted: the same command goes on from here." in result.stdout
    held = json.loads((out / "curve.json").read_text())
    assert [point["method"] for point in held["points"]] == ["greedy", "greedy", "stub"]


def test_a_false_bound_is_exit_code_1(data, tmp_path, monkeypatch):
    monkeypatch.setattr(optprobe.curves.job, "solve_path", too_high)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        result = run("curve", data, *QUICK, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "the bound is false" in result.stdout


def test_files_without_test_rows_are_split_by_group(tmp_path, undrawn):
    path = tmp_path / "whole.npz"
    held = {key: np.asarray(value) for key, value in task().items() if key != "test"}
    np.savez(path, **held)
    out = tmp_path / "out"
    result = run("curve", path, *QUICK, "--out", out)
    assert result.exit_code == 0, result.output
    assert "The file has no test rows" in result.stdout
    rows = out / "test_rows.npy"
    mask = np.load(rows)
    assert not set(held["groups"][mask]) & set(held["groups"][~mask])
    proof = out / "certificates" / "whole.k2.npz"
    assert run("verify", proof, path).exit_code == 1
    assert run("verify", proof, path, "--test", rows).exit_code == 0
    assert run("verify", proof, path, "--test", path).exit_code == 2
    none = run("curve", path, *QUICK, "--test-size", "0", "--out", tmp_path / "none")
    assert none.exit_code == 0
    assert "No test metrics: there are no test rows." in none.stdout


def test_one_class_on_the_test_side_is_no_error(tmp_path):
    path = tmp_path / "a$b_{[red].npz"
    y = np.asarray(task()["y"])
    np.savez(path, X=np.asarray(task()["X"]), y=y, test=y & (np.arange(120) % 2 == 0))
    result = run("curve", path, *QUICK, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "No test metrics: no test row has the label False." in result.stdout
    assert "a$b_{[red]: logistic" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--k", "9"], "k=9 exceeds the 7 usable columns"),
        (["--k", "0"], "pass k >= 1"),
        (["--exact", "x"], "--exact x: pass a number"),
        (["--methods", "nonsense"], "unknown heuristic 'nonsense'; choose one of"),
        (["--loss", "nonsense"], "nonsense"),
        (["--resamples", "0"], "resamples >= 1"),
        (["--time-limit", "-1"], "pass a number >= 0"),
    ],
)
def test_bad_options_are_one_sentence(data, tmp_path, arguments, message):
    result = run("curve", data, *arguments, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_the_grid_of_the_paper():
    assert parse_grid("paper", 1536) == [*range(1, 9), 10, 12, 16, 32, 64, 128, 256, 512, 1024]
    assert parse_grid("paper", 9) == list(range(1, 9))
    assert parse_grid("1:2,4", 9) == [1, 2, 4]
