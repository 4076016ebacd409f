"""The files of a sparsity curve, and `optprobe curve`."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from curve_tasks import FAST, RULES, problem, stub, task, too_high
from typer.testing import CliRunner

import optprobe.curves.job
import optprobe.curves.report.page
import optprobe.curves.report.png
from optprobe.cli import app
from optprobe.cli.common import parse_grid
from optprobe.curves import Curve, Point, curve
from optprobe.curves.report import write_report
from optprobe.curves.report.style import thinned
from optprobe.heuristics import HEURISTICS
from optprobe.problem import Problem

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
