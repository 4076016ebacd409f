"""What every solver backend owes the core, each against the same tests (see `declared.py`)."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from declared import DECLARED, Declared
from instances import Optimum, brute_force, random_problem

from optprobe.losses import LOSSES
from optprobe.mip.backends import BACKENDS, backend_table, get_backend
from optprobe.mip.backends.base import (
    Availability,
    BackendError,
    Capability,
    Cut,
    Evaluation,
    LicenceError,
    Master,
    MipResult,
    NotInstalledError,
    Progress,
    TooLargeError,
)
from optprobe.mip.outer_approximation import outer_approximation
from optprobe.mip.root import Root
from optprobe.problem import Problem
from optprobe.result import Limit, Limits, Status


def needs(name: str) -> None:
    """Skip the test by name where the backend's package is missing."""
    try:
        importlib.import_module(DECLARED[name].package)
    except ImportError:
        pytest.skip(f"backend not installed: {name}")


@pytest.fixture(params=list(BACKENDS))
def backend(request: pytest.FixtureRequest) -> str:
    """Every registered backend."""
    needs(request.param)
    return request.param


@pytest.fixture(params=[name for name, entry in DECLARED.items() if entry.columns])
def limited(request: pytest.FixtureRequest) -> str:
    """Every backend that a size-limited licence may hold back."""
    needs(request.param)
    if get_backend(request.param).available().limits == "none":
        pytest.skip(f"this {request.param} has a licence without size limit")
    return request.param


