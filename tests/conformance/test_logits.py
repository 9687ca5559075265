"""`clipvet logits` against the logits that the original research code gives for its own files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from inspector.checkpoint import read_artifact
from inspector.cli.entry import main
from inspector.clip.assembly import Assembly, assemble
from inspector.clip.backbone import Backbone, load_backbone
from inspector.clip.level import assembly_level
from inspector.clip.vendor import check_vendor
from inspector.manifest import Manifest
from tests.conformance.conftest import FOLDER, cases, manifest_of, named_cases

TOLERANCE = 1e-4


def assembled(case: str, out: Path, data: object, backbone: Backbone) -> Assembly:
    reading = read_artifact(FOLDER / case, out)
    assert reading.canonical
    return assemble(reading, out / reading.canonical, Manifest.parse(data), backbone)


def layouts(case: str) -> tuple[Path, Path]:
    """The case's backbone as an open_clip folder and in OpenAI's layout."""
    folder = FOLDER / manifest_of(case)["backbone_dir"]
    return folder / "open_clip", folder / "openai_state_dict.safetensors"


@pytest.mark.parametrize("case", cases() or ["none"])
def test_logits_of_the_command_line(case: str, tmp_path: Path) -> None:
    folder, out = FOLDER / case, tmp_path / "logits.safetensors"
    for backbone in layouts(case):
        arguments = ["logits", str(folder), "--backbone", str(backbone), "--device", "cpu"]
        arguments += ["--manifest", str(folder / "manifest.json"), "--out", str(out)]
        with pytest.raises(SystemExit) as caught:
            main([*arguments, "--images", str(folder / "images.safetensors")])
        assert caught.value.code == 0
        expected = load_file(folder / "logits.safetensors")["logits"]
        assert (load_file(out)["logits"] - expected).abs().max() <= TOLERANCE


@pytest.mark.parametrize("case", named_cases() or ["none"])
def test_the_files_class_list_is_the_manifests(case: str, tmp_path: Path) -> None:
    data = manifest_of(case)
    backbone = load_backbone(str(layouts(case)[0]))
    assembly = assembled(case, tmp_path, data, backbone)
    assert (assembly.classes.match, assembly.findings) == (True, ())
    assert assembly.family == data["method"]
    names = [name.replace("_", " ") for name in data["classnames"]]
    silent = ("classnames", "method", "tokenised_template")
    kept = {key: value for key, value in data.items() if key not in silent}
    decoded = assembled(case, tmp_path, kept, backbone)
    assert list(decoded.classes.names) == names
    assert decoded.classes.source == "decoded"


def test_the_vendors_logits_prove_the_assembly(tmp_path: Path) -> None:
    case = "coop-generic4-middle"
    backbone = load_backbone(str(layouts(case)[0]))
    files = {"images": "images.safetensors", "logits": "logits.safetensors"}
    manifest = Manifest.parse(manifest_of(case) | {"check": files}, folder=FOLDER / case)
    assert manifest.check is not None
    right = assembled(case, tmp_path, manifest_of(case), backbone)
    assert check_vendor(right.classifier, manifest.check).name == "proved"
    lie = manifest_of(case) | {"class_token_position": "end"}
    wrong = assembled(case, tmp_path, lie, backbone)
    assert check_vendor(wrong.classifier, manifest.check).name == "unverified"


def test_half_precision_is_not_forgotten(tmp_path: Path) -> None:
    """The vendor's own fp16 forward differs by far more than the tolerance of the fp32 one."""
    values = load_file(FOLDER / "coop-fp16-bestval" / "logits.safetensors")
    assert (values["logits"] - values["logits_native"]).abs().max() > 0.02


def test_chunks_of_an_unusual_size(tmp_path: Path) -> None:
    case = "cocoop-ctxinit4"
    pixels = load_file(FOLDER / case / "images.safetensors")["pixels"]
    save_file({"pixels": pixels[:5]}, tmp_path / "some.safetensors")
    out = tmp_path / "logits.safetensors"
    arguments = ["logits", str(FOLDER / case), "--backbone", str(layouts(case)[0])]
    arguments += ["--images", str(tmp_path / "some.safetensors"), "--out", str(out)]
    with pytest.raises(SystemExit):
        main([*arguments, "--manifest", str(FOLDER / case / "manifest.json"), "--batch", "2"])
    expected = load_file(FOLDER / case / "logits.safetensors")["logits"][:5]
    assert (load_file(out)["logits"] - expected).abs().max() <= TOLERANCE


@pytest.mark.parametrize("case", ["cocoop-ctxinit4", "coop-ctxinit", "kgcoop-ctxinit"])
def test_a_tuned_prompt_is_plausible_and_a_wrong_order_is_not(case: str, tmp_path: Path) -> None:
    backbone = load_backbone(str(layouts(case)[0]))
    assembly = assembled(case, tmp_path, manifest_of(case), backbone)
    pixels = load_file(FOLDER / case / "images.safetensors")["pixels"]
    images = torch.cat([pixels, pixels.flip(-1), pixels.roll(3, -1), pixels.roll(3, -2)])
    with torch.no_grad():
        features = backbone.image_features(images)
        logits = assembly.classifier.logits_from_features(features)
        zero_shot = (
            backbone.logit_scale * features @ backbone.zero_shot(manifest_of(case)["classnames"]).T
        )
    assert assembly_level(assembly.classes, logits, zero_shot).name == "plausible"
    assert assembly_level(assembly.classes, logits.roll(1, 1), zero_shot).name == "unverified"
