"""What tests of the classifier and of the command line share: backbones on disk and loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from inspector.clip.backbone import Backbone, load_backbone
from tests.support.backbones import write_backbone
from tests.zoo.pictures import write


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


@pytest.fixture
def pictures(tmp_path: Path) -> str:
    """A folder of 128 different ones."""
    generator = torch.Generator().manual_seed(3)
    pixels = torch.randint(256, (128, 16, 16, 3), generator=generator, dtype=torch.uint8)
    write(pixels.permute(0, 3, 1, 2) / 255, tmp_path / "pictures")
    return str(tmp_path / "pictures")
