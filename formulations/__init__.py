"""Compact mixed-integer formulations of the k-sparse probe, one model per file."""
