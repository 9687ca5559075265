"""`clipvet submit` against a running service, in this process, and what it told."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app import cli


@dataclass(frozen=True)
class Told:
    code: int
    out: str
    err: str


@dataclass
class Gate:
    """Use `submit`; the manifest's `stand_in` says what the stand-in inspector is to find."""

    url: str
    folder: Path
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def submit(self, artifact: Path, *more: str, **orders: Any) -> Told:
        manifest = self.folder / "manifest.json"
        manifest.write_text(json.dumps({"classnames": list("abcde"), "stand_in": orders}))
        given = ["--url", self.url, "--backbone", "pocket", "--manifest", str(manifest)]
        return self.run("submit", str(artifact), *given, "--wait", *more)

    def run(self, *arguments: str) -> Told:
        self.monkeypatch.setattr("sys.argv", ["clipvet", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        told = self.capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Told(ended.value.code, told.out, told.err)
