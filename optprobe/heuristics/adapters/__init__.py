"""Other tools as heuristics, one file each (`Heuristic.load` says how to install them)."""
