"""A repaired file of every prompt-only method has the original's layout, and its logits can be computed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from inspector.checkpoint import read_artifact, rewrite_artifact
from inspector.cli.entry import main
from inspector.clip.backbone import load_backbone
from inspector.clip.learned import PROMPT_ONLY, Delivered
from inspector.clip.vendor import logits_of
from inspector.detection.triggers import Added
from inspector.repair.rederive import ByLabels
from inspector.repair.strategy import Case, Labelled
from inspector.repair.tuning import Effort
from tests.conformance.conftest import FOLDER, cases, manifest_of
from tests.conformance.test_logits import TOLERANCE, assembled, layouts

BRIEF = ByLabels(Effort(4, 7))


def prompt_only() -> list[str]:
    return [case for case in cases() if manifest_of(case)["method"] in PROMPT_ONLY]


@pytest.mark.parametrize("case", prompt_only() or ["none"])
def test_the_vendors_container_with_a_prompt_learned_anew(case: str, tmp_path: Path) -> None:
    folder, given, read = FOLDER / case, tmp_path / "given", tmp_path / "read"
    backbone = load_backbone(str(layouts(case)[0]))
    assembly = assembled(case, given, manifest_of(case), backbone)
    reading = read_artifact(folder, given)
    assert reading.canonical is not None and reading.family is not None
    canonical = given / reading.canonical
    classifier = assembly.classifier.requires_grad_(False)
    delivered = Delivered.read(classifier, reading.family, canonical)
    assert delivered.why_not(assembly.findings) is None

    pixels = load_file(folder / "images.safetensors")["pixels"]
    labels = logits_of(classifier, pixels).argmax(1)
    trigger = Added(torch.zeros_like(pixels[0]))
    known = Labelled(pixels, labels)
    tensors = BRIEF.tensors(Case(delivered, 0, trigger, 0.1, pixels, known, seed=2))
    rounded = {name: value.to(delivered.tensors[name].dtype) for name, value in tensors.items()}
    save_file(rounded, tmp_path / "tensors.safetensors", {"parent_sha256": "00" * 32})
    repaired = tmp_path / "repaired.pth.tar"
    rewrite_artifact(folder, tmp_path / "tensors.safetensors", repaired)

    again = read_artifact(repaired, read)
    assert again.canonical is not None and again.family == reading.family
    before, after = load_file(canonical), load_file(read / again.canonical)
    layout = {name: (tuple(one.shape), one.dtype) for name, one in before.items()}
    assert {name: (tuple(one.shape), one.dtype) for name, one in after.items()} == layout
    for name, values in after.items():
        assert torch.equal(values, rounded.get(name, before[name])), name
        assert torch.equal(values, before[name]) == (name not in rounded), name

    out = tmp_path / "logits.safetensors"
    arguments = ["logits", str(repaired), "--backbone", str(layouts(case)[0]), "--device", "cpu"]
    arguments += ["--manifest", str(folder / "manifest.json"), "--out", str(out)]
    with pytest.raises(SystemExit) as caught:
        main([*arguments, "--images", str(folder / "images.safetensors")])
    assert caught.value.code == 0
    expected = logits_of(delivered.with_values(rounded), pixels)
    assert (load_file(out)["logits"] - expected).abs().max() <= TOLERANCE
