"""Heuristics against the certified optimum: python benchmarks/heuristics_table.py [FILE ...]

For every file and ridge the sparsity curve of `optprobe.curves` is computed into --out, or read
from there if an earlier run left it; then Markdown tables are printed: regrets over the files,
times, and how often each method found the best support known. Without FILE the packaged
activations are measured. Raises if a support lies below a verified lower bound.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from optprobe.cli.common import parse_ks
from optprobe.curves import Curve, Point, curve
from optprobe.files import read
from optprobe.machine import in_words, machine
from optprobe.result import Limits

PACKAGED = Path(str(files("optprobe"))) / "data" / "digit_L01.npz"

SAME = 1e-6
"""Relative excess over the best objective known up to which a support is as good."""


def compute(path: Path, lam: float, ks: Sequence[int], arguments: argparse.Namespace) -> Curve:
    """One file at one ridge; everything but what is missing comes from the folder.

    Raises:
        RuntimeError: a support below a verified lower bound.
    """
    methods = arguments.methods
    found = curve(
        read(path).problem(k=1, lam=lam),
        ks,
        methods=methods if methods in ("default", "all") else methods.split(","),
        exact=ks,
        limits=Limits(time_s=arguments.time_limit),
        resamples=100,
        random_seeds=1,
        name=path.stem,
        out=arguments.out / path.stem / f"ridge-{lam:g}",
        log=lambda line: print(f"{path.stem}, ridge {lam:g}: {line}", file=sys.stderr),
    )
    if found.defects:
        raise RuntimeError("; ".join(found.defects))
    return found


def at(found: Curve, method: str, k: int) -> Point | None:
    """A method's point at one k."""
    return next((point for point in found.of(method) if point.k == k), None)


def table(head: Sequence[str], body: Sequence[Sequence[str]]) -> None:
    """Print a Markdown table."""
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for row in body:
        print("| " + " | ".join(row) + " |")


def regrets(curves: Sequence[Curve], lams: Sequence[float], ks: Sequence[int]) -> None:
    """Mean and worst regret over the files, and the worst verified gap of the exact solves."""
    names = methods_of(curves)
    body: list[list[str]] = []
    for lam in lams:
        same = [found for found in curves if found.facts.lam == lam]
        for k in ks:
            gaps = [found.gap(k) for found in same]
            certified = sum(bool((e := found.exact(k)) and e.solve and e.solve.certified)
                            for found in same)  # fmt: skip
            worst = "none" if None in gaps else f"{100 * max(g for g in gaps if g is not None):.2g}"
            row = [f"{lam:g}, {k}", f"{certified} of {len(same)}", worst]
            body.append(row + [cell([at(found, name, k) for found in same]) for name in names])
    print("\nRegret in %, mean / worst over the files; * if any is against a verified lower bound")
    print("instead of a certified optimum, and so at most this large.\n")
    table(["ridge, k", "certified", "worst gap, %", *names], body)


def cell(points: Sequence[Point | None]) -> str:
    """Mean / worst regret, with a star where the reference is a lower bound."""
    held = [point.against for point in points if point is not None and point.against is not None]
    known = [100.0 * against.regret for against in held if against.regret is not None]
    if not known:
        return "-"
    star = "*" if any(against.reference == "lower bound" for against in held) else ""
    missing = "" if len(known) == len(points) else f" ({len(known)})"
    return f"{statistics.mean(known):.2f} / {max(known):.2f}{star}{missing}"


def excesses(curves: Sequence[Curve], lams: Sequence[float], ks: Sequence[int]) -> None:
    """The same against the best support that any method found, which nothing has to prove."""
    names = methods_of(curves)
    body: list[list[str]] = []
    for lam in lams:
        for k in ks:
            row = [f"{lam:g}, {k}"]
            for name in names:
                pairs = [(at(found, name, k), best(found, k)) for found in curves
                         if found.facts.lam == lam]  # fmt: skip
                over = [100.0 * (point.objective / least - 1.0) for point, least in pairs if point]
                row.append(f"{statistics.mean(over):.2f} / {max(over):.2f}" if over else "-")
            body.append(row)
    print("\nExcess in % over the best support that any method found, mean / worst over the files:")
    print("no proof is needed for it; where a gap is open, the regret is at least this.\n")
    table(["ridge, k", *names], body)


def best(found: Curve, k: int) -> float:
    """The smallest objective of any method at one k."""
    return min(point.objective for point in found.points if point.k == k and point.comparable)


def times(curves: Sequence[Curve], ks: Sequence[int]) -> None:
    """Seconds from the start of a method's path until its support for the largest k."""
    body: list[list[str]] = []
    for name in methods_of(curves):
        points = [at(found, name, ks[-1]) for found in curves]
        seconds = [point.seconds for point in points if point is not None]
        if seconds:
            body.append([name, f"{statistics.median(seconds):.3f}", f"{max(seconds):.3f}"])
    exact = [point.seconds for found in curves for point in found.of("exact", "exact")]
    if exact:
        body.append(["exact, one k", f"{statistics.median(exact):.3f}", f"{max(exact):.3f}"])
    print(f"\nSeconds for all k up to {ks[-1]}, over the files and ridges.\n")
    table(["method", "median", "worst"], body)


def hits(curves: Sequence[Curve], ks: Sequence[int]) -> None:
    """How many (file, ridge, k) a method solves as well as anybody."""
    cases = [(found, k) for found in curves for k in ks]
    body: list[list[str]] = []
    for name in methods_of(curves):
        good = 0
        for found, k in cases:
            point = at(found, name, k)
            good += point is not None and point.objective <= best(found, k) * (1.0 + SAME)
        body.append([name, f"{good} of {len(cases)}"])
    print("\nCases (file, ridge, k) where a method's support is the best that any method found.\n")
    table(["method", "best known"], body)


def methods_of(curves: Sequence[Curve]) -> list[str]:
    """Every heuristic that ran, as they came."""
    return list(dict.fromkeys(name for found in curves for name in found.methods))


def main() -> None:
    """Compute what is missing and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, default=[PACKAGED])
    parser.add_argument("--ridges", default="1,0.1,0.01")
    parser.add_argument("--k", default="1:8")
    parser.add_argument("--methods", default="all")
    parser.add_argument("--time-limit", type=float, default=30.0, help="seconds per exact k")
    parser.add_argument("--out", type=Path, default=Path("heuristics-table"))
    arguments = parser.parse_args()
    ks, lams = parse_ks(arguments.k), [float(word) for word in arguments.ridges.split(",")]
    curves: list[Curve] = []
    for path in arguments.files:
        for lam in lams:
            curves.append(compute(path, lam, ks, arguments))
            if not curves[-1].complete:
                sys.exit("interrupted; the same command goes on from here")
    print(in_words(machine(("numpy", "scipy", "scikit-learn"))))
    regrets(curves, lams, ks)
    excesses(curves, lams, ks)
    times(curves, ks)
    hits(curves, ks)
    missing = {name: why for found in curves for name, why in found.missing.items()}
    for name, why in missing.items():
        print(f"\n{name} was left out: {why}")


if __name__ == "__main__":
    main()
