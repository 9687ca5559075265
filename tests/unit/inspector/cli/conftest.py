"""Running commands in this process, and a vendor's files for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from inspector.cli.entry import main
from inspector.clip.backbone import Backbone
from tests.support.prompts import Recipe, tune

NAMES = ("cat", "golden retriever", "stop sign")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str


Clipvet = Callable[..., Ended]


@pytest.fixture
def clipvet(capsys: pytest.CaptureFixture[str]) -> Clipvet:
    """Run one command line."""

    def run(*arguments: str | Path) -> Ended:
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        assert isinstance(caught.value.code, int)
        return Ended(caught.value.code, printed.out, printed.err)

    return run


@pytest.fixture(scope="session")
def artifact(vit: Backbone, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CoOp checkpoint for the ViT backbone."""
    return tune(vit.model, Recipe(NAMES)).save(tmp_path_factory.mktemp("vendor"))


@pytest.fixture(scope="session")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vendor") / "classes.txt"
    path.write_text("\n".join(NAMES) + "\n")
    return path
