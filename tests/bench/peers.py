"""What five other scanners say of the hostile corpus, beside clipvet.

`python -m tests.bench.peers --peers-python PYTHON --saferpickle FOLDER [--tools NAME …] [--out CSV]
[--jobs N] [--timeout S]` where PYTHON is an interpreter whose environment has picklescan, fickling,
modelscan and modelaudit, and what saferpickle needs (absl-py, immutabledict); FOLDER is a checkout
of github.com/google/saferpickle, which PyPI does not have. Each tool's command line is run as it
documents, in one process for each file, and its documented exit status decides, or in saferpickle's
case its JSON. Exceptions in their favour: fickling's command line reads zips only from a hub, so
zips are given to the function that it uses there; saferpickle's scans folders only, so a file is
given in one of its own. With `--tools` the verdicts of the others stay those of the CSV.

`issue`: the tool warns of the file. `refused`: clipvet says why it cannot be used. `error`: the tool
says that it failed, or crashed. `clean`, `skipped` and `timeout` speak for themselves.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tests.hostile.corpus import CORPUS
from tests.hostile.entry import Entry

MEMORY_BYTES = 4 * 2**30
_PICKLESCAN = {0: "clean", 1: "issue", 2: "error"}
_MODELSCAN = {0: "clean", 1: "issue", 2: "error", 3: "skipped"}
_MODELAUDIT = {0: "clean", 1: "issue", 2: "error"}
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
names = ("picklescan", "fickling", "modelscan", "modelaudit")
print(*(f"{name} {version(name)}" for name in names), sep=", ")
"""


_MODELAUDIT_FORKS = """
import os, resource, signal, sys
from modelaudit.cli import cli

def scan(path):
    try:
        cli(["scan", "--no-cache", path])
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 2
    return 0

replies = os.fdopen(os.dup(1), "w", buffering=1)
for stream in (1, 2):
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
scan(sys.argv[1])
for line in sys.stdin:
    child = os.fork()
    if not child:
        resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[3]), int(sys.argv[3])))
        signal.alarm(int(sys.argv[2]))
        os._exit(scan(line.rstrip("\\n")))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), file=replies)
"""
_NO_TELEMETRY = {"PROMPTFOO_DISABLE_TELEMETRY": "1"}
_HARMLESS = Path("app/samples/clean/model.pth.tar-25")


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


class Peers(NamedTuple):
    """Where the other tools are."""

    python: Path
    saferpickle: Path
    timeout_s: float

    def command(self, name: str) -> str:
        return str(self.python.parent / name)

    def versions(self) -> str:
        installed = subprocess.check_output([self.python, "-c", _VERSIONS], text=True).strip()
        commit = subprocess.check_output(
            ["git", "-C", self.saferpickle, "rev-parse", "--short", "HEAD"], text=True
        )
        return f"{installed}, saferpickle {commit.strip()}"

    def run(self, command: list[str], folder: Path) -> tuple[int | None, str]:
        """Exit status, None after a timeout, and standard output."""
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=self.timeout_s,
                preexec_fn=_limit,
                env=os.environ | _NO_TELEMETRY,
            )
        except subprocess.TimeoutExpired:
            return None, ""
        return done.returncode, done.stdout.decode("utf-8", "replace")


