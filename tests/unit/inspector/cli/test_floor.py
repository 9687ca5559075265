"""The floor of the reader's sandbox on the command line: an error of ours, never a verdict."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.support import forbidding
from tests.support.checkpoints import cocoop_state, save_dassl
from tests.unit.inspector.cli.conftest import Clipvet

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the layers are Linux's")


@pytest.fixture
def artifact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sound file on a machine without namespaces."""
    monkeypatch.setattr(sys, "executable", str(forbidding.interpreter(tmp_path, "unshare")))
    return save_dassl(tmp_path / "model.pth.tar-1", cocoop_state())


@pytest.mark.parametrize("command", ["scan", "inspect", "logits", "trojai"])
def test_below_the_floor(
    command: str, artifact: Path, clipvet: Clipvet, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside = artifact.parent
    parameters = beside / "metaparameters.json"
    parameters.write_text('{"backbone": "pocket"}')
    per_command: dict[str, list[str | Path]] = {
        "scan": [artifact],
        "inspect": [artifact, "--backbone", "pocket"],
        "logits": [artifact, "--backbone", "pocket", "--images", artifact, "--out", beside / "y"],
        "trojai": ["--model_filepath", artifact, "--result_filepath", beside / "y",
                   "--scratch_dirpath", beside, "--metaparameters_filepath", parameters],
    }  # fmt: skip
    options = per_command[command]
    ended = clipvet(command, *options, "--sandbox-floor", "namespaces")
    assert ended.code == 2
    assert "below the floor 'namespaces'" in ended.err
    assert "without namespaces: unshare: Operation not permitted" in ended.err
    monkeypatch.setenv("CLIPVET_SANDBOX_FLOOR", "namespaces")
    assert clipvet(command, *options).code == 2


def test_above_the_floor_the_level_is_shown(artifact: Path, clipvet: Clipvet) -> None:
    ended = clipvet("scan", artifact, "--sandbox-floor", "rlimits", "--json")
    assert ended.code == 0
    shown = json.loads(ended.out)["sandbox"]
    assert shown[0] in ("seccomp", "landlock", "rlimits")
    assert "without namespaces: unshare: Operation not permitted" in shown


def test_a_floor_that_is_no_level(artifact: Path, clipvet: Clipvet) -> None:
    assert clipvet("scan", artifact, "--sandbox-floor", "moat").code == 4
