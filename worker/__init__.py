"""Where app and inspector meet: takes rows, runs child processes, writes rows. Imports no torch."""