@pytest.fixture
def no_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the root phase the solver does all the work itself."""
    monkeypatch.setattr(Root, "solve", lambda *_: None)


def hard_problem(k: int = 8, d: int = 60) -> Problem:
    """Weakly regularised noise: far from closed after a few seconds."""
    rng = np.random.default_rng(7)
    X = rng.standard_normal((200, d))
    y = X[:, :10].sum(axis=1) + 2.0 * rng.standard_normal(200) > 0.0
    return Problem.of(X, y, k=k, lam=1e-3)


@cache
def small(seed: int, loss: str | None = None) -> tuple[Problem, Optimum]:
    """A random problem with its optimum."""
    problem = random_problem(seed, loss)
    return problem, brute_force(problem)


# ------------------------------------------------------------------ the optimum


@pytest.mark.usefixtures("no_root")
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("seed", range(2000, 2004))
def test_the_solver_alone_finds_the_optimum(backend: str, loss: str, seed: int) -> None:
    problem, optimum = small(seed, loss)
    found = outer_approximation(
        problem, problem.usable, backend=backend, limits=Limits(gap=1e-8), seed=seed
    )
    assert found.limit is None
    assert found.objective == pytest.approx(optimum.value, rel=1e-7)
    assert found.claimed.lower <= optimum.value * (1.0 + 1e-9)
    assert found.claimed.upper >= optimum.lower * (1.0 - 1e-12)
    assert found.claimed.gap <= 1.01e-8


def test_the_optimum_after_the_root_phase(backend: str) -> None:
    for seed in range(1000, 1012):
        problem, optimum = small(seed)
        found = outer_approximation(
            problem, problem.usable, backend=backend, limits=Limits(gap=1e-8), seed=seed
        )
        assert found.limit is None
        assert found.objective == pytest.approx(optimum.value, rel=1e-7)
        assert found.claimed.lower <= optimum.value * (1.0 + 1e-9)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_plain_scheme_finds_the_optimum_too(backend: str, loss: str) -> None:
    problem, optimum = small(3000, loss)
    found = outer_approximation(problem, problem.usable, backend=backend, plain=True)
    assert found.objective == pytest.approx(optimum.value, rel=1e-4)
    assert found.claimed.lower <= optimum.value * (1.0 + 1e-9)
    assert not found.statistics.get("fractional_cuts")


def degenerate(kind: str, loss: str) -> Problem:
    """Problems at the edge of what can be asked."""
    rng = np.random.default_rng(11)
    X = rng.standard_normal((40, 6))
    y = X[:, 0] - X[:, 3] + 0.5 * rng.standard_normal(40) > 0.0
    k, weights = 2, "balanced"
    if kind == "one row per class":
        weights = np.zeros(40)
        weights[[int(np.argmax(y)), int(np.argmin(y))]] = 1.0
    elif kind == "duplicate columns":
        X[:, 3:] = X[:, :3]
    elif kind == "constant columns":
        X[:, [1, 2, 4]] = 5.0
    elif kind == "separable":
        y = X[:, 0] > 0.0
    elif kind == "noise":
        y = np.arange(40) % 2 == 0
    elif kind == "rare class":
        y = np.arange(40) == 17
    return Problem.of(X, y, k=k, lam=1e-2, loss=loss, weights=weights)


@pytest.mark.usefixtures("no_root")
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    "kind",
    [
        "one row per class", "duplicate columns", "constant columns", "separable", "noise",
        "rare class",
    ],
)  # fmt: skip
def test_degenerate_problems(backend: str, kind: str, loss: str) -> None:
    problem = degenerate(kind, loss)
    optimum = brute_force(problem)
    found = outer_approximation(problem, problem.usable, backend=backend, limits=Limits(gap=1e-6))
    assert found.limit is None
    assert found.objective == pytest.approx(optimum.value, rel=1e-5, abs=1e-9)
    assert found.claimed.lower <= optimum.value * (1.0 + 1e-9) + 1e-12
    assert len(found.support) <= problem.k


@pytest.mark.parametrize("loss", LOSSES)
def test_k_equal_to_the_number_of_columns(backend: str, loss: str) -> None:
    problem = degenerate("separable", loss).with_k(6)
    found = outer_approximation(problem, problem.usable, backend=backend, limits=Limits(gap=1e-6))
    assert found.limit is None
    assert found.objective == pytest.approx(brute_force(problem).value, rel=1e-5)


@pytest.mark.parametrize("count", [1, 2])
def test_no_more_candidates_than_k(backend: str, count: int) -> None:
    problem = random_problem(3002).with_k(2)
    found = outer_approximation(problem, problem.usable[:count], backend=backend)
    assert set(found.support) <= set(problem.usable[:count])
    assert found.limit is None


@pytest.mark.usefixtures("no_root")
def test_candidates_are_the_scope(backend: str) -> None:
    problem = random_problem(3001, "logistic").with_k(2)
    columns = problem.usable[[3, 0, 2, 1]]
    found = outer_approximation(problem, columns, backend=backend, limits=Limits(gap=1e-8))
    best = min(
        outer_approximation(problem, np.array(pair), backend=backend).objective
        for pair in combinations(columns, 2)
    )
    assert set(found.support) <= set(columns)
    assert found.objective == pytest.approx(best, rel=1e-7)


def test_the_same_seed_gives_the_same_answer(backend: str) -> None:
    problem = hard_problem(k=3, d=12)
    runs = [outer_approximation(problem, problem.usable, backend=backend, seed=5) for _ in range(2)]
    assert runs[0].claimed == runs[1].claimed
    assert runs[0].nodes == runs[1].nodes
    assert len(runs[0].points) == len(runs[1].points)


def test_several_threads(backend: str) -> None:
    problem = hard_problem(k=3, d=12)
    found = outer_approximation(problem, problem.usable, backend=backend, threads=2)
    assert found.limit is None
    assert found.objective == pytest.approx(brute_force(problem).value, rel=1e-4)


# ------------------------------------------------------------------ limits


@pytest.mark.parametrize(
    ("limits", "limit"),
    [
        (Limits(time_s=0.0), Limit.TIME),
        (Limits(time_s=0.6), Limit.TIME),
        (Limits(nodes=3), Limit.NODES),
    ],
    ids=["no time", "time", "nodes"],
)
def test_a_limit_is_a_result(backend: str, limits: Limits, limit: Limit) -> None:
    problem = hard_problem()
    found = outer_approximation(problem, problem.usable, backend=backend, limits=limits)
    assert found.status is Status.FEASIBLE
    assert found.limit is limit
    assert 0.0 <= found.claimed.lower < found.claimed.upper
    assert found.claimed.upper == problem.objective(found.support, found.beta, found.intercept)


@pytest.mark.usefixtures("no_root")
def test_bounds_at_a_limit_hold_the_optimum(backend: str) -> None:
    problem = hard_problem(k=3, d=12)
    optimum = brute_force(problem)
    for nodes in (0, 1, 5, 20):
        found = outer_approximation(
            problem, problem.usable, backend=backend, limits=Limits(gap=1e-8, nodes=nodes)
        )
        assert found.claimed.lower <= optimum.value * (1.0 + 1e-9)
        assert optimum.value <= found.claimed.upper * (1.0 + 1e-9)


def test_ctrl_c_returns_the_incumbent_and_its_bound(backend: str) -> None:
    problem = hard_problem()
    before = signal.getsignal(signal.SIGINT)
    timer = threading.Timer(0.6, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    found = outer_approximation(problem, problem.usable, backend=backend, limits=Limits(time_s=20))
    timer.join()
    assert found.limit is Limit.INTERRUPTED
    assert 0.0 < found.claimed.lower < found.claimed.upper
    assert signal.getsignal(signal.SIGINT) is before


def test_keyboard_interrupt_in_the_caller_s_code_is_an_interruption(backend: str) -> None:
    problem, lines = hard_problem(), []

    def log(line: str) -> None:
        lines.append(line)
        if len(lines) == 3:
            raise KeyboardInterrupt

    found = outer_approximation(problem, problem.usable, backend=backend, log=log)
    assert found.limit is Limit.INTERRUPTED
    assert found.claimed.lower > 0.0


# ------------------------------------------------------------------ the protocol


class Table:
    """An oracle over a list of cuts: P(s) is their maximum. It counts what it is asked."""

    def __init__(self, seed: int = 0, p: int = 12, k: int = 3) -> None:
        rng = np.random.default_rng(seed)
        self.value, self.gain = rng.uniform(1, 2, 30), rng.uniform(0, 0.5, (30, p))
        self.optimum = min(
            float((self.value - self.gain[:, list(S)].sum(axis=1)).max())
            for S in combinations(range(p), k)
        )
        self.supports = self.fractions = 0

    def at_fraction(self, s: np.ndarray) -> Cut:
        """The largest cut at s."""
        self.fractions += 1
        return self.largest(s)

    def at_support(self, support: np.ndarray) -> Evaluation:
        """The largest cut at a support."""
        self.supports += 1
        s = np.isin(np.arange(self.gain.shape[1]), support).astype(float)
        cut = self.largest(s)
        return Evaluation(cut, cut.at(s))

    def largest(self, s: np.ndarray) -> Cut:
        """The cut that is tight at s."""
        row = int(np.argmax(self.value - self.gain @ s))
        return Cut(float(self.value[row]), self.gain[row])


def master_of(table: Table, *, fractional: bool = True) -> Master:
    """A master with one cut of the table's thirty."""
    upper = table.at_support(np.array([0, 1, 2])).objective
    return Master(3, table.value[:1], table.gain[:1], upper, 1e-7, fractional)


