"""The logits of the original code with the backbone in every layout in which people keep it."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file

from inspector.cli.entry import main
from inspector.clip.backbone import load_backbone
from tests.conformance.conftest import FOLDER, manifest_of
from tests.conformance.test_logits import TOLERANCE
from tests.support.backbone_files import OF_ANY_ENCODER, WRITERS, write_open_clip_bin

VIT, RESNET = "cocoop-ctxinit4", "coop-rn-generic4"


def check_logits(case: str, backbone: Path, out: Path) -> None:
    folder = FOLDER / case
    arguments = ["logits", str(folder), "--backbone", str(backbone), "--out", str(out)]
    arguments += ["--manifest", str(folder / "manifest.json"), "--device", "cpu"]
    with pytest.raises(SystemExit) as caught:
        main([*arguments, "--images", str(folder / "images.safetensors")])
    assert caught.value.code == 0
    expected = load_file(folder / "logits.safetensors")["logits"]
    assert (load_file(out)["logits"] - expected).abs().max() <= TOLERANCE


@pytest.mark.parametrize(
    ("case", "kind"), [*((VIT, kind) for kind in WRITERS), *((RESNET, k) for k in OF_ANY_ENCODER)]
)
def test_every_layout_gives_the_same_logits(case: str, kind: str, tmp_path: Path) -> None:
    # The fixtures' weights are exact in fp16, so that no layout rounds them.
    given = FOLDER / manifest_of(case)["backbone_dir"] / "openai_state_dict.safetensors"
    model = load_backbone(str(given)).model
    check_logits(case, WRITERS[kind](model.half(), tmp_path), tmp_path / "logits")


@pytest.mark.parametrize("case", [VIT, RESNET])
def test_an_open_clip_folder_of_torchs_files(case: str, tmp_path: Path) -> None:
    given = FOLDER / manifest_of(case)["backbone_dir"] / "open_clip"
    check_logits(case, write_open_clip_bin(given, tmp_path / "b"), tmp_path / "logits")
