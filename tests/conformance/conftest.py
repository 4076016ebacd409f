"""Which backends a test runs on."""

from __future__ import annotations

import pytest
from declared import DECLARED
from masters import needs

from optprobe.mip.backends import BACKENDS, get_backend
from optprobe.mip.root import Root


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
