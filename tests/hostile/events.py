"""Reads every file of a list in this process, and writes down what the reader did.

``python -m tests.hostile.events FILES OUT`` with a JSON list of ``[id, path]``; one JSON line for each
goes to standard output. A fresh process without torch, since the point is what gets imported: an audit
hook records imports, processes, sockets, compilations, and every file opened. The process locks
itself in as the reading child does, but for the kernel's own filters: this is about Python code.
"""

from __future__ import annotations

import codecs
import json
import os
import resource
import sys
import time
from pathlib import Path

from inspector.checkpoint.limits import Limits, ReaderOptions
from inspector.checkpoint.read import read_here
from inspector.findings import worst

HARMLESS = frozenset({"open", "os.listdir", "os.scandir", "os.remove", "os.rename"})
"""Events of an honest reading; the paths of ``open`` are compared with the entry's own folder."""
LONGEST_MESSAGE = 5000
CODECS = ("ascii", "cp437", "latin-1", "raw-unicode-escape", "unicode-escape", "utf-8")
"""Modules that reading imports when a file first needs them; the child imports them beforehand."""


def main(files: str, folder: str) -> None:
    seen: list[str] = []
    allowed: list[str] = []
    is_watching = False

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if not is_watching:
            return
        if event == "open" and isinstance(arguments[0], str | bytes):
            path = os.fsdecode(arguments[0])
            if not any(path.startswith(place) for place in allowed):
                seen.append(f"open {path[-100:]}")
        elif event not in HARMLESS:
            shown = str(arguments[0])[:80] if arguments else ""
            seen.append(f"{event} {shown}")

    for name in CODECS:
        codecs.lookup(name)
    limits = Limits()
    resource.setrlimit(resource.RLIMIT_AS, (limits.address_space_bytes, limits.address_space_bytes))
    sys.addaudithook(watch)
    os.chdir(folder)
    for identifier, path in json.loads(Path(files).read_text()):
        out = Path(folder) / "out"
        out.mkdir(exist_ok=True)
        seen.clear()
        allowed[:] = [str(Path(path)), str(out)]
        before, start = set(sys.modules), time.monotonic()
        is_watching = True
        try:
            reading = read_here(Path(path), out, ReaderOptions(limits))
        finally:
            is_watching = False
        messages = [finding.message for finding in reading.findings]
        row = {
            "id": identifier,
            "findings": sorted({finding.id for finding in reading.findings}),
            "worst": found.label if (found := worst(reading.findings)) is not None else None,
            "unprintable": [m for m in messages if not m.isprintable() or len(m) > LONGEST_MESSAGE],
            "canonical": reading.canonical is not None,
            "left": sorted(item.name for item in out.iterdir()),
            "events": sorted(set(seen)),
            "modules": sorted(set(sys.modules) - before),
            "seconds": time.monotonic() - start,
        }
        sys.stdout.write(json.dumps(row) + "\n")
        for item in out.iterdir():
            item.unlink()


if __name__ == "__main__":
    main(*sys.argv[1:])
