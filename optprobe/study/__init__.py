"""Studies: from a YAML file to captured activations, certified probes and a table."""

from optprobe.study.reading import read_study
from optprobe.study.run import Outcome, run_study

__all__ = ["Outcome", "read_study", "run_study"]
