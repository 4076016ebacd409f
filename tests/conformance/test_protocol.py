"""What a backend does with a master and an oracle, whatever problem is behind them."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import numpy as np
import pytest
from declared import DECLARED
from masters import Table, master_of, run_backend

from optprobe.mip.backends import get_backend
from optprobe.mip.backends.base import (
    BackendError,
    Capability,
    Progress,
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
