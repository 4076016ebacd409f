"""benchmarks/ as benchopt sees it: objective, datasets and solvers, and a run from end to end."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from instances import brute_force

from optprobe.bench.instances import Synthetic
from optprobe.mip.backends import BACKENDS

pytest.importorskip("benchopt")
pq = pytest.importorskip("pyarrow.parquet")

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"

SOURCE = Synthetic(60, 8, relevant=2, rho=0.5, snr=6.0, placement="equal")
DATASET = "synthetic[n=60,d=8,relevant=2,rho=0.5,snr=6.0,placement=equal,seed=0]"
OBJECTIVE = "k-sparse probe[loss=hinge,lam=0.1,k=2,candidates=8]"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """One `benchopt run` on a copy, for it writes beside the files it runs."""
    folder = tmp_path_factory.mktemp("benchopt") / "benchmarks"
    shutil.copytree(BENCHMARKS, folder, ignore=shutil.ignore_patterns("outputs", "__*__"))
    solvers = ["native[time_limit=20]", "highs[time_limit=20]", "highs[scheme=perspective]"]
    options = ["--no-plot", "-r", "1", "-d", DATASET, "-o", OBJECTIVE, "--seed", "0"]
    for solver in solvers:
        options += ["-s", solver]
    ended = subprocess.run(
        [sys.executable, "-m", "benchopt", "run", str(folder), *options],
        capture_output=True, text=True, cwd=folder.parent, timeout=120, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HOME": str(folder.parent)},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (file,) = (folder / "outputs").glob("*.parquet")
    return pq.read_table(file).to_pylist(), ended.stdout


def test_solvers_reach_the_optimum(results):
    best = brute_force(SOURCE.activations(0).problem(k=2, lam=0.1, loss="hinge", weights="uniform"))
    rows, _ = results
    solved = {row["solver_name"].split("[")[0]: row for row in rows}
    assert set(solved) == {"native", "highs"}
    for row in rows:
        assert best.lower * (1 - 1e-9) <= row["objective_value"] <= best.value * (1 + 1.1e-4)
        assert row["objective_claimed_gap"] <= 1.1e-4
        assert row["objective_support_size"] <= 2


def test_a_model_that_the_solver_cannot_take_is_skipped_with_the_reason(results):
    _, shown = results
    assert "perspective" in shown
    assert "skip" in shown
    assert "MISOCP" in shown


def test_every_backend_has_a_solver_file():
    names = {path.stem for path in (BENCHMARKS / "solvers").glob("*.py")}
    assert names == {"native", *BACKENDS}
    for name in names:
        text = (BENCHMARKS / "solvers" / f"{name}.py").read_text(encoding="utf-8")
        assert f'name = "{name}"' in text
