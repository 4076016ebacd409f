"""Performance profile [Dolan, Moré 2002]: share of instances within a factor tau of the best."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from optprobe.bench.report.figures import new_figure, save, style
from optprobe.bench.report.summary import Summary
from optprobe.bench.statistics import performance_profile, performance_ratios


def draw_profile(path: Path, summary: Summary) -> None:
    """One step line per solver over log10 tau, over the instances that every solver was run on."""
    figure = new_figure(7.0, 4.2)
    axes = figure.subplots()
    axes.set(xlabel="time / time of the fastest solver", ylabel="share of instances solved")
    axes.set(ylim=(-0.02, 1.02), xscale="log")
    if summary.times.size:
        ratios = performance_ratios(summary.times)
        taus = np.unique(ratios[np.isfinite(ratios)])
        end = 1.2 * max(taus.max(initial=1.0), 2.0)
        taus = np.concatenate([[1.0], taus, [end]])
        for i, solver in enumerate(summary.solvers):
            share = performance_profile(ratios[i], taus)
            axes.step(taus, share, where="post", label=solver, lw=1.6, **style(i))
        axes.set_xlim(1.0, end)
        figure.legend(loc="outside right upper", frameon=False)
    save(figure, path)
