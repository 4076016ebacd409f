"""Activations too large to copy: the same answers as in memory, and few passes over the file."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from optprobe import observations
from optprobe.certificate import Kind
from optprobe.checker import columns as kept
from optprobe.checker import data as checked
from optprobe.engine import leaves, singles, tree
from optprobe.matrix import StreamedMatrix, held, standardise, streamed
from optprobe.matrix.held import HeldColumns
from optprobe.prefilter import best_columns, proven_columns, root_relaxation
from optprobe.problem import Problem
from optprobe.solver import solve
from optprobe.threads import threads_limited
from optprobe.verdict import judge

ROWS, D = 400, 60
HELD = np.arange(ROWS) % 7 == 3


class CountedMap(np.memmap):
    """A memory-mapped array that counts the rows asked of it."""

    rows_read = 0

    def __getitem__(self, key: Any) -> Any:
        row = key[0] if isinstance(key, tuple) else key
        found = self.view(np.ndarray)[key]
        CountedMap.rows_read += len(found) if isinstance(row, slice) else np.size(row)
        return found


def passes() -> float:
    """Since they were last asked for."""
    count, CountedMap.rows_read = CountedMap.rows_read / ROWS, 0
    return count


def labelled(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Correlated float16 columns, one of them constant, and a label that three of them make."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((ROWS, 5)) @ rng.standard_normal((5, D)) / 3
    X = (X + rng.standard_normal((ROWS, D)) + rng.uniform(-2, 2, D)).astype(np.float16)
    X[:, 11] = 0.5
    score = X[:, [4, 20, 41]].astype(float) @ [1.5, -1.0, 0.7]
    return X, score + rng.logistic(size=ROWS) > np.median(score)


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything on disk is large, 30 of the 60 columns may be kept, and blocks are small."""
    monkeypatch.setattr(observations, "STREAM_BYTES", 16)
    monkeypatch.setattr(observations, "DOUBLE_BYTES", 8 * ROWS * 3)
    monkeypatch.setattr(held, "HELD_BYTES", 2 * ROWS * 30)
    monkeypatch.setattr(kept, "HELD_BYTES", 2 * ROWS * 40)
    monkeypatch.setattr(checked, "BLOCK_BYTES", 8 * D * 50)
    for module in (standardise, held, streamed):
        monkeypatch.setattr(module, "MOMENT_BLOCKS", 3)
    monkeypatch.setattr(standardise, "MOMENT_BYTES", 8 * D * 17)
    monkeypatch.setattr(standardise, "MOMENT_ROWS", 1)
    monkeypatch.setattr(standardise, "LARGE_HALF", 1)


def mapped(folder: Path, X: np.ndarray) -> np.ndarray:
    np.save(folder / "X.npy", X)
    passes()
    return np.load(folder / "X.npy", mmap_mode="r").view(CountedMap)


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("lam", [0.1, 0.01])
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("held_out", [True, False])
def test_a_mapped_file_gives_the_answer_of_the_array(
    tmp_path: Path, lam: float, k: int, held_out: bool
) -> None:
    X, y = labelled()
    test = HELD if held_out else None
    found = Problem.of(mapped(tmp_path, X), y, k=k, lam=lam, test=test)
    expected = Problem.of(X, y, k=k, lam=lam, test=test)
    assert isinstance(found.matrix, StreamedMatrix)
    one, other = solve(found), solve(expected)
    assert one.support.tolist() == other.support.tolist()
    assert one.objective == pytest.approx(other.objective, rel=1e-12)
    assert one.verified is not None
    assert one.verified.gap <= 1e-4 * (1 + 1e-6)
    columns, rows = np.array([7, 2, 59]), np.array([5, 0, 399])
    np.testing.assert_array_equal(
        found.data.columns(columns, rows), expected.data.columns(columns, rows)
    )


@pytest.mark.usefixtures("large")
def test_passes_over_the_file(tmp_path: Path) -> None:
    X, y = labelled()
    problem = Problem.of(mapped(tmp_path, X), y, k=1, lam=0.1)
    assert passes() == 1
    best_columns(problem, 20)
    assert passes() == 0
    free = ~problem.data.by.constant
    relaxed = root_relaxation(problem.matrix, problem.rows, 1, free, np.inf)
    assert relaxed.primal[0] - relaxed.bound[0] <= 1e-6 * relaxed.primal[0]
    # The working set, perhaps once more, and a product with every column per dual point.
    assert passes() <= 4
    problem = Problem.of(problem.data.X, y, k=1, lam=0.1)
    assert passes() == 1
    result = solve(problem, check=False)
    assert result.certificate is not None
    assert passes() <= 6  # the digest's among them
    assert judge(problem, result.certificate).valid
    assert passes() == 4


@pytest.mark.usefixtures("large")
def test_proven_columns_are_those_of_the_array(tmp_path: Path) -> None:
    X, y = labelled(1)
    found = Problem.of(mapped(tmp_path, X), y, k=2, lam=0.1)
    expected = Problem.of(X, y, k=2, lam=0.1)
    upper = solve(expected, check=False).objective
    kept = proven_columns(found, upper)
    assert len(kept) < 20
    assert kept.tolist() == proven_columns(expected, upper).tolist()


