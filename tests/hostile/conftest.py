"""Builds the corpus once and reads it twice: in one watched process, and a part of it in children."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.hostile.corpus import CORPUS
from tests.hostile.entry import Entry

Rows = Mapping[str, Mapping[str, Any]]
ROOT = Path(__file__).parents[2]
EVERY = 1 if os.environ.get("CLIPVET_HOSTILE") == "all" else 16
"""Of the rows that are neither honest nor bombs, every 16th is read in a child of its own too."""


def read_in_a_child() -> tuple[Entry, ...]:
    always = [row for row in CORPUS if row.kind == "benign" or row.id.startswith("bomb-")]
    others = [row for row in CORPUS if row not in always]
    return (*others[::EVERY], *always)


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile")


@pytest.fixture(scope="session")
def artifacts(place: Path) -> dict[str, Path]:
    """The files of the corpus by the ids of their rows."""
    paths = {}
    for entry in CORPUS:
        folder = place / "corpus" / entry.id.replace("/", "_")
        folder.mkdir(parents=True)
        paths[entry.id] = entry.build(folder)
    return paths


def started(module: str, paths: Mapping[str, Path], place: Path) -> subprocess.Popen[str]:
    folder = place / module
    folder.mkdir()
    files = folder / "files.json"
    files.write_text(json.dumps([[name, str(path)] for name, path in paths.items()]))
    (folder / "work").mkdir()
    return subprocess.Popen(
        [sys.executable, "-m", f"tests.hostile.{module}", str(files), str(folder / "work")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def finished(process: subprocess.Popen[str]) -> Rows:
    text, _ = process.communicate(timeout=600)
    assert process.returncode == 0
    rows = [json.loads(line) for line in text.splitlines()]
    return {row["id"]: row for row in rows}


@pytest.fixture(scope="session")
def readings(artifacts: dict[str, Path], place: Path) -> tuple[Rows, Rows]:
    """What the watched process saw, and what the children gave; both run at once."""
    chosen = {entry.id: artifacts[entry.id] for entry in read_in_a_child()}
    processes = [started("events", artifacts, place), started("children", chosen, place)]
    watched, children = (finished(process) for process in processes)
    return watched, children


@pytest.fixture(scope="session")
def watched(readings: tuple[Rows, Rows]) -> Rows:
    return readings[0]


@pytest.fixture(scope="session")
def children(readings: tuple[Rows, Rows]) -> Rows:
    return readings[1]
