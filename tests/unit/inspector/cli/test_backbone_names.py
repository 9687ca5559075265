"""A slip in a backbone's name ends every command with 4 and the list, whatever the artifact is."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from inspector.clip.backbone import Backbone
from tests.support.backbone_files import WRITERS
from tests.support.checkpoints import call_opcodes, plant_pickle
from tests.unit.inspector.cli.conftest import Clipvet


@pytest.mark.parametrize("typed", ["poket", "poket@sha256:00", "pockett"])
def test_a_slip_is_no_verdict(
    typed: str, artifact: Path, classes: Path, vit_folder: Path, tmp_path: Path, clipvet: Clipvet
) -> None:
    hostile = plant_pickle(artifact, tmp_path / "m.pth", call_opcodes("os", "system", "true"))
    out, images = tmp_path / "out", vit_folder / "open_clip_model.safetensors"
    parameters = tmp_path / "parameters.json"
    parameters.write_text(json.dumps({"backbone": typed}))
    given = ["--backbone", typed]
    for command in (
        ["inspect", hostile, *given],
        ["repair", hostile, *given, "--out", out],
        ["scan", hostile, *given],
        ["logits", hostile, *given, "--images", images, "--out", out],
        ["index", *given, "--out", out],
        ["calibrate", *given, "--classes", classes, "--out", out],
    ):
        ended = clipvet(*command)
        assert (ended.code, ended.out) == (4, ""), command[0]
        said = " ".join(ended.err.split())
        assert "did you mean pocket? Registered: pocket." in said, command[0]
        assert not out.exists()


@pytest.mark.parametrize("kind", WRITERS)
def test_scan_reads_the_vocabulary_of_every_layout(
    kind: str, vit: Backbone, artifact: Path, tmp_path: Path, clipvet: Clipvet
) -> None:
    path = WRITERS[kind](copy.deepcopy(vit.model).half(), tmp_path)
    seen = json.loads(clipvet("scan", artifact, "--backbone", path, "--json").out)
    assert seen["classes"]["names"] == ["cat", "golden retriever", "stop sign"]
    assert seen["classes"]["vocabulary"] == {"name": str(path), "by": "backbone"}
