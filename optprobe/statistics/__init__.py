"""Statistics around a probe: splits, intervals, tests, ridges. One idea per file."""

from optprobe.statistics.intervals import Bootstrap, bootstrap, bootstrap_difference
from optprobe.statistics.multiple import adjust_p_values
from optprobe.statistics.permutation import NullTest, permutation_test, random_support_test
from optprobe.statistics.refit import Refit, refit
from optprobe.statistics.ridges import (
    RIDGES,
    bounds_over_ridges,
    lower_between,
    relaxed_points,
    ridge_path,
    upper_between,
)
from optprobe.statistics.splits import group_split

__all__ = [
    "RIDGES",
    "Bootstrap",
    "NullTest",
    "Refit",
    "adjust_p_values",
    "bootstrap",
    "bootstrap_difference",
    "bounds_over_ridges",
    "group_split",
    "lower_between",
    "permutation_test",
    "random_support_test",
    "refit",
    "relaxed_points",
    "ridge_path",
    "upper_between",
]