class Forks:
    """modelaudit's command line, loaded once, with a forked process for each file.

    Starting it anew takes four times the work of a scan. A first, harmless file makes it load its
    scanners.
    """

    def __init__(self, peers: Peers) -> None:
        self._server = subprocess.Popen(
            [
                peers.python,
                "-c",
                _MODELAUDIT_FORKS,
                _HARMLESS,
                str(int(peers.timeout_s)),
                str(MEMORY_BYTES),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | _NO_TELEMETRY,
        )

    def scan(self, path: Path) -> int | None:
        """Exit status, None after a timeout."""
        assert self._server.stdin is not None and self._server.stdout is not None
        self._server.stdin.write(f"{path}\n")
        self._server.stdin.flush()
        status = int(self._server.stdout.readline())
        return None if status == -signal.SIGALRM else status


def _worded(meanings: Mapping[int, str], status: int | None) -> str:
    return "timeout" if status is None else meanings.get(status, "error")


def picklescan(peers: Peers, path: Path, folder: Path) -> str:
    return _worded(
        _PICKLESCAN, peers.run([peers.command("picklescan"), "-p", str(path)], folder)[0]
    )


def fickling(peers: Peers, path: Path, folder: Path) -> str:
    if path.is_dir():
        return "skipped"
    if path.read_bytes()[:4] == b"PK\x03\x04":
        command = [str(peers.python), "-c", _FICKLING_ZIP, str(path)]
        return _worded({**_FICKLING, 3: "skipped"}, peers.run(command, folder)[0])
    command = [peers.command("fickling"), "--check-safety", str(path)]
    return _worded(_FICKLING, peers.run(command, folder)[0])


def modelscan(peers: Peers, path: Path, folder: Path) -> str:
    command = [peers.command("modelscan"), "scan", "-p", str(path)]
    return _worded(_MODELSCAN, peers.run(command, folder)[0])


_thread = threading.local()
"""Every thread has its own."""


def modelaudit(peers: Peers, path: Path, _folder: Path) -> str:
    if not hasattr(_thread, "forks"):
        _thread.forks = Forks(peers)
    return _worded(_MODELAUDIT, _thread.forks.scan(path))


def saferpickle(peers: Peers, path: Path, folder: Path) -> str:
    if not path.is_dir():
        own = folder / "own"
        own.mkdir()
        path = Path(shutil.copy(path, own)).parent
    command = [str(peers.python), str(peers.saferpickle / "cli.py"), "--directory", str(path)]
    status, text = peers.run(command, folder)
    if status is None:
        return "timeout"
    try:
        said = {row.get("classification", "error") for row in json.loads(text)}
    except ValueError:
        return "error"
    if said & {"unsafe", "suspicious"}:
        return "issue"
    if "error" in said:
        return "error"
    return "clean" if "benign" in said else "skipped"


def clipvet(peers: Peers, path: Path, folder: Path) -> str:
    command = [sys.executable, "-m", "inspector", "scan", str(path), "--json"]
    status, text = peers.run(command, Path.cwd())
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


_SCANNERS: Mapping[str, Callable[[Peers, Path, Path], str]] = {
    "picklescan": picklescan,
    "fickling": fickling,
    "modelscan": modelscan,
    "modelaudit": modelaudit,
    "saferpickle": saferpickle,
    "clipvet": clipvet,
}
TOOLS = tuple(_SCANNERS)


def scan(entry: Entry, peers: Peers, place: Path, known: Mapping[str, str]) -> dict[str, str]:
    """One row of the table; ``known`` holds verdicts that are not asked for again."""
    folder = place / entry.id.replace("/", "_")
    folder.mkdir()
    path = entry.build(folder)
    verdicts = {}
    for name, scanner in _SCANNERS.items():
        work = place / f"{folder.name}-{name}"
        work.mkdir()
        verdicts[name] = known.get(name) or scanner(peers, path, work)
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


def earlier(table: Path, again: Collection[str]) -> dict[str, dict[str, str]]:
    """By file: the verdicts of a table, less those of the tools that are asked again."""
    if not table.exists():
        return {}
    with table.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    return {
        row["id"]: {tool: row[tool] for tool in TOOLS if tool in row and tool not in again}
        for row in rows
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers-python", type=Path, required=True)
    parser.add_argument("--saferpickle", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--tools", nargs="+", choices=TOOLS, default=TOOLS)
    parser.add_argument("--out", type=Path, default=Path("tests/bench/tables/peers.csv"))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--timeout", type=float, default=20, metavar="S", help="for one scan")
    options = parser.parse_args()
    peers = Peers(options.peers_python.absolute(), options.saferpickle.absolute(), options.timeout)
    known = earlier(options.out, options.tools)
    with TemporaryDirectory() as name, ThreadPoolExecutor(options.jobs) as pool:
        place = Path(name)
        rows = list(pool.map(lambda one: scan(one, peers, place, known.get(one.id, {})), CORPUS))
    with options.out.open("w", newline="") as table:
        writer = csv.DictWriter(table, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(f"{peers.versions()}; {len(rows)} files\n\n{summary(rows)}")


if __name__ == "__main__":
    main()
