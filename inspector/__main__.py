"""`python -m inspector`: the command line of the inspection core, and the worker's child."""

from __future__ import annotations

from inspector import threads

threads.wait_asleep()

from inspector.cli.entry import main  # noqa: E402  OpenMP reads the above when torch is loaded

if __name__ == "__main__":
    main()
