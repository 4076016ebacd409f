"""Studies: from a YAML file to captured activations, certified probes and a table."""

from optprobe.study.reading import read_study
from optprobe.study.run import Outcome, find_feature, run_study

__all__ = ["Outcome", "find_feature", "read_study", "run_study"]
