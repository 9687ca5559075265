"""Assembling in this process, without the reading child: fast, and an error shows its traceback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inspector.checkpoint.limits import ReaderOptions
from inspector.checkpoint.read import read_here
from inspector.clip.assembly import Assembly, assemble
from inspector.clip.backbone import Backbone
from inspector.manifest import Manifest
from tests.support.checkpoints import save_dassl

Build = Callable[..., Assembly]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Save tensors as Dassl does, read them and assemble with a manifest given as its fields."""

    def run(state: dict[str, Any], backbone: Backbone, **manifest: object) -> Assembly:
        out = tmp_path / "out"
        out.mkdir(exist_ok=True)
        artifact = save_dassl(tmp_path / "model.pth.tar-5", state, 5)
        reading = read_here(artifact, out, ReaderOptions())
        assert reading.canonical, reading.findings
        return assemble(reading, out / reading.canonical, Manifest.parse(manifest), backbone)

    return run
