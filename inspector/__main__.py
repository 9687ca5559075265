"""`python -m inspector`: the command line of the inspection core."""

from __future__ import annotations

from inspector.cli.entry import main

if __name__ == "__main__":
    main()
