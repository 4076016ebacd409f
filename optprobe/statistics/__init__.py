"""Statistics around a probe: splits, intervals, tests, ridges. One idea per file."""

from optprobe.statistics.intervals import Bootstrap, bootstrap, bootstrap_difference
from optprobe.statistics.splits import group_split

__all__ = ["Bootstrap", "bootstrap", "bootstrap_difference", "group_split"]
