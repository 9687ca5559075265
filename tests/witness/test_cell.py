"""The cell in which witnesses open files: what a payload reaches there, and how it ends."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.witness import cell
from tests.witness.customers import Seen

Attempt = dict[str, str]


def _tried(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, work: Any) -> cell.Answer:
    """What the cell says when opening a file does ``work``."""

    def opened(path: Path) -> Iterator[Seen]:
        try:
            said = str(work(path))
        except Exception as error:
            said = type(error).__name__
        yield Seen("work", True, {"said": said})

    cell._warm_up()
    monkeypatch.setattr(cell, "seen_in", opened)
    (tmp_path / "scratch").mkdir()
    (tmp_path / "file").write_bytes(b"x")
    return next(iter(cell.opened([tmp_path / "file"], tmp_path / "scratch")))


def _said(answer: cell.Answer) -> str:
    assert answer.seen is not None
    return answer.seen[0].tensors["said"]


@pytest.mark.parametrize(
    "work",
    [
        lambda path: os.system("true"),
        lambda path: socket.socket(),
        lambda path: os.fork(),
        lambda path: path.write_bytes(b"y"),
        lambda path: eval("1"),
    ],
    ids=["shell", "socket", "fork", "write", "eval"],
)
def test_what_a_payload_does_is_refused_and_told(
    work: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answer = _tried(monkeypatch, tmp_path, work)
    assert _said(answer) == "PermissionError"
    assert answer.ran
    assert (tmp_path / "file").read_bytes() == b"x"


def test_there_is_no_home_and_an_empty_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answer = _tried(monkeypatch, tmp_path, lambda path: (dict(os.environ), os.listdir(".")))
    assert _said(answer) == "({}, [])"
    assert answer.ran == ()


def test_memory_ends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answer = _tried(monkeypatch, tmp_path, lambda path: len(bytes(2 << 30)))
    assert _said(answer) == "MemoryError"


def test_a_cell_that_dies_is_replaced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def opened(path: Path) -> Iterator[Seen]:
        if path.name == "deadly":
            os.abort()
        if path.name == "slow":
            while True:
                pass
        yield Seen("work", True, {})

    cell._warm_up()
    monkeypatch.setattr(cell, "seen_in", opened)
    monkeypatch.setattr(cell, "_PATIENCE_S", 1.0)
    paths = [tmp_path / name for name in ("a", "deadly", "b", "slow", "c")]
    answers = list(cell.opened(paths, tmp_path))
    assert [answer.seen is None for answer in answers] == [False, True, False, True, False]
