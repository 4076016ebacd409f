"""Five thousand tiny problems, solved with the filters on: the optimum is that of brute force.

A run takes every third hundred of them, `pytest --thorough` takes all.

The search's thresholds are lowered until every part of it acts on problems of this size: one centre
or several, NumPy or the compiled loops, hubs, chains, branching. Six of seven searches begin from
a poor support, so that what finds the optimum is the search and no heuristic before it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from corners import corner, poor_start
from instances import brute_force

from optprobe import Limits, Problem, Status, relaxation, solve
from optprobe.checker import covering
from optprobe.engine import centres, compiled, leaves, pairs, pruning, tree

GAP, TINY = 1e-6, 1e-2
"""Relative gap; below a hundredth of what no column explains, rounding asks for a wider one."""

CHUNK = 100
"""Problems of one test."""

CHUNKS = {"logistic": 19, "squared_hinge": 9, "squared_error": 21, "hinge": 1}
"""Fifty in all; the hinge has no filter, only its search is tested."""

COMMON: dict[tuple[Any, str], float] = {
    (tree, "FILTER_FROM"): 0,
    (pairs, "APART"): 5,
    (pairs, "ROOM"): 1,
    (relaxation, "ROUNDS"): 1,  # what the relaxation leaves is the filter's
}
WAYS: tuple[dict[tuple[Any, str], float], ...] = (
    # NumPy; a checker that sums over pairs
    {(compiled, "LOADING"): np.inf, (covering, "ALONG"): 0},
    {(compiled, "LOADING"): 0.0, (leaves, "ENOUGH"): 0, (leaves, "USEFUL"): 1.0},  # many centres
    {(leaves, "MOST_LISTED"): 2, (leaves, "CHILD"): 0, (leaves, "CHILD_NUMBER"): 0.0},  # hubs
    # chains
    {(compiled, "LOADING"): 0.0, (pairs, "EVERY"): 0, (pairs, "MET"): 0.0, (tree, "ENUMERATE"): 1},
    {(tree, "SMALL"): 0, (tree, "NEAR"): 0.0},  # branching
)
"""What is changed beside `COMMON`, in turn."""


SHARED = {
    "filtered": 30,
    "screened": 300,
    "further centres": 10,
    "sums over pairs": 5,
    "chains": 5,
    "branched": 5,
}
ACTING: dict[str, dict[str, int]] = {
    "logistic": SHARED | {"hubs": 1, "compiled fits": 20},
    "squared_hinge": SHARED | {"hubs": 1},
    "squared_error": SHARED,  # so little is left that some tests meet no hub
    "hinge": {"branched": 40},
}
"""How often each part acts in a test, at least."""


def acting(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each part of the search acts from now on."""
    count: Counter[str] = Counter()

    def watch(owner: Any, name: str, note: Callable[[Any, Any], Counter[str]]) -> None:
        held = getattr(owner, name)

        def watched(*given: Any) -> Any:
            found = held(*given)
            count.update(note(given, found))
            return found

        monkeypatch.setattr(owner, name, watched)

    def filtered(given: Any, found: leaves.Filtered) -> Counter[str]:
        _, _, members, _, _, size, _ = given
        every = math.comb(len(members), size)
        screened = 0 if found.left is None else every - len(found.left)
        return Counter(filtered=1, screened=screened, hubs=len(found.hubs))

    def called(name: str) -> Callable[[Any, Any], Counter[str]]:
        return lambda given, found: Counter([] if found is None else [name])

    watch(leaves.Filter, "__call__", filtered)
    watch(centres.Centres, "centre_of", called("further centres"))
    watch(pairs, "above", called("sums over pairs"))
    watch(pruning, "prune", called("compiled fits"))
    watch(tree.Search, "chain", called("chains"))
    watch(tree.Search, "branch", called("branched"))
    return count


def fault(problem: Problem, checked: bool) -> str:
    """What is wrong with the engine's answer, or nothing."""
    optimum = brute_force(problem)
    value, size = optimum.value, abs(optimum.value)
    if not value - optimum.lower <= 1e-8 * size:
        return "brute force does not know the optimum"
    gap = GAP * max(1.0, TINY * problem.rows.spread**2 / size)
    result = solve(problem, limits=Limits(gap=gap), check=checked)
    if result.status is not Status.OPTIMAL:
        return f"{result.status}, stopped by {result.limit}"
    if not abs(result.objective - value) <= gap * size:
        return f"{result.objective} is not the optimum {value}"
    if not result.claimed.lower <= value + 1e-12 * size:
        return f"the bound {result.claimed.lower} is above the optimum {value}"
    if checked and (result.verified is None or not result.verified.within(1.1 * gap)):
        return f"the checker proves {result.verified}"
    if checked and result.verified is not None and result.verified.lower > value + 1e-12 * size:
        return f"the checker's bound {result.verified.lower} is above the optimum {value}"
    return ""


def searched(seed: int, loss: str, checked: bool) -> str:
    """The fault of a problem that is searched in its own way."""
    problem = corner(seed, loss)
    with pytest.MonkeyPatch.context() as patch:
        for (module, name), value in (COMMON | WAYS[seed % len(WAYS)]).items():
            patch.setattr(module, name, value)
        if seed % 7:
            poor_start(problem, patch)
        return fault(problem, checked)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for every hundred problems of a loss."""
    if "chunk" in metafunc.fixturenames:
        step = 1 if metafunc.config.getoption("thorough") else 3
        chunks = [(loss, chunk) for loss, many in CHUNKS.items() for chunk in range(0, many, step)]
        metafunc.parametrize(("loss", "chunk"), chunks)


def test_filtered_searches_find_the_optimum(
    loss: str, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = acting(monkeypatch)
    wrong: dict[int, str] = {}
    for seed in range(CHUNK * chunk, CHUNK * (chunk + 1)):
        found = searched(seed, loss, checked=seed % 11 == 0)
        if found:
            wrong[seed] = found
    assert wrong == {}
    for part, least in ACTING[loss].items():
        assert count[part] >= least, part


@pytest.mark.parametrize("seed", [10137, 10532])
def test_the_only_support_of_a_filtered_node_may_be_bounded(seed: int) -> None:
    """Fewer free columns than may be added: one support, which no fit need list."""
    assert searched(seed, "squared_hinge", checked=True) == ""
