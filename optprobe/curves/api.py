"""One call for the whole comparison: `curve`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from optprobe.curves.job import Job
from optprobe.curves.methods import chosen
from optprobe.curves.records import Point, Settings
from optprobe.curves.result import Curve
from optprobe.losses import LOSSES
from optprobe.problem import Problem
from optprobe.result import Limits

EXACT_K = 12
"""The largest k that is solved exactly unless others are asked for."""


def curve(
    problem: Problem,
    ks: Sequence[int],
    *,
    methods: str | Sequence[str] = "default",
    exact: Sequence[int] | None = None,
    limits: Limits | None = None,
    refit_lam: float | None = None,
    resamples: int = 1000,
    level: float = 0.95,
    random_seeds: int = 5,
    seed: int = 0,
    threads: int | None = None,
    name: str = "probe",
    out: Path | None = None,
    log: Callable[[str], None] | None = None,
    observe: Callable[[Point], None] | None = None,
) -> Curve:
    """Heuristics against the certified optimum over k, on one split.

        regret(S) = f(S) / f* - 1        against the certified optimum f*
        regret(S) = f(S) / L - 1         against the verified lower bound L while the gap is open

    with f(S) the training objective of the refit on S at the problem's loss and ridge. Test metrics
    have bootstrap intervals over documents (`Problem.of(groups=...)`, else rows).

    Args:
        problem: data, split, loss and ridge; its own k is not used.
        ks: cardinalities in any order.
        methods: names of heuristics ("NAME@P" inside the P best columns by mean difference),
            "default", or "all" that can run here.
        exact: the k that are solved exactly; by default those up to 12.
        limits: gap and seconds per k of the exact solves. A heuristic that takes longer than the
            seconds for one k is not asked for larger ones.
        refit_lam: score the supports by a refit at this ridge instead of the problem's, as Gurnee
            et al. 2023 refit theirs; objectives and regrets stay at the problem's.
        resamples, level: of the bootstrap.
        random_seeds: random supports per k in the control.
        seed: of every random choice.
        threads: of the exact solves.
        name: of the data.
        out: a folder for records and certificates. What it holds already is not computed again.
        log: takes progress lines.
        observe: takes every new record as it comes.

    Returns:
        The records. Ctrl-C ends the work early: `complete` is False and nothing finished is lost.

    Raises:
        ValueError: unknown method, k or a number out of range, or a folder that holds a curve with
            other settings.
        ImportError: the package of a method that was asked for by name is missing.

    Warns:
        RuntimeWarning: a support below a verified lower bound, which would be a defect of ours.
    """
    job = prepare(
        problem,
        ks,
        methods=methods,
        exact=exact,
        limits=limits,
        refit_lam=refit_lam,
        resamples=resamples,
        level=level,
        random_seeds=random_seeds,
        seed=seed,
        threads=threads,
        name=name,
        out=out,
        log=log,
    )
    for point in job.points():
        if observe is not None:
            observe(point)
    return job.curve()


def prepare(
    problem: Problem,
    ks: Sequence[int],
    *,
    methods: str | Sequence[str] = "default",
    exact: Sequence[int] | None = None,
    limits: Limits | None = None,
    refit_lam: float | None = None,
    resamples: int = 1000,
    level: float = 0.95,
    random_seeds: int = 5,
    seed: int = 0,
    threads: int | None = None,
    name: str = "probe",
    out: Path | None = None,
    log: Callable[[str], None] | None = None,
) -> Job:
    """The work of `curve`, its arguments checked and its folder opened, before any of it is done.

    Raises:
        ValueError, ImportError: as `curve`.
    """
    if problem.loss_name not in LOSSES:
        raise ValueError(
            f"sparsity curves compare classifiers; the loss {problem.loss_name} predicts numbers: "
            f"choose one of {', '.join(LOSSES)}"
        )
    heuristics, missing = chosen(methods, problem.loss_name)
    limits = limits or Limits()
    wanted = tuple(sorted({int(k) for k in ks}))
    solved = [k for k in wanted if k <= EXACT_K] if exact is None else exact
    settings = Settings(
        ks=wanted,
        exact=tuple(sorted({int(k) for k in solved})),
        gap=limits.gap,
        time_s=limits.time_s if limits.time_s < float("inf") else None,
        refit_lam=refit_lam,
        resamples=resamples,
        level=level,
        seed=seed,
        random_seeds=random_seeds,
    )
    return Job(
        problem,
        settings,
        heuristics,
        missing=missing,
        name=name,
        folder=out,
        threads=threads,
        log=log,
    )
