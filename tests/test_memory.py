"""Arrays take the memory of those before them."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource
import numpy as np
from optprobe.memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        a, b = np.ones(150_000), np.ones(150_000)
        del a, b
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

first = faults()
keep_freed_memory()
faults()
print(first, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries do as they did")
def test_pages_of_freed_arrays_are_not_asked_for_again() -> None:
    """In a process of its own: 50 times two arrays of some 290 pages each."""
    run = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    first, then = (int(number) for number in run.stdout.split())
    assert then < 0.1 * first
    assert then < 1000
