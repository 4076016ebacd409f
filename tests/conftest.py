"""Settings for every test, and a word at the end on the backends that could not be tested.

hypothesis draws the same examples each time and sets no deadline.
"""

from __future__ import annotations

import importlib
import re
import warnings
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from treebanks import write_treebank

settings.register_profile("optprobe", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("optprobe")

MISSING = re.compile(r"backend not installed: (\w+)")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Five thousand problems take minutes that not every run has."""
    parser.addoption(
        "--thorough",
        action="store_true",
        help="all 5,000 problems of test_filtered_exactness.py, instead of every third hundred",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Load xpress where a warning is no error: Pyomo follows its first import with calls that
    warn, and would take the error for a missing solver for the rest of the process."""
    if config.getoption("dist", "no") != "no" and not hasattr(config, "workerinput"):
        return  # the process that hands tests out runs none
    with warnings.catch_warnings(), suppress(ImportError):
        warnings.simplefilter("ignore")
        for package in ("pyomo.environ", "xpress"):
            importlib.import_module(package)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """State which backends were skipped for want of their package, and how many tests that cost."""
    reasons = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])]
    names = Counter(match[1] for reason in reasons if (match := MISSING.search(reason)))
    if names:
        told = ", ".join(f"{name} ({count} tests skipped)" for name, count in names.items())
        terminalreporter.write_sep("=", f"backends not installed: {told}", yellow=True)


@pytest.fixture(scope="session")
def pq() -> Any:
    """Reader of parquet files; what writes them refuses without pyarrow."""
    return pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def treebank(tmp_path: Path) -> Path:
    """A folder with the treebanks of `treebanks.py`."""
    return write_treebank(tmp_path)
