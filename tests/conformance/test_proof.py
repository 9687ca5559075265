"""What a file and a silent or wrong manifest leave open is found from the vendor's logits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from inspector.checkpoint import read_artifact
from inspector.clip.backbone import load_backbone
from inspector.clip.proof import assemble_checked
from inspector.manifest import Manifest
from tests.conformance.conftest import FOLDER, manifest_of

TEMPLATE = ("tokenised_template", "template", "templates")


def checked(case: str, out: Path, wrong: dict[str, object], *dropped: str) -> tuple[object, str]:
    """Level and findings for a case whose manifest lacks some keys and has others wrong."""
    data = {key: value for key, value in manifest_of(case).items() if key not in dropped}
    if "config" in dropped:
        data["config"] = {}
    files = {"images": "images.safetensors", "logits": "logits.safetensors"}
    manifest = Manifest.parse(data | wrong | {"check": files}, folder=FOLDER / case)
    reading = read_artifact(FOLDER / case, out)
    backbone = load_backbone(str(FOLDER / data["backbone_dir"] / "open_clip"))
    assert reading.canonical
    assembly, level = assemble_checked(reading, out / reading.canonical, manifest, backbone)
    assert level is not None
    if level.name == "proved":
        values = load_file(FOLDER / case / "logits.safetensors")["logits"]
        pixels = load_file(FOLDER / case / "images.safetensors")["pixels"]
        with torch.no_grad():
            assert (assembly.classifier(pixels) - values).abs().max() <= 1e-3
    said = [f.message for f in assembly.findings if f.id == "assembly-found"]
    return level.name, " ".join(said)


@pytest.mark.parametrize(
    ("case", "wrong", "dropped", "found"),
    [
        ("coop-generic4-middle", {}, ("config",), "class_token_position 'middle'"),
        ("coop-generic4-front", {"class_token_position": "middle"}, (), "'front'"),
        ("clip-adapter-pets", {}, ("config", *TEMPLATE), "'a photo of a {}, a type of pet.'"),
        ("clip-adapter-pets", {"adapter_ratio": 0.6}, (), "adapter_ratio 0.2"),
        ("clip-lora-all-qkv-r2", {"tokenised_template": "{}"}, (), "'a photo of a {}.'"),
        ("tip-adapter-F-4shots", {}, ("config",), "alpha 4.51, beta 1.29"),
        ("tcp-l3", {}, ("tcp",), "text_block 3"),
    ],
)  # fmt: skip
def test_what_is_left_open_is_found(
    case: str, wrong: dict[str, object], dropped: tuple[str, ...], found: str, tmp_path: Path
) -> None:
    level, said = checked(case, tmp_path, wrong, *dropped)
    assert level == "proved"
    assert found in said


def test_a_right_manifest_needs_no_search(tmp_path: Path) -> None:
    assert checked("coop-generic4-middle", tmp_path, {}) == ("proved", "")


def test_other_logits_are_reproduced_by_nothing(tmp_path: Path) -> None:
    wrong: dict[str, object] = {"mean": [0.1, 0.1, 0.1]}
    assert checked("coop-generic4-middle", tmp_path, wrong) == ("unverified", "")
