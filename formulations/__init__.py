"""Compact mixed-integer formulations of the k-sparse probe, one model per file.

The contract is `formulations.base.Formulation`; README.md compares the models and shows how to
add one through the entry-point group "optprobe.formulations", the door that third parties use too.
"""
