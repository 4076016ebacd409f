"""Our own branch and cut on the master, with a linear solver for the relaxations."""

from optprobe.mip.branch_and_cut.search import branch_and_cut

__all__ = ["branch_and_cut"]
