"""What the reader's sandbox costs: the same file read with and without it, in turns.

``python -m tests.bench.sandbox ARTIFACT [N]`` prints the medians of N readings each, in milliseconds,
and their ratio. The child is the real one; without means that only ``cage.enter`` does nothing.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from inspector.checkpoint import Limits

_WITH = """
import sys; from inspector.checkpoint.__main__ import main
sys.exit(main(sys.argv[1:]))
"""
_WITHOUT = """
import sys; from inspector.checkpoint.sandbox import cage
cage.enter = lambda *_: ()
from inspector.checkpoint.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def seconds(program: str, artifact: Path) -> float:
    """Wall-clock time of one child, from its start to its end."""
    with TemporaryDirectory() as out:
        request = {
            "path": str(artifact), "readable": [str(artifact)], "out": out, "writable": out,
            "floor": "plain", "limits": Limits().to_json(), "name": None, "parent": os.getpid(),
        }  # fmt: skip
        command = [sys.executable, "-I", "-c", program, "read", json.dumps(request)]
        start = time.perf_counter()
        subprocess.run(command, check=True, cwd="/", start_new_session=True)
        return time.perf_counter() - start


def main(artifact: str, count: str = "20") -> None:
    path = Path(artifact).resolve()
    times: dict[str, list[float]] = {_WITH: [], _WITHOUT: []}
    for _ in range(int(count) + 1):
        for program, taken in times.items():
            taken.append(seconds(program, path))
    # The first reading of each warms the disk's cache.
    caged, free = (statistics.median(taken[1:]) * 1000 for taken in times.values())
    print(f"with {caged:.1f} ms, without {free:.1f} ms, ratio {caged / free:.3f}, N={count}")


if __name__ == "__main__":
    main(*sys.argv[1:])