def run_backend(
    backend: str,
    master: Master,
    oracle: Table,
    *,
    start: np.ndarray | None = None,
    limits: Limits | None = None,
    stop: Callable[[float], bool] = lambda lower: False,
    on_progress: Callable[[Progress], None] = lambda now: None,
) -> MipResult:
    """Call a backend as the core does."""
    return get_backend(backend).solve(
        master,
        oracle,
        mip_start=np.array([0, 1, 2]) if start is None else start,
        limits=limits or Limits(),
        seed=0,
        threads=1,
        stop=stop,
        on_progress=on_progress,
    )


@pytest.mark.parametrize("fractional", [True, False], ids=["fractional", "integer"])
@pytest.mark.parametrize("seed", range(6))
def test_a_table_is_closed(backend: str, seed: int, fractional: bool) -> None:
    table = Table(seed)
    answer = run_backend(backend, master_of(table, fractional=fractional), table)
    assert answer.limit is None
    assert answer.lower == pytest.approx(table.optimum, abs=2e-7)
    values = [table.at_support(s).objective for s in answer.supports]
    assert min(values) == pytest.approx(table.optimum, abs=2e-7)


def test_cuts_at_fractional_points_where_declared_and_wanted(backend: str) -> None:
    table = Table(1)
    run_backend(backend, master_of(table, fractional=False), table)
    assert table.fractions == 0
    run_backend(backend, master_of(table), table)
    declared = Capability.LAZY_FRACTIONAL in get_backend(backend).capabilities
    assert (table.fractions > 0) == declared


def test_the_mip_start_reaches_the_solver(backend: str) -> None:
    table = Table()
    start = np.array([0, 1, 2])
    answer = run_backend(backend, master_of(table), table, start=start)
    held = [support.tolist() for support in answer.supports]
    assert (start.tolist() in held) or Capability.MIP_START not in get_backend(backend).capabilities


def test_progress_is_reported_and_its_bounds_are_bounds(backend: str) -> None:
    table, seen = Table(2), list[Progress]()
    run_backend(backend, master_of(table), table, on_progress=seen.append)
    assert seen
    assert all(now.lower <= table.optimum + 1e-7 and now.nodes >= 0 for now in seen)


