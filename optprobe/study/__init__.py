"""Studies: from a YAML file to captured activations, certified probes and a table."""

from optprobe.study.probed import probed_rows
from optprobe.study.reading import read_study
from optprobe.study.run import Outcome, run_study

__all__ = ["Outcome", "probed_rows", "read_study", "run_study"]
