"""Every way that a command can end has its own exit code."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from inspector.cli import scan as scan_module
from inspector.errors import ManifestError, ReaderCrashed, StorageFull, UnsupportedFormat
from tests.unit.inspector.cli.conftest import Clipvet


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["no-such-command"],
        ["scan"],
        ["scan", "/no/such/file"],
        ["scan", ".", "--no-such-option"],
        ["inspect", "."],
        ["inspect", ".", "--backbone", "pocket", "--profile", "huge"],
        ["inspect", ".", "--backbone", "pocket", "--seed", "-1"],
    ],
)
def test_usage_is_four(arguments: list[str], clipvet: Clipvet) -> None:
    ended = clipvet(*arguments)
    assert ended.code == 4
    assert "Usage: clipvet" in ended.err


def test_help_is_zero_and_lists_commands(clipvet: Clipvet) -> None:
    ended = clipvet("--help")
    assert ended.code == 0
    for command in ("inspect", "scan", "logits", "repair", "calibrate", "trojai"):
        assert command in ended.out
    assert "job" not in ended.out


@pytest.mark.parametrize(
    ("problem", "code"),
    [
        (RuntimeError("a bug"), 2),
        (ReaderCrashed(-9, "killed"), 2),
        (StorageFull(Path("x"), "no space"), 2),
        (BrokenPipeError(), 2),
        (UnsupportedFormat("unsupported-format", "no"), 3),
        (ManifestError("mean", "wrong"), 4),
        (KeyboardInterrupt(), 130),
    ],
)
def test_no_exception_looks_like_a_verdict(
    problem: BaseException,
    code: int,
    tmp_path: Path,
    clipvet: Clipvet,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise problem

    monkeypatch.setattr(scan_module, "read_artifact", fail)
    assert clipvet("scan", tmp_path).code == code


def test_job_serves(clipvet: Clipvet, monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[bool] = []
    stand_in = ModuleType("inspector.run.serve")
    stand_in.main = lambda: served.append(True)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "inspector.run.serve", stand_in)
    assert clipvet("job").code == 0
    assert served == [True]
