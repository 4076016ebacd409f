"""The solver benchmark: instances x solvers x repetitions, one process per run.

    instances.py   what is solved, from a seed or a file
    grid.py        TOML grids of instances
    specs.py       solver names -> arguments of `optprobe.solve`
    worker.py      one run, in a process of its own
    processes.py   starts it, watches it, ends it
    runner.py      all runs, resumable
    table.py       runs -> rows, parquet
    statistics.py  shifted geometric means, performance profiles
    report/        Markdown, PNG and HTML

Imported by nothing else of the package. Needs a POSIX system.
"""
