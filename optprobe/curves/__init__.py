"""Sparsity curves: heuristics against the certified optimum over k, on one split.

records.py   settings, and one record per method and k
methods.py   which heuristics run
scoring.py   refits, test metrics and their intervals
compare.py   regret, overlap, difference in test F1
controls.py  shuffled labels, the dense probe
store.py     records in a folder, resumable
job.py       the work, one record at a time
result.py    the curve, and its flat rows
report/      curve.json, curve.parquet, curve.png, curve.html
"""

from optprobe.curves.api import curve, prepare
from optprobe.curves.records import Comparison, Estimate, Point, Settings, Solve
from optprobe.curves.result import Curve

__all__ = ["Comparison", "Curve", "Estimate", "Point", "Settings", "Solve", "curve", "prepare"]
