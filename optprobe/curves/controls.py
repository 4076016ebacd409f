"""What the curves are read against: labels without meaning, and all columns at once."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from optprobe.curves.records import DENSE, Point
from optprobe.curves.scoring import Scorer
from optprobe.problem import Problem
from optprobe.support.dense import fit_dense


def shuffled(problem: Problem, seed: int) -> Problem:
    """The problem with the labels of the training rows permuted.

    Class sizes stay; so does the weighting (given weights stay with their rows). Test labels are
    the true ones: a probe that scores above chance on them shows a leak, and the training objective
    shows how well k columns fit noise.
    """
    return problem.relabelled(np.random.default_rng(seed).permutation(problem.y))


def dense(scorer: Scorer) -> Point:
    """The ridge probe on all usable columns: the ceiling of every sparse probe at this ridge."""
    problem, lam = scorer.problem, scorer.settings.refit_lam
    begun = time.perf_counter()
    fit = fit_dense(problem.matrix, problem.rows)
    objective = fit.objective
    if lam is not None:
        fit = fit_dense(problem.matrix, replace(problem, lam=lam).rows)
    seconds = time.perf_counter() - begun
    beta = fit.beta[problem.usable]  # constant columns are 0 once standardised
    return Point(
        kind="control",
        method=DENSE,
        label="dense",
        k=len(problem.usable),
        seed=0,
        support=(),
        names=(),
        beta=(),
        intercept=fit.intercept,
        objective=objective,
        seconds=0.0,
        refit_seconds=seconds,
        test=scorer.test(problem.usable, beta, fit.intercept),
    )
