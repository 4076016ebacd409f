"""Branch and cut on HiGHS's linear solver: the optimum, its bounds, and every part by itself."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from instances import brute_force, random_problem

from optprobe.bounds import dual_points
from optprobe.losses import LOSSES
from optprobe.mip.backends import highs
from optprobe.mip.backends.base import Capability, Cut, Evaluation, Master, MipResult
from optprobe.mip.backends.highs import Highs, Scheme
from optprobe.mip.branch_and_cut import leaf, lp, work
from optprobe.mip.branch_and_cut.leaf import SupportList
from optprobe.mip.branch_and_cut.lp import combined
from optprobe.mip.branch_and_cut.node import Box, Node
from optprobe.mip.fraction import fit_fraction
from optprobe.mip.outer_approximation import outer_approximation
from optprobe.mip.root import Root
from optprobe.problem import Problem
from optprobe.result import Limit, Limits, Status

pytest.importorskip("highspy")


@pytest.fixture(params=[0, 10_000], ids=["branching", "listing"])
def supports(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Nodes are branched on down to the last support, or listed as soon as they may be."""
    monkeypatch.setattr(work, "SUPPORTS", request.param)
    return request.param


@pytest.fixture
def own_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    """Backend "highs" runs branch and cut on every master, and nothing is done at the root."""
    monkeypatch.setattr(highs, "BACKEND", Highs("branch_and_cut"))
    monkeypatch.setattr(Root, "solve", lambda *_: None)


def noise(k: int, d: int) -> Problem:
    """Weakly regularised noise, whose root gap is wide."""
    rng = np.random.default_rng(7)
    X = rng.standard_normal((200, d))
    y = X[:, :10].sum(axis=1) + 2.0 * rng.standard_normal(200) > 0.0
    return Problem.of(X, y, k=k, lam=1e-3)


class Table:
    """An oracle over a list of cuts, P(s) their maximum, that remembers what it was asked."""

    def __init__(self, seed: int = 0, p: int = 12, k: int = 3, cuts: int = 30) -> None:
        rng = np.random.default_rng(seed)
        self.value, self.gain = rng.uniform(1, 2, cuts), rng.uniform(0, 0.5, (cuts, p))
        self.k, self.asked, self.fitted = k, 0, 0
        self.all = [list(S) for S in combinations(range(p), k)]
        self.optimum = min(self.worth(S) for S in self.all)

    def worth(self, support: list[int]) -> float:
        """P at a support."""
        return float((self.value - self.gain[:, support].sum(axis=1)).max())

    def at_fraction(self, s: np.ndarray) -> Cut:
        """The largest cut at s."""
        self.asked += 1
        row = int(np.argmax(self.value - self.gain @ s))
        return Cut(float(self.value[row]), self.gain[row])

    def at_support(self, support: np.ndarray) -> Evaluation:
        """The largest cut at a support."""
        self.fitted += 1
        s = np.isin(np.arange(self.gain.shape[1]), support).astype(float)
        row = int(np.argmax(self.value - self.gain @ s))
        cut = Cut(float(self.value[row]), self.gain[row])
        return Evaluation(cut, cut.at(s))

    def master(self, cuts: int = 1) -> Master:
        """The master with the table's first cuts and the first support."""
        upper = self.worth(list(range(self.k)))
        return Master(self.k, self.value[:cuts], self.gain[:cuts], upper, 1e-7, True)


def run(
    table: Table,
    *,
    limits: Limits | None = None,
    stop: Callable[[float], bool] = lambda lower: False,
    on_progress: Callable[[object], None] = lambda now: None,
    scheme: Scheme | None = "branch_and_cut",
    cuts: int = 1,
) -> MipResult:
    """Call the backend as the core does."""
    return Highs(scheme).solve(
        table.master(cuts),
        table,
        mip_start=np.arange(table.k),
        limits=limits or Limits(),
        seed=0,
        threads=1,
        stop=stop,
        on_progress=on_progress,
    )


# ------------------------------------------------------------------ the optimum


