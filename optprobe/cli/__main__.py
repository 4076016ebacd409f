"""`python -m optprobe.cli`, for an installation whose scripts are not on the path."""

from optprobe.cli import main

main()
