"""Run as a program: the package's own shape annotations, checked on every call of a small solve."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from beartype import BeartypeConf, beartype
from jaxtyping import install_import_hook

MODULES = (
    "losses",
    "observations",
    "problem",
    "matrix",
    "support.fit",
    "support.newton",
    "support.rows",
    "bounds",
    "relaxation",
    "prefilter",
    "heuristics",
    "engine.enumeration",
    "features",
    "engine.damping",
    "engine.filter",
    "engine.support_costs",
    "engine.centres",
    "engine.leaves",
    "engine.expansion",
    "engine.device",
    "confusion",
    "metrics",
    "curves",
    "neurons",
    "statistics",
    "activations",
)

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
"""beartype with the numeric tower: an int may stand where a float is asked for."""


def main() -> None:
    """Call everything once per loss, with the annotations checked."""
    install_import_hook([f"optprobe.{name}" for name in MODULES], "shapes.check")
    import numpy as np
    import torch
    from instances import brute_force, random_problem, random_targets
    from stores import Made

    from optprobe.activations import Store, exchange
    from optprobe.curves import curve
    from optprobe.engine.enumeration import surviving_subsets
    from optprobe.engine.expansion import expansion, fitted_margin, newton_start
    from optprobe.engine.leaves import Filter, fit_leaf
    from optprobe.heuristics import HEURISTICS
    from optprobe.matrix import StreamedMatrix
    from optprobe.matrix.device import DeviceMatrix
    from optprobe.neurons import random_rotation, rank_neurons
    from optprobe.prefilter import best_columns, screen
    from optprobe.statistics import (
        adjust_p_values,
        bootstrap_difference,
        bounds_over_ridges,
        lower_between,
        permutation_test,
        random_support_test,
        refit,
        relaxed_points,
    )
    from optprobe.support import Rows, fit_support, signed

    label_features()
    with TemporaryDirectory() as folder:
        made = Made.up()
        store = Store.open(made.write(Path(folder)), "digests")
        found = store.problem(made.X[:, 0] > 0, k=2, keep=store.rows.position > 0)
        best_columns(found, 2)
        found.data.columns(np.array([0, 7]), found.data.train)
        store.array()[np.array([3, 0]), np.array([1, 9])]
        exchange.to_npz(store, Path(folder) / "all.npz", made.X[:, 0] > 0)
        exchange.from_npz(Path(folder) / "all.npz", Path(folder) / "back", made.manifest)
    problem = random_targets(0)
    brute_force(problem)
    HEURISTICS["greedy_swaps"].path(problem, [problem.k])
    best_columns(problem, problem.k)
    best_columns(problem, problem.k, "relaxation")
    for seed in range(3):  # one per loss
        problem = random_problem(seed)
        brute_force(problem)
        for heuristic in HEURISTICS.values():
            served = heuristic.losses is None or problem.loss_name in heuristic.losses
            if served and heuristic.package is None:
                heuristic.path(problem, [problem.k])
        curve(problem, [problem.k], methods=["greedy"], random_seeds=1)
        best_columns(problem, problem.k, "relaxation")
        rank_neurons(random_rotation(problem))
        score = problem.matrix.scores(problem.usable[:1], np.ones((1, 1)))[0]
        bootstrap_difference(problem.y, score, -score, resamples=5)
        ridges = [0.1, 0.5]
        lower = bounds_over_ridges(problem, relaxed_points(problem, ridges), ridges, [problem.k])
        lower_between(np.array(ridges), lower[:, 0], np.array([0.3]))
        refit(problem, problem.usable[:1])
        adjust_p_values([0.1, 0.2])
        permutation_test(problem, heuristic="mean_difference", permutations=2)
        random_support_test(problem, problem.usable[:2], draws=3)
        rows = Rows(problem.y, problem.weights, problem.loss, problem.lam)
        columns = problem.matrix.columns(problem.usable)
        fit_support(columns, rows, start=np.zeros(len(columns) + 1))
        pairs = surviving_subsets(np.arange(3.0), 2, 0.5, np.inf)
        if pairs is not None and np.isfinite(rows.loss.lipschitz):
            block = signed(columns, rows)
            at = expansion(block, fitted_margin(block, np.empty(0, int), rows), rows)
            newton_start(at, pairs, rows.lam)
        if problem.loss_name != "hinge":
            nodes = Filter(problem.matrix.columns, rows, lambda: False)
            members = problem.usable[1:]
            nodes(problem.usable[:1], members, np.zeros(2), np.zeros(len(members)), 2, 1.0)
            away = Filter(problem.matrix.columns, rows, lambda: False, torch.device("cpu"))
            away(problem.usable[:1], members, np.zeros(2), np.zeros(len(members)), 3, 1.0)
            fit_leaf(
                away.columns,
                rows,
                problem.usable[:1],
                problem.usable[None, :3],
                1.0,
                away.compiled,
                None,
            )
        matrices = [
            StreamedMatrix(
                problem.data.on_host(), problem.data.train, problem.data.by, np.arange(problem.d)
            ),
            DeviceMatrix.standardised(
                torch.tensor(problem.data.on_host()), problem.data.train, problem.data.by
            ),
        ]
        for matrix in matrices:
            small = matrix.restrict(problem.usable)
            small.gram(np.arange(2), rows.w)
            small.scores(np.arange(2), np.ones((1, 2)))
            small.squares(rows.w[None])
            points = small.correlations(rows.w[None])
            assert points.shape == (1, len(problem.usable))
        from optprobe.bounds import dual_points

        found = dual_points(
            problem.matrix, np.full((1, len(rows.y)), 0.5), rows.y, rows.w, rows.loss, rows.lam
        )
        screen(found, problem.k, ~problem.data.by.constant, 0.5)


def label_features() -> None:
    """Every collection that a small folder can serve."""
    from tempfile import TemporaryDirectory

    from treebanks import write_treebank

    from optprobe.features import COLLECTIONS, load_feature, sample
    from optprobe.features.counting import count, word_rows

    with TemporaryDirectory() as place:
        folder = write_treebank(Path(place))
        for name in ("pos", "dep", "morph", "token", "position", "ngram", "language"):
            dataset = COLLECTIONS[name].load(folder)
            rows = word_rows(dataset)
            for feature in COLLECTIONS[name].features(dataset):
                count(dataset, feature, rows)
        dataset, feature = load_feature("language/fr", folder)
        sample(feature.labels(dataset, rows), rows, dataset.documents)


if __name__ == "__main__":
    main()
