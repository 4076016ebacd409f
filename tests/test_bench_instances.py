"""What the benchmark solves: instances, grids and the names of solvers."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from bench_runs import SMALL, TINY, text_file

from optprobe.bench.grid import Overrides, instances
from optprobe.bench.instances import Instance, Real, Synthetic, autoregressive
from optprobe.bench.specs import available_solvers, parse_solver, parse_solvers
from optprobe.mip.backends import BACKENDS

# Instances


def test_neighbouring_columns_are_correlated_as_asked():
    X = autoregressive(np.random.default_rng(0), 40_000, 5, 0.7)
    wanted = 0.7 ** np.abs(np.subtract.outer(np.arange(5), np.arange(5)))
    assert np.abs(np.cov(X.T) - wanted).max() < 0.03


@pytest.mark.parametrize("placement", ["equal", "random"])
def test_labels_come_from_the_known_support_at_the_noise_asked_for(placement):
    quiet = replace(SMALL, n=500, d=20, relevant=4, snr=1e12, placement=placement)
    held, support = quiet.activations(3), quiet.support(3)
    assert len(set(support.tolist())) == 4
    assert support.tolist() == sorted(support.tolist())
    fits = [
        np.sign(held.X[:, support] @ s)
        for s in np.array(np.meshgrid(*[[-1, 1]] * 4)).reshape(4, -1).T
    ]
    assert max(np.mean(fit == held.y) for fit in fits) == 1.0
    loud = replace(quiet, snr=0.01).activations(3)
    assert np.array_equal(loud.X, held.X)
    assert 0.3 < np.mean(loud.y == held.y) < 0.7
    assert quiet.support(3).tolist() == support.tolist()
    if placement == "equal":
        assert support.tolist() == [0, 5, 10, 15]
    else:
        assert len({tuple(quiet.support(seed)) for seed in range(5)}) > 1


def test_a_seed_makes_the_same_rows_again_and_another_makes_others():
    first, again, other = (SMALL.activations(seed) for seed in (1, 1, 2))
    assert np.array_equal(first.X, again.X)
    assert np.array_equal(first.y, again.y)
    assert not np.array_equal(first.X, other.X)


def test_ids_never_change():
    """Records of earlier versions are found by them."""
    assert TINY.id == "ar0.5-60x7-s2-snr2-logistic-lam0.1-k2-seed0-c8022917"
    assert Instance.from_json(json.loads(json.dumps(TINY.as_json()))) == TINY
    changes: list[dict[str, Any]] = [
        {"seed": 1}, {"k": 1}, {"lam": 0.1 + 1e-12}, {"candidates": 5}, {"loss": "hinge"},
        {"source": replace(SMALL, rho=0.4)}, {"source": replace(SMALL, placement="random")},
    ]  # fmt: skip
    ids = {replace(TINY, **change).id for change in changes}
    assert len(ids | {TINY.id}) == len(changes) + 1


def test_a_file_is_known_by_its_contents_not_its_folder(tmp_path):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((30, 3)), np.arange(30) % 2
    ids = set()
    for folder in ("a", "b"):
        path = tmp_path / folder / "my task|1.npz"
        path.parent.mkdir()
        np.savez(path, X=X, y=y)
        (one,) = instances(None, [path], overrides=Overrides(k=[1], lam=[1.0], candidates=["all"]))
        ids.add(one.id)
        assert one.name == "my_task_1-logistic-lam1-k1"
        assert one.problem().data.weighting == "balanced"
    assert len(ids) == 1
    np.savez(path, X=X + 1.0, y=y)
    (changed,) = instances(None, [path], overrides=Overrides(k=[1], lam=[1.0], candidates=["all"]))
    assert changed.id not in ids


# Grids and solver names


def test_a_grid_is_the_product_of_its_values(tmp_path):
    grid = text_file(
        tmp_path / "grid.toml",
        '[[synthetic]]\nn = [100, 400]\nd = 9\nrelevant = 3\nloss = ["hinge", "logistic"]\n'
        '[[real]]\nfile = "task.npz"\nlam = [1, 0.1]\nk = [1, 2]\ncandidates = "all"\n',
    )
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "task.npz", X=rng.standard_normal((30, 4)), y=np.arange(30) % 2)
    found = instances(str(grid), seeds=2)
    assert len(found) == 2 * (2 * 2 + 2 * 2) == len({one.id for one in found})
    made = [one for one in found if isinstance(one.source, Synthetic)]
    assert {(one.source.n, one.lam) for one in made} == {(100, 0.1), (400, 0.05)}
    assert {one.k for one in made} == {3}
    assert {one.problem().data.weighting for one in made} == {"uniform"}
    read = [one for one in found if isinstance(one.source, Real)]
    assert {(one.lam, one.k, one.candidates) for one in read} == {
        (1.0, 1, None), (1.0, 2, None), (0.1, 1, None), (0.1, 2, None),
    }  # fmt: skip
    other = instances(
        str(grid), overrides=Overrides(loss=["hinge"], lam=[0.5], k=[2], candidates=[3])
    )
    assert {(one.loss, one.lam, one.k, one.candidates) for one in other} == {("hinge", 0.5, 2, 3)}
    assert len(other) == 3


@pytest.mark.parametrize(
    ("grid", "count", "sizes"),
    [
        ("quick", 8, {(1000, 50, 5)}),
        ("synthetic", 8, {(1000, 50, 5), (2000, 200, 5), (4000, 500, 5), (4000, 1000, 10)}),
        ("real", 12, set()),
    ],
)
def test_packaged_grids(grid, count, sizes):
    found = instances(grid)
    assert len(found) == count
    made = [one for one in found if isinstance(one.source, Synthetic)]
    assert {(one.source.n, one.source.d, one.k) for one in made} == sizes
    assert {one.lam for one in made} == {1.0 / np.sqrt(n) for n, _, _ in sizes}


def test_solver_names():
    assert parse_solver("native").method == "bnb"
    highs, plain, compact = parse_solvers("highs, gurobi:plain,scip:perspective,highs")
    assert (highs.method, highs.backend) == ("oa", "highs")
    assert (plain.method, plain.backend) == ("oa-plain", "gurobi")
    assert (compact.method, compact.backend) == ("compact", "scip")
    assert compact.formulation == "perspective"
    names = [solver.name for solver in available_solvers()]
    assert names[:2] == ["native", "highs"]
    assert set(names) <= {"native", *BACKENDS}
