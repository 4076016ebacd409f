"""Compact mixed-integer formulations of the k-sparse probe, one model per file.

A formulation has `LOSSES`, `build(problem, columns)` and `solution(model)`; it is found through
the entry-point group "optprobe.formulations", the door that third parties use too.
"""