@pytest.mark.parametrize("seed", range(4000, 4030))
def test_optimum_is_brute_force(own_tree: None, supports: int, seed: int) -> None:
    problem = random_problem(seed)
    optimum = brute_force(problem)
    found = outer_approximation(problem, problem.usable, limits=Limits(gap=1e-8), seed=seed)
    assert found.status is Status.OPTIMAL
    assert found.objective == pytest.approx(optimum.value, rel=1e-7)
    assert found.claimed.lower <= optimum.value * (1.0 + 1e-9)


def test_a_wide_gap_is_closed(supports: int) -> None:
    problem = noise(k=3, d=14)
    optimum = brute_force(problem)
    found = outer_approximation(problem, problem.usable, limits=Limits(gap=1e-7))
    assert found.support.tolist() == list(optimum.support)
    assert found.status is Status.OPTIMAL
    assert found.claimed.lower <= optimum.value
    assert (found.nodes > 10) == (supports == 0)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("cuts", [0, 1, 10])
def test_a_table_is_closed(supports: int, seed: int, cuts: int) -> None:
    table = Table(seed)
    answer = run(table, cuts=cuts)
    assert answer.limit is None
    assert answer.lower <= table.optimum + 1e-12
    assert answer.lower == pytest.approx(table.optimum, abs=1e-7)
    assert min(table.worth(S.tolist()) for S in answer.supports) == pytest.approx(
        table.optimum, abs=1e-7
    )


def test_purged_cuts_are_missed_by_nobody(supports: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lp, "ROWS", 4)
    for seed in range(4):
        table = Table(seed, p=10)
        assert run(table).lower == pytest.approx(table.optimum, abs=1e-7)


def test_the_same_seed_gives_the_same_answer() -> None:
    problem = noise(k=3, d=16)
    runs = [outer_approximation(problem, problem.usable, seed=3) for _ in range(2)]
    assert runs[0].claimed == runs[1].claimed
    assert runs[0].statistics["lp_solves"] == runs[1].statistics["lp_solves"]
    assert len(runs[0].points) == len(runs[1].points)


# ------------------------------------------------------------------ which scheme


def test_the_scheme_follows_the_master() -> None:
    hard = noise(k=3, d=12)
    found = outer_approximation(hard, hard.usable)
    assert found.statistics["root_upper"] > 1.02 * found.statistics["root_lower"]
    assert found.statistics["lp_solves"] > 0
    assert "trees" not in found.statistics
    plain = outer_approximation(hard, hard.usable, plain=True)
    assert plain.statistics["trees"] > 0
    assert "lp_solves" not in plain.statistics


def test_either_scheme_can_be_chosen() -> None:
    table = Table(3)
    trees, own = run(table, scheme="multi_tree"), run(table, scheme="branch_and_cut")
    assert "trees" in trees.statistics
    assert "lp_solves" in own.statistics
    assert trees.lower == pytest.approx(own.lower, abs=2e-7)
    lazy = Capability.LAZY_FRACTIONAL
    assert lazy not in Highs("multi_tree").capabilities
    assert lazy in Highs("branch_and_cut").capabilities


# ------------------------------------------------------------------ limits


def test_bounds_at_a_node_limit_hold_the_optimum(supports: int) -> None:
    problem = noise(k=3, d=12)
    optimum = brute_force(problem)
    lowers = []
    for nodes in (0, 1, 2, 5, 20, 60):
        found = outer_approximation(
            problem, problem.usable, limits=Limits(gap=1e-8, nodes=nodes), seed=1
        )
        assert found.nodes <= nodes
        assert found.claimed.lower <= optimum.value <= found.claimed.upper * (1.0 + 1e-9)
        lowers.append(found.claimed.lower)
    assert lowers == sorted(lowers)
    assert lowers[-1] > lowers[0]


def test_every_reported_bound_holds(supports: int) -> None:
    """Whenever the search reports, and it never reports less than before."""
    for seed in range(4):
        table, seen = Table(seed), []
        run(table, on_progress=lambda now, seen=seen: seen.append(now.lower))
        assert len(seen) > 2
        assert max(seen) <= table.optimum + 1e-12
        assert seen == sorted(seen)


