"""The work behind a curve, record by record: heuristics, exact solves, controls, comparisons."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from optprobe.curves.compare import best_known, compare, defect
from optprobe.curves.controls import dense, shuffled
from optprobe.curves.records import DENSE, EXACT, RANDOM, SHUFFLED, Kind, Point, Settings, Solve
from optprobe.curves.result import Curve, Facts
from optprobe.curves.scoring import Scorer
from optprobe.curves.store import Store
from optprobe.heuristics import Choice, Heuristic, get_heuristic
from optprobe.problem import Problem
from optprobe.result import Limits, Result
from optprobe.solver import solve_path

Log = Callable[[str], None]

STARTS = 3
"""Supports per k that an exact solve begins from."""

NOISE = "greedy"
"""What fits the shuffled labels: an exact solve of noise is hard, and scores no better."""


class Job:
    """Computes what the store does not hold yet.

    Args:
        problem: data, loss and ridge; its own k is not used.
        settings: of the curve.
        heuristics: to compare.
        missing: why others are left out, by name.
        name: of the data, for titles and file names.
        folder: where records are kept, or None.
        threads: of the exact solves.
        log: takes progress lines.
    """

    def __init__(
        self,
        problem: Problem,
        settings: Settings,
        heuristics: list[Heuristic],
        *,
        missing: dict[str, str],
        name: str,
        folder: Path | None,
        threads: int | None,
        log: Log | None,
    ) -> None:
        self.problem, self.settings = problem.with_k(settings.ks[-1]), settings
        self.heuristics, self.missing = heuristics, missing
        self.threads = threads
        self.progress = log
        self.scorer = Scorer(problem, settings)
        self.facts = Facts.of(problem, name)
        self.interrupted = False
        self.store = Store(folder, self._shared())

    def _shared(self) -> dict[str, Any]:
        """What a folder's records have in common."""
        data = self.problem.data
        groups = None if data.groups is None else data.groups.astype(str).tolist()
        split = json.dumps([data.test.tolist(), groups])
        return {
            "data": data.digest,
            "test rows and groups": hashlib.sha256(split.encode()).hexdigest(),
            "loss": self.problem.loss_name,
            "ridge": self.problem.lam,
            "weights": data.weighting,
            "scale_floor": data.floor,
            **asdict(self.settings),
        }

    def points(self) -> Iterator[Point]:
        """Every new record as it comes, the comparisons last.

        Ctrl-C ends the work, and sets `interrupted`; what is there is still compared.
        """
        try:
            for heuristic in self.heuristics:
                yield from self._path("heuristic", heuristic, self.scorer, self.settings.seed)
            yield from self._exact()
            if not self.interrupted:
                yield from self._controls()
        except KeyboardInterrupt:
            self.interrupted = True
        self._settle()

    def curve(self) -> Curve:
        """All records so far, those of earlier runs into the folder included."""
        return Curve(
            facts=self.facts,
            settings=self.settings,
            points=tuple(sorted(self.store.points.values(), key=self._order)),
            stopped={path: why for path, why in self.store.stopped.items() if why is not None},
            missing=self.missing,
            no_test=self.scorer.no_test,
            complete=not self.interrupted,
        )

    def _order(self, point: Point) -> tuple[int, int, str, int, int]:
        """Heuristics as they were asked for, others that the folder holds, exact, controls."""
        names = [heuristic.name for heuristic in self.heuristics]
        asked = names.index(point.method) if point.method in names else len(names)
        kind = ("heuristic", "exact", "control").index(point.kind)
        return kind, asked, point.method, point.k, point.seed

    def _path(
        self,
        kind: Kind,
        heuristic: Heuristic,
        scorer: Scorer,
        seed: int,
        method: str | None = None,
        label: str | None = None,
    ) -> Iterator[Point]:
        """A method's supports over k, refitted and scored; what is there is not scored again.

        The method itself starts afresh after an interruption, for its path may depend on all k.
        """
        method, label = method or heuristic.name, label or heuristic.label
        path, spent = f"{kind}.{method}.{seed}", 0.0
        ks = [k for k in self.settings.ks if k <= _most(heuristic)]
        if path in self.store.stopped or not ks:
            return
        left, stopped = len(ks), None
        for choice in heuristic.choices(scorer.problem, ks, seed=seed):
            left -= 1
            if (kind, method, choice.k, seed) not in self.store.points:
                point = self._point(kind, method, label, seed, choice, scorer)
                self.store.add(point)
                self.log(f"{label}, k = {point.k}: {point.objective:.6f} ({choice.seconds:.2f} s)")
                yield point
            # The first k may hold work that all share: it tells nothing of those to come.
            step = choice.seconds - spent if spent else 0.0
            spent = choice.seconds
            if left and self.settings.time_s is not None and step > self.settings.time_s:
                stopped = (
                    f"{label} took {step:.0f} s for k = {choice.k}; the {left} others were left out"
                )
                break
        self.store.finish(path, stopped)

    def _point(
        self, kind: Kind, method: str, label: str, seed: int, choice: Choice, scorer: Scorer
    ) -> Point:
        """A heuristic's support, refitted and scored."""
        scored = scorer.support(choice.support)
        return Point(
            kind=kind,
            method=method,
            label=label,
            k=choice.k,
            seed=seed,
            support=tuple(choice.support.tolist()),
            names=self._names(choice.support.tolist()),
            beta=tuple(scored.beta.tolist()),
            intercept=scored.intercept,
            objective=scored.objective,
            seconds=choice.seconds,
            refit_seconds=scored.seconds,
            test=scored.test,
        )

    def _names(self, support: list[int]) -> tuple[str, ...]:
        return tuple(self.problem.data.names[j] for j in support)

    def _exact(self) -> Iterator[Point]:
        """The exact solves that are missing, from the best supports that are known."""
        held = self.store.points
        missing = [
            k
            for k in self.settings.exact
            if ("exact", EXACT, k, 0) not in held or not held["exact", EXACT, k, 0].done
        ]
        if not missing:
            return
        time_s = np.inf if self.settings.time_s is None else self.settings.time_s
        results = solve_path(
            self.problem,
            missing,
            limits=Limits(gap=self.settings.gap, time_s=time_s),
            start=self._starts(),
            threads=self.threads,
            log=self.progress,
        )
        for result in results:
            point = self._solved(result)
            self.store.add(point)
            yield point
            self.interrupted = result.limit == "interrupted"
        self.interrupted = self.interrupted or ("exact", EXACT, missing[-1], 0) not in held

    def _starts(self) -> list[np.ndarray]:
        """The best distinct supports of every k that is solved."""
        starts: list[np.ndarray] = []
        for k in self.settings.exact:
            found = sorted(self._at(k), key=lambda point: point.objective)
            distinct = list(dict.fromkeys(point.support for point in found))
            starts += [np.array(support, int) for support in distinct[:STARTS]]
        return starts

    def _solved(self, result: Result) -> Point:
        """The exact point, with the better of the solver's and the heuristics' supports."""
        certificate = None
        if result.certificate is not None and self.store.certificates is not None:
            certificate = f"{self.facts.name}.k{result.k}.npz"
            result.certificate.write(self.store.certificates / certificate)
        lower = None if result.verified is None else result.verified.lower
        lower = lower if lower is not None and np.isfinite(lower) and lower > 0.0 else None
        claimed = result.claimed.lower
        scored = self.scorer.support(result.support)
        point = Point(
            kind="exact",
            method=EXACT,
            label="exact",
            k=result.k,
            seed=0,
            support=tuple(result.support.tolist()),
            names=self._names(result.support.tolist()),
            beta=tuple(scored.beta.tolist()),
            intercept=scored.intercept,
            objective=scored.objective,
            seconds=result.time_s,
            refit_seconds=scored.seconds,
            test=scored.test,
            solve=Solve(
                lower=lower,
                claimed_lower=float(claimed) if np.isfinite(claimed) else None,
                certified=False,
                status=str(result.status),
                limit=None if result.limit is None else str(result.limit),
                nodes=result.nodes,
                found_by=EXACT,
                certificate=certificate,
            ),
        )
        return best_known(point, self._at(result.k), self.settings.gap)

    def _controls(self) -> Iterator[Point]:
        """Random coordinates, shuffled labels, and the dense probe."""
        for seed in range(self.settings.random_seeds):
            coordinates = get_heuristic(RANDOM)
            yield from self._path("control", coordinates, self.scorer, seed)
        noise = Scorer(shuffled(self.problem, self.settings.seed), self.settings)
        yield from self._path(
            "control", get_heuristic(NOISE), noise, self.settings.seed, SHUFFLED, "shuffled labels"
        )
        if ("control", DENSE, len(self.problem.usable), 0) not in self.store.points:
            point = dense(self.scorer)
            self.store.add(point)
            self.log(f"dense: {point.objective:.6f} ({point.refit_seconds:.2f} s)")
            yield point

    def _at(self, k: int) -> list[Point]:
        """The k-sparse probes that heuristics and random draws found."""
        held = self.store.points.values()
        return [point for point in held if point.k == k and point.comparable and not point.solve]

    def _settle(self) -> None:
        """Compare every point with the best of its k; a difference that is known is kept."""
        for k in self.settings.ks:
            others = self._at(k)
            exact = self.store.points.get(("exact", EXACT, k, 0))
            if exact is not None:
                exact = best_known(exact, others, self.settings.gap)
                others = [exact, *others]
            best = exact or min(others, key=lambda point: point.objective, default=None)
            if best is None:
                continue
            for point in others:
                said = defect(point, exact)
                if said is not None:
                    warnings.warn(said, RuntimeWarning, stacklevel=2)
                point = replace(point, against=compare(point, best, exact, self.scorer))
                if point != self.store.points[point.key]:
                    self.store.add(point)

    def log(self, line: str) -> None:
        """A progress line, where somebody wants it."""
        if self.progress is not None:
            self.progress(line)


def _most(heuristic: Heuristic) -> float:
    """The largest k that leaves "NAME@P" a choice: P."""
    _, _, size = heuristic.name.partition("@")
    return int(size) if size else np.inf
