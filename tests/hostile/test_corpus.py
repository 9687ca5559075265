"""Every row of the corpus ends as its table says, in bounded time and memory, and runs nothing.

The default run reads all rows in one watched process and a part of them in children of their own;
``CLIPVET_HOSTILE=all`` reads every row in a child.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from inspector.checkpoint.reasons import REASONS
from inspector.findings import Severity
from tests.hostile.conftest import Rows, read_in_a_child
from tests.hostile.corpus import CORPUS
from tests.hostile.entry import Entry

# Loads files as their victims do, each in a folder and a process of its own.
VICTIM = """
import os, sys, torch
for path in sys.argv[1:]:
    child = os.fork()
    if child == 0:
        os.chdir(os.path.dirname(path))
        try:
            torch.load(path, weights_only=False)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
"""
LIVE = (
    "opcode-global-reduce", "opcode-inst", "opcode-obj", "opcode-memo-confusion", "opcode-dotted",
    "bare-protocol-0", "planted-protocol-5", "legacy-pickle-0", "legacy-pickle-4",
    "legacy-protocol-0", "legacy-dynamic-magic", "then-garbage", "nested-20", "torch-tar", "torch-tar-alone",
    "legacy-tar-runs", "legacy-tar-lenient",
    "bad-crc-payload", "frame-straddle", "frame-buried",
)  # fmt: skip


def rows(*kinds: str) -> list[object]:
    return [pytest.param(row, id=row.id) for row in CORPUS if row.kind in kinds]


def test_the_table_is_sound() -> None:
    ids = [row.id for row in CORPUS]
    assert len(ids) == len(set(ids)) >= 150
    assert all(row.what and row.stands_for for row in CORPUS)
    assert all(name in REASONS for row in CORPUS for name in row.findings)
    assert all(row.findings or row.canonical for row in CORPUS)
    # Nothing that would run code leaves tensors behind, and every attack of that kind is critical.
    code = [row for row in CORPUS if row.kind == "code"]
    assert all(row.worst is Severity.CRITICAL and not row.canonical for row in code)
    # A file with a finding that stops the reading has no tensors, one without has them.
    for row in CORPUS:
        assert row.canonical is not any(REASONS[name].stops for name in row.findings), row.id


@pytest.mark.parametrize("entry", rows("code", "malformed", "benign"))
def test_every_row_ends_as_the_table_says(entry: Entry, watched: Rows) -> None:
    row = watched[entry.id]
    assert row["findings"] == sorted(entry.findings)
    assert row["worst"] == (entry.worst.label if entry.worst is not None else None)
    assert row["canonical"] is entry.canonical
    assert row["unprintable"] == []
    assert row["seconds"] < entry.seconds
    assert row["left"] == (["canonical.safetensors"] if entry.canonical else [])


def test_nothing_is_imported_run_or_connected_to(watched: Rows) -> None:
    assert set(watched) == {entry.id for entry in CORPUS}
    assert {name: row["events"] for name, row in watched.items() if row["events"]} == {}
    assert {name: row["modules"] for name, row in watched.items() if row["modules"]} == {}


@pytest.mark.parametrize("entry", [pytest.param(row, id=row.id) for row in read_in_a_child()])
def test_a_child_says_the_same(entry: Entry, children: Rows) -> None:
    row = children[entry.id]
    assert row["findings"] == sorted(entry.findings)
    assert row["canonical"] is entry.canonical
    assert row["seconds"] < entry.seconds
    tensors = ["canonical.safetensors"] if entry.canonical else []
    assert row["left"] == [*tensors, "reading.json"]


def test_children_stay_small(children: Rows) -> None:
    """The kernel keeps the largest child so far, so that a new maximum is the row's own."""
    largest, over = 0, {}
    for entry in read_in_a_child():
        peak = children[entry.id]["peak_mib"]
        if peak > max(largest, entry.memory_mib):
            over[entry.id] = peak
        largest = max(largest, peak)
    assert over == {}
    assert largest > 10


def test_no_canary_was_touched(readings: tuple[Rows, Rows], place: Path) -> None:
    assert readings[0]
    assert [where for where, _, files in os.walk(place) if "CANARY" in files] == []
    assert not Path("CANARY").exists()


def test_the_attacks_work_on_torch(tmp_path: Path) -> None:
    """Guards the tests above: these files do run their payload elsewhere."""
    paths = {}
    for entry in CORPUS:
        if entry.id in LIVE:
            (tmp_path / entry.id).mkdir()
            paths[entry.id] = entry.build(tmp_path / entry.id)
    subprocess.run(
        [sys.executable, "-c", VICTIM, *map(str, paths.values())],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
        check=True,
    )
    assert [name for name in LIVE if not (tmp_path / name / "CANARY").exists()] == []