@pytest.mark.parametrize("calls", [1, 2, 3, 7])
def test_stop_is_asked_inside_a_node(supports: int, calls: int) -> None:
    table = Table(1, p=14, k=4)

    def stop(lower: float) -> bool:
        return table.asked + table.fitted >= calls

    answer = run(table, stop=stop)
    assert answer.limit is None
    assert table.asked + table.fitted <= calls + 2
    assert answer.lower <= table.optimum + 1e-12


def test_no_time_is_a_result() -> None:
    table = Table()
    answer = run(table, limits=Limits(time_s=0.0))
    assert answer.limit is Limit.TIME
    assert answer.nodes == 0
    assert answer.lower <= table.optimum


def test_open_nodes_are_kept_within_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "SUPPORTS", 0)
    nodes = []
    for size in (0.0, 1500.0, 4000.0):
        table = Table(1, p=16, k=4)
        answer = run(table, limits=Limits(memory_bytes=size))
        assert answer.limit is Limit.MEMORY
        assert answer.lower <= table.optimum + 1e-12
        nodes.append(answer.nodes)
    assert nodes[0] == 0 < nodes[1] < nodes[2]


@pytest.mark.parametrize("where", ["at_fraction", "at_support", "stop", "on_progress"])
def test_an_exception_comes_out(where: str, supports: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bool:
        raise ZeroDivisionError("from inside the search")

    table, calls = Table(), {"stop": lambda lower: False, "on_progress": lambda now: None}
    if where in calls:
        calls[where] = fail
    else:
        monkeypatch.setattr(table, where, fail)
    with pytest.raises(ZeroDivisionError, match="from inside the search"):
        run(table, **calls)


def test_a_fit_that_misses_its_own_cut_is_no_proof(supports: int) -> None:
    """Supports whose cut stays below their objective leave a gap, and the answer says so."""

    class Loose(Table):
        def at_support(self, support: np.ndarray) -> Evaluation:
            found = super().at_support(support)
            return Evaluation(found.cut, found.objective + 0.1)

    table = Loose(2)
    answer = run(table)
    assert answer.limit is Limit.STALLED
    assert answer.lower <= table.optimum + 1e-12


# ------------------------------------------------------------------ the parts


@given(seed=st.integers(0, 10_000), k=st.integers(1, 4))
def test_a_combined_cut_never_exceeds_its_parts(seed: int, k: int) -> None:
    """Whatever multipliers a solver hands out, rounding errors and wrong signs included."""
    table, rng = Table(seed, p=7, k=k, cuts=6), np.random.default_rng(seed)
    u = rng.uniform(0, 1, 6) * rng.integers(0, 2, 6) - 1e-3 * rng.uniform(0, 1, 6)
    cut = combined(table.value, table.gain, u)
    assert (cut is None) == bool((u <= 0.0).all())
    if cut is not None:
        for support in table.all:
            assert cut.value - cut.gain[support].sum() <= table.worth(support) + 1e-12
        assert cut.bound(k) <= table.optimum + 1e-12


@given(seed=st.integers(0, 10_000), k=st.integers(1, 4), share=st.floats(0.0, 1.0))
def test_fixing_keeps_every_better_support(seed: int, k: int, share: float) -> None:
    table = Table(seed, p=7, k=k, cuts=4)
    low, high = table.optimum, max(map(table.worth, table.all))
    cutoff = low + share * (high - low)
    box = Box(-np.inf, np.zeros(7, bool), np.ones(7, bool), k)
    for value, gain in zip(table.value, table.gain, strict=True):
        box.learn(Cut(float(value), gain), cutoff)
    for support in table.all:
        if table.worth(support) < cutoff:
            inside = np.isin(np.arange(7), support)
            assert inside[box.forced].all()
            assert not inside[~(box.forced | box.free)].any()
            assert box.bound <= table.worth(support)


@given(seed=st.integers(0, 10_000), r=st.integers(1, 5))
def test_water_filling(seed: int, r: int) -> None:
    """sum s = k, s in proportion to the weights below 1, 1 above; fixed columns as they are."""
    rng = np.random.default_rng(seed)
    forced, free = np.arange(9) == 0, (np.arange(9) > 1) & (rng.random(9) < 0.8)
    weight = rng.uniform(0.01, 1, 9) ** rng.integers(1, 6)
    s = Box(0.0, forced, free, r + 1).fill(weight)
    assert s[0] == 1.0
    assert not s[1:][~free[1:]].any()
    assert s.max() <= 1.0
    assert s.sum() == pytest.approx(min(r, free.sum()) + 1)
    below = free & (s < 1.0)
    if below.any():
        rate = s[below] / weight[below]
        assert rate == pytest.approx(rate[0])
        assert (weight[free & (s == 1.0)] >= (1.0 - 1e-12) / rate[0]).all()


def test_a_node_survives_being_packed() -> None:
    rng = np.random.default_rng(0)
    weight = np.where(rng.random(19) < 0.5, rng.random(19), 0.0)
    box, _ = Node.root(weight).open(19, 4)
    box.bound, box.forced[3], box.free[[3, 5]] = 0.5, True, False
    inside, outside = Node.root(weight).children(box, weight, 7, 0.6, 0.7)
    for node, bound, forced in ((inside, 0.6, [3, 7]), (outside, 0.7, [3])):
        opened, weights = node.open(19, 4)
        assert opened.bound == bound
        assert np.flatnonzero(opened.forced).tolist() == forced
        assert np.flatnonzero(~opened.free).tolist() == [3, 5, 7]
        assert weights == pytest.approx(weight, rel=1e-6)
        assert node.height == 1
        assert node.bytes > weight.nbytes // 4


@pytest.mark.parametrize("numbers", [1, 2**19])
def test_ratings_are_the_largest_cut(numbers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaf, "NUMBERS", numbers)
    table = Table(4, p=10, k=4)
    rest = np.array(list(combinations([1, 2, 3, 5, 8, 9], 3)))
    worth = np.array([table.worth([4, *subset]) for subset in rest])
    cutoff = float(np.median(worth))
    listed = SupportList(np.array([4]), rest, -np.inf)
    listed.rate_all(table.value, table.gain, cutoff)
    assert listed.subsets.tolist() == rest[worth < cutoff].tolist()
    assert listed.rating == pytest.approx(worth[worth < cutoff])
    cluster = listed.cluster(3)
    assert cluster[0] == np.argmin(listed.rating)
    assert len(np.unique(cluster)) == 3
    s = listed.mean(cluster, 10)
    assert s.sum() == pytest.approx(4.0)
    assert s[4] == 1.0


@pytest.mark.parametrize("loss", LOSSES)
def test_a_fraction_s_cut_is_nearly_the_best(loss: str) -> None:
    """Against the primal value at its own coefficients: weak duality closed to the accuracy."""
    for seed in range(12):
        problem, rng = random_problem(5000 + seed, loss), np.random.default_rng(seed)
        matrix, rows = problem.matrix.restrict(problem.usable), problem.rows
        p = len(problem.usable)
        s = np.where(rng.random(p) < 0.7, rng.random(p) ** 4, 1.0)
        columns = matrix.columns(np.arange(p))
        fit = fit_fraction(columns, s, rows, rng.standard_normal(p + 1))
        point = dual_points(matrix, fit.dual[None], rows.y, rows.w, rows.loss, rows.lam)
        cut = Cut(float(point.value[0]), point.gain[0])
        margin = rows.y * (fit.beta @ columns + fit.intercept)
        primal = float(rows.loss.value(margin) @ rows.w)
        primal += 0.5 * rows.lam * float(np.sum(fit.beta**2 / s))
        assert cut.at(s) <= primal * (1.0 + 1e-12)
        assert cut.at(s) >= primal * (1.0 - 3e-3)
