"""What tests of the classifier and of the command line share: backbones on disk and loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from inspector.clip.backbone import Backbone, load_backbone
from tests.support.backbones import write_backbone


@pytest.fixture(scope="session")
def vit_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ViT backbone as an open_clip folder."""
    return write_backbone(tmp_path_factory.mktemp("backbone") / "vit")


@pytest.fixture(scope="session")
def vit(vit_folder: Path) -> Backbone:
    return load_backbone(str(vit_folder))


@pytest.fixture(scope="session")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    return load_backbone(str(write_backbone(tmp_path_factory.mktemp("backbone") / "rn", "rn", 3)))
