"""Size limits, refused licences, missing packages, and the table that shows them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from declared import DECLARED, Declared
from instances import random_problem
from masters import Flat, needs, run_backend, wide_master

from optprobe.mip.backends import BACKENDS, backend_table, get_backend
from optprobe.mip.backends.base import (
    Availability,
    LicenceError,
    NotInstalledError,
    TooLargeError,
)
from optprobe.mip.outer_approximation import outer_approximation


def test_the_declared_size_fits(limited: str) -> None:
    p = DECLARED[limited].columns
    assert p is not None
    answer = run_backend(limited, wide_master(p), Flat(p))
    assert answer.limit is None
    assert answer.lower == pytest.approx(1.0 - sum(sorted(wide_master(p).gain[0])[-3:]), abs=1e-3)
    assert str(p) in get_backend(limited).available().limits


def test_a_master_beyond_the_licence_says_what_to_do(limited: str) -> None:
    p = 5100
    advice = rf"5100 candidates.*--candidates {DECLARED[limited].columns}.*--backend highs"
    with pytest.raises(TooLargeError, match=advice) as raised:
        run_backend(limited, wide_master(p), Flat(p))
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
from masters import Table, master_of, run_backend
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
        "from optprobe.mip.backends import BACKENDS, get_backend\n"
        "from masters import Table, master_of, run_backend\n"
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
        [sys.executable, "-c", code, str(Path(__file__).with_name("test_protocol.py"))],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout
    assert "backends not installed: copt (1 tests skipped)" in done.stdout
