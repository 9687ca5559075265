"""``python -m app``: the same command line as the console script ``clipvet``."""

from app.cli import main

main()
