"""Filtered leaves checked in processes: the verdict is that of one process, whatever happens."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from optprobe import Limits, Problem, solve
from optprobe.certificate import Certificate, Kind
from optprobe.checker import Verdict, processes, verify
from optprobe.checker.form import RefusedError
from optprobe.checker.leaves import Node
from optprobe.engine import leaves, tree


@pytest.fixture(scope="module")
def proof() -> tuple[Certificate, np.ndarray, np.ndarray]:
    """A certificate with several filtered leaves, and its data."""
    rng = np.random.default_rng(3)
    X = rng.standard_normal((300, 6)) @ rng.standard_normal((6, 40))
    X += 2.0 * rng.standard_normal(X.shape)
    y = X[:, :6].sum(axis=1) + 6.0 * rng.standard_normal(300) > 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree, "FILTER_FROM", 0)
        patch.setattr(tree, "ENUMERATE", 1)
        patch.setattr(leaves, "CHILD", 5)
        patch.setattr(leaves, "LISTED", 20)
        patch.setattr(leaves, "MOST_LISTED", 20)
        solution = solve(Problem.of(X, y, k=4, lam=1e-2), limits=Limits(gap=1e-5))
    made = solution.certificate
    assert made is not None
    assert (made.arrays["node_kind"] == Kind.FILTERED).sum() >= 4
    return made, X, y


@pytest.fixture
def alone(
    proof: tuple[Certificate, np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> Verdict:
    """The verdict of one process; from then on others are started for any leaf."""
    verdict = verify(*proof)
    monkeypatch.setattr(processes, "LEAST", 1)
    monkeypatch.setattr(processes, "processors", lambda: 2)
    return verdict


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each question so far was answered."""
    answered: list[bool] = []
    ask = processes.Process.ask

    def watched(self: processes.Process, node: Node) -> processes.Covered | None:
        answer = ask(self, node)
        answered.append(answer is not None)
        return answer

    monkeypatch.setattr(processes.Process, "ask", watched)
    return answered


PYTHON = sys.executable


def script(folder: Path, line: str) -> str:
    """A program that runs in place of Python."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
    return str(path)


def spoilt(honest: Certificate) -> Certificate:
    """Its fits bound nothing."""
    intercept = honest.arrays["fit_intercept"] + 60.0
    return replace(honest, arrays=honest.arrays | {"fit_intercept": intercept})


def same(one: Verdict, other: Verdict) -> bool:
    return replace(one, seconds=0.0) == replace(other, seconds=0.0)


def test_processes_answer_what_one_would(
    proof: tuple[Certificate, np.ndarray, np.ndarray], alone: Verdict, asked: list[bool]
) -> None:
    verdict = verify(*proof)
    assert verdict.valid
    assert same(verdict, alone)
    assert len(asked) == alone.filtered
    assert all(asked)


@pytest.mark.parametrize("program", ["", "/no/such/python", "/bin/true", "/bin/echo"])
def test_leaves_of_a_process_that_does_not_answer_are_checked_here(
    program: str,
    proof: tuple[Certificate, np.ndarray, np.ndarray],
    alone: Verdict,
    asked: list[bool],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "executable", program)
    assert same(verify(*proof), alone)
    assert not any(asked)


JUNK = ("junk", "{}", "null", '{"number": -1, "fitted": 0, "screened": 0}')


@pytest.mark.parametrize("said", JUNK)
def test_a_process_that_says_something_else_is_not_asked_again(
    said: str,
    proof: tuple[Certificate, np.ndarray, np.ndarray],
    alone: Verdict,
    asked: list[bool],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its answers would be taken for those about other leaves, and the last never be read."""
    honest, X, y = proof
    monkeypatch.setattr(sys, "executable", script(tmp_path, f"echo '{said}'; exec {PYTHON} \"$@\""))
    assert same(verify(honest, X, y), alone)
    assert not any(asked)
    assert not verify(spoilt(honest), X, y).valid


def test_a_process_that_ends_is_not_missed(
    proof: tuple[Certificate, np.ndarray, np.ndarray],
    alone: Verdict,
    asked: list[bool],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "executable", script(tmp_path, f'head -n 1 | {PYTHON} "$@"'))
    assert same(verify(*proof), alone)
    assert any(asked)
    assert not all(asked)


def test_leaves_are_checked_here_where_there_is_no_room_for_files(
    proof: tuple[Certificate, np.ndarray, np.ndarray],
    alone: Verdict,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(processes.np, "savez", full)
    assert same(verify(*proof), alone)


def test_a_leaf_without_a_fit_is_refused_for_the_same_reason(
    proof: tuple[Certificate, np.ndarray, np.ndarray], alone: Verdict
) -> None:
    honest, X, y = proof
    assert alone.fitted > 0
    verdict = verify(spoilt(honest), X, y)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "LEAST", 10**9)
        expected = verify(spoilt(honest), X, y)
    assert not verdict.valid
    assert verdict.reason == expected.reason


def test_the_first_fault_of_the_walk_is_the_one_that_is_told() -> None:
    def walk() -> Iterator[Node]:
        yield Node(1, (), np.arange(3), 2)
        raise RefusedError("of a later node")

    class First(processes.Processes):
        def __init__(self) -> None:
            self._threads = processes.ThreadPoolExecutor(1)

        def _check(self, node: Node) -> processes.Covered:
            raise RefusedError(f"of node {node.number}")

    first, last = First().asked(walk())
    with pytest.raises(RefusedError, match="node 1"):
        first.result()
    with pytest.raises(RefusedError, match="later"):
        last.result()


@pytest.mark.parametrize("given_up", [False, True])
def test_nothing_is_left_behind(
    given_up: bool,
    proof: tuple[Certificate, np.ndarray, np.ndarray],
    alone: Verdict,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun: list[Any] = []
    begin = subprocess.Popen

    def watched(*arguments: Any, **named: Any) -> Any:
        begun.append(begin(*arguments, **named))
        return begun[-1]

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "Popen", watched)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    if given_up:
        monkeypatch.setattr(processes.Process, "ask", interrupted)
        with pytest.raises(KeyboardInterrupt):
            verify(*proof)
    else:
        assert same(verify(*proof), alone)
    assert len(begun) == 2
    assert all(popen.poll() is not None for popen in begun)
    assert not list(tmp_path.iterdir())