def test_stop_ends_the_solve(backend: str) -> None:
    table = Table()
    answer = run_backend(backend, master_of(table), table, stop=lambda lower: True)
    assert answer.limit is None
    assert answer.lower <= table.optimum + 1e-7


@pytest.mark.parametrize("method", ["at_support", "at_fraction", "stop", "on_progress"])
def test_an_exception_in_a_callback_comes_out(
    backend: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if method == "at_fraction" and (
        Capability.LAZY_FRACTIONAL not in get_backend(backend).capabilities
    ):
        pytest.skip(f"{backend} takes no cuts at fractional points")
    table = Table()
    master = master_of(table)

    def fail(*_: object) -> bool:
        raise ZeroDivisionError("from inside the solver")

    asked: dict[str, Callable[..., bool]] = {}
    if method.startswith("at_"):
        monkeypatch.setattr(table, method, fail)
    else:
        asked[method] = fail
    with pytest.raises(ZeroDivisionError, match="from inside the solver"):
        run_backend(backend, master, table, **asked)


def test_an_unknown_status_raises(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module(DECLARED[backend].statuses)
    table = Table()
    monkeypatch.setattr(module, "LIMIT", {})
    with pytest.raises(BackendError, match="unexpected") as raised:
        run_backend(backend, master_of(table, fractional=False), table)
    assert raised.value.status == "failed"


def test_nothing_is_printed(backend: str, capfd: pytest.CaptureFixture[str]) -> None:
    table = Table()
    get_backend(backend).available()
    run_backend(backend, master_of(table), table)
    assert capfd.readouterr() == ("", "")


# ------------------------------------------------------------------ size and licence


def wide_master(p: int) -> Master:
    """A master over p columns with one cut."""
    gain = np.linspace(0.0, 0.1, p)[None]
    return Master(3, np.ones(1), gain, 1.0, 1e-4, fractional=False)


class Flat:
    """An oracle that knows only the cut the master has."""

    def __init__(self, p: int) -> None:
        self.cut = Cut(1.0, wide_master(p).gain[0])

    def at_fraction(self, s: np.ndarray) -> Cut:
        """The same cut everywhere."""
        return self.cut

    def at_support(self, support: np.ndarray) -> Evaluation:
        """Its value."""
        s = np.isin(np.arange(len(self.cut.gain)), support).astype(float)
        return Evaluation(self.cut, self.cut.at(s))


def test_the_declared_size_fits(limited: str) -> None:
    p = DECLARED[limited].columns
    assert p is not None
    answer = run_backend(limited, wide_master(p), Flat(p))  # type: ignore[arg-type]
    assert answer.limit is None
    assert answer.lower == pytest.approx(1.0 - sum(sorted(wide_master(p).gain[0])[-3:]), abs=1e-3)
    assert str(p) in get_backend(limited).available().limits


def test_a_master_beyond_the_licence_says_what_to_do(limited: str) -> None:
    p = 5100
    advice = rf"5100 candidates.*--candidates {DECLARED[limited].columns}.*--backend highs"
    with pytest.raises(TooLargeError, match=advice) as raised:
        run_backend(limited, wide_master(p), Flat(p))  # type: ignore[arg-type]
    assert raised.value.status == "too_large"


SPOILT = {
    "malformed": "no licence at all\n",
    "expired": "TYPE=ACADEMIC\nVERSION=13\nHOSTID=0\nEXPIRATION=2020-01-01\nKEY=A\nCKEY=A\n",
    "missing": None,
}
"""Contents of a licence file that must be refused."""

ASK = """
import sys
from optprobe.mip.backends import get_backend
from optprobe.mip.backends.base import BackendError
sys.path[:0] = sys.argv[2:]
from test_backends import Table, master_of, run_backend
state = get_backend(sys.argv[1]).available()
print(state.available, "|", state.reason)
try:
    run_backend(sys.argv[1], master_of(Table()), Table())
except BackendError as error:
    print(error.status, "|", error)
"""


@pytest.mark.parametrize("kind", list(SPOILT))
@pytest.mark.parametrize("name", [name for name, entry in DECLARED.items() if entry.licence])
def test_a_licence_that_is_refused(name: str, kind: str, tmp_path: Path) -> None:
    """In a process of its own: a solver reads its licence once."""
    needs(name)
    entry, content = DECLARED[name], SPOILT[kind]
    if name == "copt" and content is None:
        pytest.skip("without a licence COPT starts all the same, size-limited")
    path = tmp_path
    if name == "copt":
        for file in ("license.dat", "license.key"):
            (tmp_path / file).write_text(content or "")
    else:
        path = tmp_path / "licence.txt"
        if content is not None:
            path.write_text(content)
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", ASK, name, str(here), str(here.parent)],
        env=os.environ | {entry.licence: str(path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    available, solved = done.stdout.splitlines()
    assert available.startswith("False | ")
    assert "licence" in available
    assert solved.startswith("no_licence | ")
    assert "use another backend" in solved
    assert entry.licence in solved


def test_cplex_errors_are_told_apart() -> None:
    from optprobe.mip.backends.cplex import _translated

    refused = _translated(RuntimeError("CPLEX Error 32201: ILM Error 16", None, 32201), 5)
    assert isinstance(refused, LicenceError)
    assert "32201" in str(refused)
    assert _translated(RuntimeError("CPLEX Error 1001: Out of memory", None, 1001), 5).status == (
        "failed"
    )


def test_gurobi_web_licence_variables_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    from optprobe.mip.backends.gurobi import environment

    class Refusing:
        """Stands for gurobipy where the licence server says no."""

        class GurobiError(Exception):
            """Its error."""

        def __init__(self) -> None:
            self.params: dict[str, object] = {}

        def Env(self, params: dict[str, object]) -> None:  # noqa: N802
            """Remember what was passed, then refuse."""
            self.params = params
            raise self.GurobiError("no")

    module = Refusing()
    with pytest.raises(LicenceError, match="GRB_WLSACCESSID"):
        environment(module)  # type: ignore[arg-type]
    assert set(module.params) == {"OutputFlag"}
    for name, value in (("WLSACCESSID", "a"), ("WLSSECRET", "b"), ("LICENSEID", "12")):
        monkeypatch.setenv(f"GRB_{name}", value)
    with pytest.raises(LicenceError):
        environment(module)  # type: ignore[arg-type]
    assert module.params["WLSACCESSID"] == "a"
    assert module.params["LICENSEID"] == 12


# ------------------------------------------------------------------ the table of backends


def test_every_backend_is_declared() -> None:
    assert list(DECLARED) == list(BACKENDS)


@pytest.mark.parametrize(("name", "entry"), DECLARED.items())
def test_capabilities_are_the_declared_ones(name: str, entry: Declared) -> None:
    assert get_backend(name).capabilities == entry.capabilities


@pytest.mark.parametrize("name", list(BACKENDS))
def test_a_missing_package_says_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, DECLARED[name].package, None)
    problem = random_problem(0)
    with pytest.raises(NotInstalledError, match="pip install") as raised:
        outer_approximation(problem, problem.usable, backend=name)
    assert raised.value.status == "not_installed"
    row = get_backend(name).available()
    assert not row.available
    assert row.reason == "not installed"
    assert "pip install" in row.how_to_get


def test_the_table_has_a_row_for_each() -> None:
    table = backend_table()
    assert [state.name for state in table] == list(BACKENDS)
    for state in table:
        assert isinstance(state, Availability)
        if state.available:
            assert state.version
            assert state.licence


def test_no_solver_is_imported_before_it_is_asked_for() -> None:
    packages = [entry.package for entry in DECLARED.values()]
    code = (
        "import sys, optprobe, optprobe.cli, optprobe.mip.backends as b;"
        "[b.get_backend(name) for name in b.BACKENDS];"
        f"print([name for name in {packages} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("order", [1, -1], ids=["forwards", "backwards"])
def test_all_solvers_share_a_process(order: int) -> None:
    """Those that are installed, each solving after all others have been loaded."""
    here = Path(__file__).parent
    code = (
        "import sys; sys.path[:0] = sys.argv[1:]\n"
        "from test_backends import BACKENDS, Table, get_backend, master_of, run_backend\n"
        f"names = [n for n in list(BACKENDS)[::{order}] if get_backend(n).available().available]\n"
        "for name in names * 2:\n"
        "    table = Table()\n"
        "    answer = run_backend(name, master_of(table), table)\n"
        "    assert abs(answer.lower - table.optimum) < 2e-7, name\n"
        "print('done')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(here), str(here.parent)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.strip() == "done"


def test_a_missing_backend_is_named_in_the_summary() -> None:
    """Never silently: pytest's last lines say what was not tested."""
    code = (
        "import sys, pytest; sys.modules['coptpy'] = None;"
        "sys.exit(pytest.main(['-p', 'no:cacheprovider', '-k', 'stop_ends', sys.argv[1]]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__))],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout
    assert "backends not installed: copt (1 tests skipped)" in done.stdout
