"""Fits on fixed supports: Newton for the smooth losses, an interior point for the hinge."""

from optprobe.support.fit import fit_support, fit_supports
from optprobe.support.rows import STORED_MU, Fits, Rows, signed

__all__ = ["STORED_MU", "Fits", "Rows", "fit_support", "fit_supports", "signed"]
