"""Reads every file of a list by ``read_artifact``, a child process for each, and measures it.

``python -m tests.hostile.children FILES OUT``, as :mod:`tests.hostile.events`. A process of its own:
the kernel counts the memory of the parent as the child's until the child has started its program,
and the parent's must therefore be small.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

from inspector.checkpoint import read_artifact
from inspector.checkpoint.limits import MIB


def main(files: str, folder: str) -> None:
    for identifier, path in json.loads(Path(files).read_text()):
        out = Path(folder) / "out"
        start = time.monotonic()
        reading = read_artifact(Path(path), out)
        row = {
            "id": identifier,
            "findings": sorted({finding.id for finding in reading.findings}),
            "canonical": reading.canonical is not None,
            "left": sorted(item.name for item in out.iterdir()),
            "seconds": time.monotonic() - start,
            # The largest of all children so far.
            "peak_mib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 // MIB,
        }
        sys.stdout.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
