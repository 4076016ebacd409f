"""Heuristic against exact on packaged activations of a real language model.

    regret of a heuristic = f(its support, refitted) / f(exact probe) - 1

with f the training objective; both see the same training rows, loss and ridge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources

import numpy as np
from jaxtyping import Int

from optprobe import metrics
from optprobe.files import Activations, read
from optprobe.heuristics import heuristic_supports
from optprobe.metrics import Metrics
from optprobe.problem import Problem
from optprobe.result import Limits, Result
from optprobe.solve import solve_path
from optprobe.support import Rows, fit_support

Array = np.ndarray

NAME = "french_mean32_L18"
KS = (1, 2, 3, 4, 5)
RIDGE = 0.1
LIMITS = Limits(gap=1e-4, time_s=10.0)
"""Per k, so that the demo ends within a minute on a slow machine too."""

ABOUT = (
    "Activations of the 1536 MLP neurons in layer 18 of SmolLM2-135M-Instruct, averaged over "
    "windows of 32 tokens: which neurons tell French text from English, German and Spanish? "
    "Training and test windows share no document."
)


@dataclass(frozen=True)
class Rival:
    """What a heuristic found: its support refitted by the same loss and ridge."""

    name: str
    support: Int[Array, "s"]
    objective: float
    regret: float
    test: Metrics | None


@dataclass(frozen=True)
class Step:
    """One k: the exact result, its scores on the test rows, and the heuristics."""

    result: Result
    test: Metrics | None
    rivals: tuple[Rival, ...]


def activations() -> Activations:
    """The packaged activations."""
    with resources.as_file(resources.files("optprobe") / "data" / f"{NAME}.npz") as path:
        return read(path)


def problem() -> Problem:
    """The packaged probing task at the largest k."""
    return activations().problem(k=KS[-1], lam=RIDGE)


def run(
    problem: Problem,
    ks: Sequence[int] = KS,
    limits: Limits = LIMITS,
    log: Callable[[str], None] | None = None,
) -> Iterator[Step]:
    """Solve the path over k and compare every heuristic with it."""
    for result in solve_path(problem, list(ks), limits=limits, log=log):
        at_k = problem.with_k(result.k)
        test = metrics.held_out(at_k, result.support, result.beta, result.intercept)
        chosen = heuristic_supports(at_k)
        rivals = tuple(_rival(at_k, result, name, chosen[name]) for name in chosen)
        yield Step(result, test, rivals)


def _rival(problem: Problem, result: Result, name: str, support: Int[Array, "s"]) -> Rival:
    """Refit a heuristic's support and compare it with the exact probe."""
    data = problem.data
    rows = Rows(problem.y, problem.weights, problem.loss, problem.lam)
    fit = fit_support(data.columns(support, data.train), rows)
    beta, intercept = fit.beta[0], float(fit.intercept[0])
    objective = problem.objective(support, beta, intercept)
    return Rival(
        name,
        support,
        objective,
        objective / result.objective - 1.0,
        metrics.held_out(problem, support, beta, intercept),
    )


def findings(problem: Problem, steps: Sequence[Step], limits: Limits = LIMITS) -> list[str]:
    """What was proven, over which columns, and what it says about the heuristics."""
    usable = len(problem.usable)
    sure = [s for s in steps if s.result.verified and s.result.verified.gap <= limits.gap + 1e-9]
    lines: list[str] = []
    if sure:
        ks = ", ".join(str(step.result.k) for step in sure)
        over = f"all {usable} neurons that vary on the training rows"
        if sure[0].result.scope != "all columns":
            over = f"{sure[0].result.candidates} candidate neurons of {usable}"
        lines.append(
            f"Certified for k = {ks}: no set of at most k neurons, out of {over}, has an objective "
            f"more than {100.0 * limits.gap:g} % below the exact probe's. A checker that shares no "
            "code with the solver recomputed every bound from the data."
        )
    for step in steps:
        if step in sure:
            continue
        bounds = step.result.verified
        held = "no bound was verified" if bounds is None else (
            f"the certified gap is {100.0 * bounds.gap:.3g} %"
        )  # fmt: skip
        lines.append(f"k = {step.result.k} stopped before that ({step.result.limit}): {held}.")
    lines += [_judge(name, steps) for name in (r.name for r in steps[0].rivals)] if steps else []
    lines.append(
        "The proof is about the training objective; scores on the test rows are measured, and a "
        "probe that is optimal on one set of rows need not be the best on another."
    )
    return lines


def _judge(name: str, steps: Sequence[Step]) -> str:
    """One heuristic against the exact probes, in a sentence."""
    found: list[int] = []
    worst, at = 0.0, 0
    for step in steps:
        rival = next(r for r in step.rivals if r.name == name)
        if set(rival.support.tolist()) == set(step.result.support.tolist()):
            found.append(step.result.k)
        elif rival.regret > worst:
            worst, at = rival.regret, step.result.k
    if len(found) == len(steps):
        return f"{name}: the exact support at every k."
    where = f"at k = {', '.join(map(str, found))}" if found else "at no k"
    return (
        f"{name}: the exact support {where}; at worst its objective is {100.0 * worst:.2f} % "
        f"above the exact one (k = {at})."
    )
