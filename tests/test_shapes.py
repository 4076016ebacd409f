"""The array shapes in the annotations are true."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_annotated_shapes_hold_at_run_time():
    """In a process of its own: checking every call slows the package down several times."""
    program = Path(__file__).with_name("shapes.py")
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