@pytest.mark.usefixtures("large")
def test_sums_do_not_depend_on_the_number_of_processors(tmp_path: Path) -> None:
    X, y = labelled()
    matrix = Problem.of(mapped(tmp_path, X), y, k=1, test=HELD).matrix
    duals = np.random.default_rng(0).standard_normal((2, int((~HELD).sum())))
    with threads_limited(1):
        once = matrix.correlations(duals), matrix.squares(duals)
    for number in (2, 7):
        with threads_limited(number):
            np.testing.assert_array_equal(matrix.correlations(duals), once[0])
            np.testing.assert_array_equal(matrix.squares(duals), once[1])


@pytest.mark.usefixtures("large")
def test_a_long_stretch_of_held_out_rows_is_not_read(tmp_path: Path) -> None:
    X, y = labelled()
    test = (np.arange(ROWS) >= 100) & (np.arange(ROWS) < 300)
    found = Problem.of(mapped(tmp_path, X), y, k=1, test=test)
    expected = Problem.of(X, y, k=1, test=test)
    duals = np.random.default_rng(0).standard_normal((2, 200))
    passes()
    correlations = found.matrix.correlations(duals)
    assert passes() <= (200 + 2 * 17) / ROWS  # blocks have 17 rows
    np.testing.assert_allclose(correlations, expected.matrix.correlations(duals), atol=1e-12)
    columns = np.array([50, 3])
    for _ in range(2):  # from the file, then from memory
        np.testing.assert_allclose(
            found.matrix.columns(columns), expected.matrix.columns(columns), atol=1e-12
        )


@pytest.mark.usefixtures("large")
def test_columns_are_kept_until_there_is_no_room(tmp_path: Path) -> None:
    X, _ = labelled()
    columns = HeldColumns(mapped(tmp_path, X))
    assert columns.fits(30)
    assert not columns.fits(31)

    def check(wanted: np.ndarray, reads: int) -> None:
        with columns.kept(wanted) as (values, places):
            np.testing.assert_array_equal(values[places], X[:, wanted].T)
        assert passes() == reads

    check(np.array([3, 50, 3, 0]), 1)
    check(np.array([50, 3]), 0)
    check(np.arange(27), 1)  # with 50 they are 28: two more fit
    check(np.array([50, 26, 0]), 0)
    check(np.array([40, 41, 42, 50]), 1)
    check(np.array([50, 42]), 0)
    check(np.array([0]), 1)


@pytest.mark.usefixtures("large")
def test_threads_that_share_the_data_do_not_mix_up_columns(tmp_path: Path) -> None:
    """Each asks for more than half of what may be kept, so that each forgets the other's."""
    X, y = labelled()
    data = Problem.of(mapped(tmp_path, X), y, k=1).data
    rows = np.arange(ROWS)

    def right(seed: int) -> bool:
        rng = np.random.default_rng(seed)
        drawn = [rng.choice(D, 20, replace=False) for _ in range(30)]
        expected = [data.by.apply(X[:, some], some).T for some in drawn]
        found = [data.columns(some, rows) for some in drawn]
        return all(map(np.array_equal, found, expected))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(right, range(4)))


@pytest.mark.parametrize("release", [standardise.release, checked.release])
def test_pages_are_let_go_and_changes_are_not(tmp_path: Path, release: Any) -> None:
    X, _ = labelled()
    np.save(tmp_path / "X.npy", X)
    for mode in ("r", "c", "r+"):
        some = np.load(tmp_path / "X.npy", mmap_mode=mode)
        before = some[3:7].copy()
        if mode != "r":
            some[5, 2] = before[2, 2] = 9.0
        release(some)
        release(some[::2])
        np.testing.assert_array_equal(some[3:7], before)
    release(X)


@pytest.mark.parametrize(("k", "lam"), [(1, 1e-3), (2, 1e-3)])
def test_nodes_too_large_for_the_filter(
    k: int, lam: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Single columns are fitted a few at a time, larger supports branched on: the same optimum."""
    monkeypatch.setattr(tree, "FILTER_FROM", 5)
    X, y = labelled(2)
    problem = Problem.of(X, y, k=k, lam=lam)
    expected = solve(problem)
    assert expected.certificate is not None
    assert (expected.certificate.arrays["node_kind"] == Kind.FILTERED).any()
    monkeypatch.setattr(tree, "FIT_BYTES", 8 * ROWS * 2)
    monkeypatch.setattr(leaves, "MOST_BYTES", 0)
    monkeypatch.setattr(singles, "NUMBERS", 0)
    found = solve(problem)
    assert found.certificate is not None
    assert not (found.certificate.arrays["node_kind"] == Kind.FILTERED).any()
    assert found.support.tolist() == expected.support.tolist()
    assert found.verified is not None
    assert found.verified.gap <= 1e-4 * (1 + 1e-6)
