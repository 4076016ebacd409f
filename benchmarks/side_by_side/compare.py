"""optprobe beside every other tool: python benchmarks/side_by_side/compare.py [FILE ...]

The same problems, one process per run: our engine, the sparse-probing paper's scheme, MIP solvers
with everything, El0ps and sparsely in an environment of their own, and heuristics. Every answer is
fitted again and judged by the bounds that our checker verified. Into --out: `runs/`, one record a
run (a run that is there is not repeated), results.parquet, traces.parquet, report.md, and
profile.png, optimum.png and traces.png. `make bench` sets everything up and runs the small grid.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from judged import OPTIMAL, label, markdown, times_to_optimum, with_verdicts

from optprobe.bench.grid import instances
from optprobe.bench.report.profile import draw_profile
from optprobe.bench.report.summary import Summary, summarise
from optprobe.bench.report.traces import draw_traces
from optprobe.bench.runner import Folder, execute
from optprobe.bench.runs import Record, Settings, plan
from optprobe.bench.specs import SolverSpec, parse_solver, parse_solvers
from optprobe.bench.table import COLUMNS, Row, require_pyarrow, rows, write_tables
from optprobe.heuristics import HEURISTICS
from optprobe.storage import write_text

HERE = Path(__file__).resolve().parent

PEERS = ("el0ps", "sparsely")
"""Tools in an environment of their own; NAME_solve.py runs each."""

SOLVERS = (
    "native,gurobi:plain,gurobi,highs,scip,el0ps,sparsely,"
    "abess,fasterrisk,transformer_lens,local_search"
)


def parse(name: str) -> SolverSpec:
    """A solver of `optprobe bench`, a heuristic or a peer.

    Raises:
        ValueError: an unknown name; the sentence names the choices.
    """
    if name in PEERS:
        return SolverSpec(name, "peer")
    if name.partition("@")[0] in HEURISTICS:
        return SolverSpec(name, "heuristic")
    try:
        return parse_solver(name)
    except ValueError as error:
        others = ", ".join((*PEERS, *HEURISTICS))
        raise ValueError(f"{error}; or one of {others}") from error


def report(folder: Folder) -> str:
    """Write every table and figure on what is in the folder; the Markdown."""
    records = folder.records()
    if not records:
        return f"No run has finished: nothing to report in {folder.path}"
    table = with_verdicts(rows(records))
    everybody = in_order(summarise(table, folder.machine))
    verdicts = {"judged_gap": "float64", OPTIMAL: "bool"}
    write_tables(folder.path, records, table, COLUMNS | verdicts)
    draw(folder.path, table, records, everybody)
    text = markdown(table, everybody)
    write_text(folder.path / "report.md", text)
    return text


def in_order(summary: Summary) -> Summary:
    """The solvers in the order of SOLVERS, others after them."""
    known = SOLVERS.split(",")
    order = sorted(
        summary.solvers, key=lambda one: known.index(one) if one in known else len(known)
    )
    places = [summary.solvers.index(solver) for solver in order]
    return replace(summary, solvers=order, times=summary.times[places])


def draw(folder: Path, table: Sequence[Row], records: Sequence[Record], summary: Summary) -> None:
    """Time to a proof, time to an optimal answer, and claimed gaps over time."""
    exact = {row["solver"] for row in table if row["claimed_lower"] is not None}
    keep = [i for i, solver in enumerate(summary.solvers) if solver in exact]
    provers = replace(
        summary, solvers=[summary.solvers[i] for i in keep], times=summary.times[keep]
    )
    draw_traces(folder / "traces.png", provers, records)
    draw_profile(folder / "profile.png", named(provers))
    times = times_to_optimum(table, summary.complete, summary.solvers)
    draw_profile(folder / "optimum.png", named(replace(summary, times=times)))


def named(summary: Summary) -> Summary:
    """With the names that a reader knows."""
    return replace(summary, solvers=[label(solver) for solver in summary.solvers])


def main() -> None:
    """Run what is missing and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, help="activations, beside or without a grid")
    parser.add_argument(
        "--grid", help="as of `optprobe bench`; without FILE small.toml beside this file"
    )
    parser.add_argument("--solvers", default=SOLVERS)
    parser.add_argument("--time-limit", type=float, default=10.0, help="seconds a run")
    parser.add_argument("--gap", type=float, default=1e-4)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("optprobe-bench/side-by-side"))
    parser.add_argument(
        "--peers-python",
        type=Path,
        default=HERE.parents[1] / ".venv-peers" / "bin" / "python",
        help="of the environment of benchmarks/side_by_side/requirements.txt",
    )
    arguments = parser.parse_args()
    grid = arguments.grid or (None if arguments.files else str(HERE / "small.toml"))
    try:
        require_pyarrow()
        solvers = parse_solvers(arguments.solvers, parse)
        settings = Settings(arguments.gap, arguments.time_limit)
        runs = plan(instances(grid, arguments.files), solvers, arguments.repeat, settings)
        folder = Folder(arguments.out, settings)
    except ValueError as error:
        parser.error(str(error))
    worker = (sys.executable, str(HERE / "worker.py"), str(arguments.peers_python))
    complete = execute(
        runs, folder, worker=worker, log=lambda line: print(line, file=sys.stderr, flush=True)
    )
    print(report(folder))
    if not complete:
        sys.exit("interrupted; the same command goes on from here")


if __name__ == "__main__":
    main()
