"""What picklescan, fickling and modelscan say of the hostile corpus, beside clipvet.

`python -m tests.bench.peers --peers-python PYTHON [--out CSV] [--jobs N]` where PYTHON is an
interpreter whose environment has the three. Each tool's command line is run as it documents, one
process for each file, and its documented exit status decides. One exception is in its favour:
fickling's command line reads zips only from a hub, so zips are given to the function that it uses there.

`issue`: the tool warns of the file. `refused`: clipvet says why it cannot be used. `error`: the tool
says that it failed, or crashed. `clean`, `skipped` and `timeout` speak for themselves.
"""

from __future__ import annotations

import argparse
import csv
import json
import resource
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

from tests.hostile.corpus import CORPUS
from tests.hostile.entry import Entry

TOOLS = ("picklescan", "fickling", "modelscan", "clipvet")
TIMEOUT_S = 20
MEMORY_BYTES = 4 * 2**30
_PICKLESCAN = {0: "clean", 1: "issue", 2: "error"}
_MODELSCAN = {0: "clean", 1: "issue", 2: "error", 3: "skipped"}
_FICKLING = {0: "clean", 1: "issue", 2: "error"}
_FICKLING_ZIP = """
import sys
from fickling.loader import scan_zip_archive
found = list(scan_zip_archive(sys.argv[1], graceful=True).values())
if any(not result.is_safe and not result.errors for result in found):
    sys.exit(1)
sys.exit(2 if any(result.errors for result in found) else 0 if found else 3)
"""
_VERSIONS = """
from importlib.metadata import version
print(*(f"{name} {version(name)}" for name in ("picklescan", "fickling", "modelscan")), sep=", ")
"""


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def run(command: list[str], folder: Path) -> tuple[int | None, str]:
    """Exit status, None after a timeout, and standard output."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT_S,
            preexec_fn=_limit,
        )
    except subprocess.TimeoutExpired:
        return None, ""
    return done.returncode, done.stdout.decode("utf-8", "replace")


def _worded(meanings: Mapping[int, str], status: int | None) -> str:
    return "timeout" if status is None else meanings.get(status, "error")


def picklescan(python: Path, path: Path, folder: Path) -> str:
    return _worded(
        _PICKLESCAN, run([str(python.parent / "picklescan"), "-p", str(path)], folder)[0]
    )


def fickling(python: Path, path: Path, folder: Path) -> str:
    if path.is_dir():
        return "skipped"
    if path.read_bytes()[:4] == b"PK\x03\x04":
        command = [str(python), "-c", _FICKLING_ZIP, str(path)]
        return _worded({**_FICKLING, 3: "skipped"}, run(command, folder)[0])
    command = [str(python.parent / "fickling"), "--check-safety", str(path)]
    return _worded(_FICKLING, run(command, folder)[0])


def modelscan(python: Path, path: Path, folder: Path) -> str:
    command = [str(python.parent / "modelscan"), "scan", "-p", str(path)]
    return _worded(_MODELSCAN, run(command, folder)[0])


def clipvet(_python: Path, path: Path, folder: Path) -> str:
    command = [sys.executable, "-m", "inspector", "scan", str(path), "--json"]
    status, text = run(command, Path.cwd())
    if status is None:
        return "timeout"
    try:
        said = json.loads(text)
    except ValueError:
        return "error"
    severities = {finding["severity"] for finding in said["findings"]}
    if "critical" in severities:
        return "issue"
    if said["canonical"] is None:
        return "refused"
    return "issue" if "high" in severities else "clean"


_SCANNERS: Mapping[str, Callable[[Path, Path, Path], str]] = {
    "picklescan": picklescan,
    "fickling": fickling,
    "modelscan": modelscan,
    "clipvet": clipvet,
}


def scan(entry: Entry, python: Path, place: Path) -> dict[str, str]:
    """One row of the table."""
    folder = place / entry.id.replace("/", "_")
    folder.mkdir()
    work = folder / "work"
    work.mkdir()
    path = entry.build(folder)
    verdicts = {name: scanner(python, path, work) for name, scanner in _SCANNERS.items()}
    return {"id": entry.id, "class": entry.kind, "stands_for": entry.stands_for, **verdicts}


def summary(rows: Iterable[Mapping[str, str]]) -> str:
    """A Markdown table: for each class and tool, how many files got which verdict."""
    counts = Counter((row["class"], tool, row[tool]) for row in rows for tool in TOOLS)
    verdicts = ("issue", "refused", "error", "clean", "skipped", "timeout")
    lines = [f"| class | tool | {' | '.join(verdicts)} |", "|---" * (2 + len(verdicts)) + "|"]
    for kind in ("code", "malformed", "benign"):
        for tool in TOOLS:
            numbers = " | ".join(str(counts[kind, tool, verdict]) for verdict in verdicts)
            lines.append(f"| {kind} | {tool} | {numbers} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers-python", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("tests/bench/tables/peers.csv"))
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    python = cast(Path, options.peers_python).absolute()
    versions = subprocess.check_output([python, "-c", _VERSIONS], text=True).strip()
    with TemporaryDirectory() as name, ThreadPoolExecutor(options.jobs) as pool:
        rows = list(pool.map(lambda entry: scan(entry, python, Path(name)), CORPUS))
    with options.out.open("w", newline="") as table:
        writer = csv.DictWriter(table, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(f"{versions}; {len(rows)} files\n\n{summary(rows)}")


if __name__ == "__main__":
    main()
