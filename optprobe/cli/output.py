"""What a solve leaves behind: one JSON object and one certificate per k, and a table."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from optprobe.storage import finite
from optprobe.verdict import ROUNDING, certified

if TYPE_CHECKING:
    from rich.table import Table

    from optprobe.metrics import Metrics, TargetMetrics
    from optprobe.problem import Problem
    from optprobe.result import Bounds, Result


@dataclass
class Output:
    """Collects results and writes them as they come, so that an interruption loses nothing.

    Attributes:
        json_file: a list with one object per k, rewritten after each; "-" is stdout, at the end.
        certificates: folder for one file per k, `NAME.k3.npz`.
        name: NAME.
    """

    json_file: str | None
    certificates: Path | None
    name: str
    records: list[dict[str, Any]] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)

    def prepare(self) -> None:
        """Make the folder and try both places, before any time is spent on solving.

        Earlier results stay as they are until the first new one replaces them.

        Raises:
            ValueError: a place that cannot be written to.
        """
        try:
            if self.certificates is not None:
                self.certificates.mkdir(parents=True, exist_ok=True)
                _try(self.certificates / f"{self.name}.partial")
            if self.json_file is not None and self.json_file != "-":
                if Path(self.json_file).is_dir():
                    raise IsADirectoryError(21, "Is a directory", self.json_file)
                _try(_partial(Path(self.json_file)))
        except OSError as error:
            raise ValueError(
                f"{error.filename or self.json_file} cannot be written ({error.strerror}); "
                "choose another place for the results"
            ) from error

    def add(self, problem: Problem, result: Result, **more: Any) -> dict[str, Any]:
        """Record one result: its certificate, then the JSON file with it.

        Args:
            problem: what was solved, at any k.
            result: the answer.
            more: further keys of the record.
        """
        from optprobe.metrics import held_out, held_out_targets

        path = size = None
        if result.certificate is not None and self.certificates is not None:
            path = self.certificates / f"{self.name}.k{result.k}.npz"
            result.certificate.write(path)
            size = path.stat().st_size
        judge = held_out if problem.data.labels else held_out_targets
        metrics = judge(problem, result.support, result.beta, result.intercept)
        entry = record(problem, result, metrics)
        entry["certificate"] = None if path is None else {"path": str(path), "bytes": size}
        self.records.append(entry | finite(more))
        self.results.append(result)
        self._write()
        return self.records[-1]

    def finish(self) -> None:
        """Write the list as it now is, empty or not; to stdout if it was asked for there."""
        if self.json_file == "-":
            typer.echo(self._text())
        self._write()

    def _text(self) -> str:
        return json.dumps(self.records, indent=1, allow_nan=False)

    def _write(self) -> None:
        if self.json_file is None or self.json_file == "-":
            return
        path = Path(self.json_file)
        partial = _partial(path)
        partial.write_text(self._text() + "\n", encoding="utf-8")
        partial.replace(path)


def _partial(path: Path) -> Path:
    """Where a file is written before it takes its name."""
    return path.with_name(path.name + ".partial")


def _try(path: Path) -> None:
    """Write an empty file and take it away again."""
    path.write_bytes(b"")
    path.unlink()


def record(
    problem: Problem, result: Result, metrics: Metrics | TargetMetrics | None
) -> dict[str, Any]:
    """A result as plain JSON values; what is infinite or undefined is null."""
    support = [int(j) for j in result.support]
    return finite(
        {
            "k": result.k,
            "loss": problem.loss_name,
            "ridge": problem.lam,
            "weights": problem.data.weighting,
            "status": str(result.status),
            "limit": None if result.limit is None else str(result.limit),
            "support": support,
            "names": [problem.data.names[j] for j in support],
            "beta": [float(value) for value in result.beta],
            "intercept": float(result.intercept),
            "objective": float(result.objective),
            "claimed": _bounds(result.claimed),
            "verified": _bounds(result.verified),
            "scope": result.scope,
            "candidates": int(result.candidates),
            "nodes": int(result.nodes),
            "time_s": float(result.time_s),
            "method": result.method,
            "backend": result.backend,
            "formulation": result.formulation,
            "refuted": result.refuted,
            "statistics": {key: float(value) for key, value in result.statistics.items()},
            "test": None if metrics is None else asdict(metrics),
        }
    )


def _bounds(bounds: Bounds | None) -> dict[str, float] | None:
    if bounds is None:
        return None
    return {"lower": float(bounds.lower), "upper": float(bounds.upper), "gap": float(bounds.gap)}


def reached(result: Result, gap: float) -> bool:
    """Whether the gap asked for is reached: by proof, or by a claim where no proof was wanted."""
    believed = result.status == "claimed optimal" and result.certificate is None
    return believed or result.status == "optimal" or certified(result, gap)


def outcome(result: Result, gap: float) -> str:
    """How far a result may be trusted, or why the solve stopped, in a few words."""
    if certified(result, gap):
        return "certified"
    if result.refuted is not None:
        return f"{result.backend}'s claim is false"
    if result.status == "claimed optimal":
        return f"{result.backend} claims it, not verified"
    return "optimal, not verified" if reached(result, gap) else f"stopped: {result.limit}"


def results_table(problem: Problem, results: list[Result], gap: float, title: str) -> Table:
    """One row per k: objective, verified gap, seconds, outcome, support."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE)
    claims = any(not certified(result, gap) and _claims_more(result) for result in results)
    numbers = ["k", "objective", "verified gap", *(["claimed gap"] if claims else []), "seconds"]
    for column in numbers:
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("status", no_wrap=True)
    table.add_column("support")
    for result in results:
        names = [problem.data.names[j] for j in result.support]
        table.add_row(
            str(result.k),
            f"{result.objective:.6f}",
            "-" if result.verified is None else show_gap(result.verified.gap),
            *([show_gap(result.claimed.gap)] if claims else []),
            f"{result.time_s:.2f}",
            outcome(result, gap),
            escape(" ".join(names)),
        )
    return table


def _claims_more(result: Result) -> bool:
    """Whether the solver claims more than the checker could confirm."""
    verified = result.verified
    return verified is None or result.claimed.gap < verified.gap - ROUNDING


def show_gap(gap: float) -> str:
    """A relative gap as a percentage, or "none" where there is no bound."""
    return f"{100.0 * max(gap, 0.0):.4f} %" if math.isfinite(gap) else "none"
