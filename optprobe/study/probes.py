"""The probes of one feature on one layer, as a record of plain values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from optprobe.estimators.search import Found, Search
from optprobe.metrics import held_out
from optprobe.storage import finite
from optprobe.verdict import certified

if TYPE_CHECKING:
    from optprobe.activations.store import Store
    from optprobe.problem import Problem
    from optprobe.study.folder import Folder
    from optprobe.study.rows import FeatureRows
    from optprobe.study.schema import Budget, Study


def layer_problem(store: Store, site: str, rows: FeatureRows, study: Study) -> Problem:
    """The probing problem of a feature on one site, at the study's smallest k."""
    return store.problem(
        rows.labels,
        k=study.k[0],
        lam=study.ridge,
        loss=study.loss,
        sites=[site],
        keep=rows.keep,
        test=rows.test,
        groups=rows.documents,
    )


def probe(
    problem: Problem, study: Study, folder: Folder, feature: str, layer: int
) -> dict[str, Any]:
    """Solve every k, write the certificates, and say what came out.

    Ctrl-C ends the current k; then the record says "interrupted" and later k are missing. What is
    infinite, such as the gap of a solve without a bound, is null.
    """
    search = Search(
        method=study.method,
        backend=None,
        formulation=None,
        candidates=study.candidates,
        gap=study.budget.gap,
        time_limit=study.budget.seconds_per_k,
        threads=None,
        seed=study.sampling.seed,
    )
    found = search.path(problem, study.k)
    data = problem.data
    record = {
        "feature": feature,
        "layer": layer,
        "data": data.digest,
        "rows": len(data.train),
        "positives": int((problem.y > 0).sum()),
        "test_rows": len(data.test),
        "columns": problem.d,
        "seconds_per_k": study.budget.seconds_per_k,
        "interrupted": any(one.interrupted for one in found) or len(found) < len(study.k),
        "probes": [_probe(problem, one, study, folder, feature, layer) for one in found],
    }
    return finite(record)


def _probe(
    problem: Problem, found: Found, study: Study, folder: Folder, feature: str, layer: int
) -> dict[str, Any]:
    """One k; the bounds are the checker's, null for a heuristic."""
    metrics = held_out(problem, found.support, found.beta, found.intercept)
    result = found.result
    record: dict[str, Any] = {
        "k": found.k,
        "support": found.support.tolist(),
        "names": [problem.data.names[j] for j in found.support],
        "beta": found.beta.tolist(),
        "intercept": found.intercept,
        "objective": found.objective,
        "test": None if metrics is None else asdict(metrics),
        "method": study.method,
        **dict.fromkeys(("lower", "gap", "scope", "status", "limit", "nodes", "seconds")),
        "certified": False,
        "certificate": None,
    }
    if result is None:
        return record
    if result.verified is not None:
        record |= {"lower": result.verified.lower, "gap": result.verified.gap}
    if result.certificate is not None:
        path = folder.certificate(feature, layer, found.k)
        path.parent.mkdir(parents=True, exist_ok=True)
        result.certificate.write(path)
        record["certificate"] = str(path.relative_to(folder.path))
    return record | {
        "certified": certified(result, study.budget.gap),
        "scope": result.scope,
        "status": str(result.status),
        "limit": None if result.limit is None else str(result.limit),
        "nodes": result.nodes,
        "seconds": result.time_s,
    }


def settled(record: dict[str, Any] | None, exact: bool, budget: Budget) -> bool:
    """Whether a record need not be computed again.

    One that a limit ended is, where more seconds per k are given now.
    """
    if record is None or record["interrupted"]:
        return False
    if not exact or solved([record]):
        return True
    had, now = (
        math.inf if seconds is None else seconds
        for seconds in (record["seconds_per_k"], budget.seconds_per_k)
    )
    return now <= had


def solved(records: Sequence[dict[str, Any]]) -> bool:
    """Whether every probe is certified."""
    return all(probe["certified"] for record in records for probe in record["probes"])
