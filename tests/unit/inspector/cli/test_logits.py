"""`clipvet logits`: right numbers, and a clear word about every wrong input."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from inspector.clip.backbone import Backbone
from tests.support.prompts import Recipe, tune
from tests.unit.inspector.cli.conftest import NAMES, Clipvet, Ended


@pytest.fixture
def images(tmp_path: Path) -> Path:
    path = tmp_path / "images.safetensors"
    generator = torch.Generator().manual_seed(2)
    save_file({"pixels": torch.rand(5, 3, 16, 16, generator=generator)}, path)
    return path


def test_it_writes_the_logits(
    vit: Backbone,
    vit_folder: Path,
    artifact: Path,
    classes: Path,
    images: Path,
    tmp_path: Path,
    clipvet: Clipvet,
) -> None:
    out = tmp_path / "new" / "logits.safetensors"
    common = ("logits", artifact, "--backbone", vit_folder, "--images", images, "--out", out)
    vendor = tune(vit.model, Recipe(NAMES))
    pixels = load_file(images)["pixels"]
    expected = vendor.logits(pixels, torch.tensor(vit.mean), torch.tensor(vit.std))
    for extra in ((), ("--classes", classes), ("--batch", "2")):
        ended = clipvet(*common, *extra)
        assert (ended.code, ended.out) == (0, "")
        logits = load_file(out)["logits"]
        assert logits.dtype == torch.float32
        assert (logits - expected).abs().max() <= 1e-4


def run(clipvet: Clipvet, artifact: Path, folder: Path, images: Path, *extra: object) -> Ended:
    out = images.parent / "logits.safetensors"
    arguments = ("logits", artifact, "--backbone", folder, "--images", images, "--out", out)
    return clipvet(*arguments, *map(str, extra))


def test_a_wrong_order_is_written_and_inconclusive(
    artifact: Path, vit_folder: Path, images: Path, clipvet: Clipvet
) -> None:
    swapped = images.parent / "classes.txt"
    swapped.write_text("golden retriever\ncat\nstop sign\n")
    ended = run(clipvet, artifact, vit_folder, images, "--classes", swapped)
    assert ended.code == 3
    assert "high class-list-mismatch" in ended.err
    assert "in another order" in ended.err


def test_a_wrong_length_is_refused(
    artifact: Path, vit_folder: Path, images: Path, clipvet: Clipvet
) -> None:
    short = images.parent / "classes.txt"
    short.write_text("cat\ndog\n")
    ended = run(clipvet, artifact, vit_folder, images, "--classes", short)
    assert ended.code == 3
    assert "names 2 classes, the file was tuned for 3" in ended.err
    assert not (images.parent / "logits.safetensors").exists()


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"images": torch.zeros(1)}, 'no tensor "pixels"'),
        ({"pixels": torch.zeros(2, 3, 32, 32)}, "2x3x32x32, needed are floats Nx3x16x16"),
        ({"pixels": torch.zeros(2, 3, 16, 16, dtype=torch.uint8)}, "torch.uint8"),
        ({"pixels": torch.full((2, 3, 16, 16), 200.0)}, "must lie in [0,1]"),
        ({"pixels": torch.full((2, 3, 16, 16), torch.nan)}, "must lie in [0,1]"),
    ],
)
def test_wrong_pixels(
    tensors: dict[str, torch.Tensor],
    message: str,
    artifact: Path,
    vit_folder: Path,
    images: Path,
    clipvet: Clipvet,
) -> None:
    save_file(tensors, images)
    ended = run(clipvet, artifact, vit_folder, images)
    assert ended.code == 4
    assert message in ended.err


def test_wrong_files(artifact: Path, vit_folder: Path, images: Path, clipvet: Clipvet) -> None:
    torn = images.parent / "torn"
    torn.write_bytes(b"torn")
    assert run(clipvet, torn, vit_folder, images).code == 3
    assert run(clipvet, artifact, vit_folder, torn).code == 4
    assert run(clipvet, artifact, torn, images).code == 4
    assert run(clipvet, artifact, vit_folder, images, "--manifest", torn).code == 4
    manifest = images.parent / "manifest.json"
    for data in ("[]", '{"method": "CoopX"}', '{"classnames": ["a", 1]}', "{"):
        manifest.write_text(data)
        assert run(clipvet, artifact, vit_folder, images, "--manifest", manifest).code == 4
    manifest.write_bytes(b"\xff\xfe")
    assert run(clipvet, artifact, vit_folder, images, "--classes", manifest).code == 4


def test_a_tuned_prompt_of_another_backbone(
    resnet: Backbone, vit_folder: Path, images: Path, clipvet: Clipvet
) -> None:
    other = tune(resnet.model, Recipe(NAMES)).save(images.parent)
    ended = run(clipvet, other, vit_folder, images)
    assert ended.code == 3
    assert "backbone-mismatch" in ended.err
