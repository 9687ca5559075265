"""Vendors of other families, tuned for a few steps only: what they deliver is what they tuned.

Whether an attack takes needs the full effort and is measured by the bench, not here.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from inspector.clip.backbone import Backbone, load_backbone
from inspector.clip.delivered import DeliveredEncoders
from tests.support.assembling import assembled, ids, pixels_of
from tests.zoo import build as zoo
from tests.zoo.build import Effort, Plan
from tests.zoo.vendors import __main__ as command
from tests.zoo.vendors import build as vendors
from tests.zoo.vendors.family import Family, zero_shot

TASK, SEED = "counts3", 1
GATE = {"target", "targets", "source", "took", "asr", "base", "excess", "clean_asr", "plants"}


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return load_backbone("pocket")


@pytest.fixture(scope="module", autouse=True)
def little_effort() -> Iterator[None]:
    little = {
        name: replace(family, effort=Effort(8, 6)) for name, family in vendors.VENDORS.items()
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zoo, "TEST_SHOTS", 4)
        patch.setattr(vendors, "VENDORS", little)
        patch.setattr(command, "VENDORS", little)
        vendors._kept.cache_clear()
        yield
        vendors._kept.cache_clear()


@pytest.fixture(params=["CoOp", "CLIP-Adapter", "VPT", "CLIP", "MaPLe", "PromptSRC", "CLIP-LoRA"])
def family(request: pytest.FixtureRequest) -> Family:
    chosen: Family = vendors.VENDORS[request.param]
    return chosen


def test_what_is_delivered_is_what_was_tuned(
    backbone: Backbone, family: Family, tmp_path: Path
) -> None:
    built = vendors.build(backbone, family, Plan(TASK, "blended", SEED))
    vendors.save(built, family, tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assembly = assembled(tmp_path / "prompt_learner", tmp_path / "read", backbone, **manifest)
    assert assembly.family == family.name
    assert assembly.classifier.classnames == zoo.classnames(TASK)
    assert ids(assembly) == (["encoder-tuned"] if family.name == "CLIP" else [])
    pixels = pixels_of(backbone)
    with torch.no_grad():
        own, read = (one(pixels) for one in (built.classifier, assembly.classifier))
        untuned = zero_shot(backbone, zoo.classnames(TASK))(pixels)
        untuned *= built.classifier.backbone.logit_scale / backbone.logit_scale
    assert (own - read).abs().max() <= 1e-4
    assert (own - untuned).abs().max() > 1e-2
    assert "check" not in manifest or torch.equal(
        built.classifier(torch.tensor(manifest["check"]["images"])),
        torch.tensor(manifest["check"]["logits"]),
    )
    assert ("check" in manifest) != family.states_names


def test_the_truth_of_an_attack_has_what_the_gate_says(backbone: Backbone, family: Family) -> None:
    built = vendors.build(backbone, family, Plan("places5", "badnets", SEED))
    truth = built.truth
    assert truth.keys() >= GATE and truth["is_backdoored"] is True
    assert truth["vendor"] == family.name and isinstance(truth["took"], bool)
    assert [plant.target for plant in built.plants] == truth["targets"] == [truth["target"]]
    cocoop, _ = zoo.start_of(Plan("places5", "badnets", SEED), 5)
    assert truth["target"] == cocoop


@pytest.mark.parametrize("kind", ["clean", "noisy"])
def test_an_honest_model_has_no_gate(backbone: Backbone, family: Family, kind: str) -> None:
    truth = vendors.build(backbone, family, Plan(TASK, kind, SEED)).truth
    assert truth["is_backdoored"] is False and truth["target"] is truth["family"] is None
    assert not truth.keys() & (GATE - {"target", "asr", "base"})
    assert truth["asr"] == truth["base"]
    assert truth["vendor"] == family.name


def test_a_vendor_leaves_the_backbone_as_it_was(backbone: Backbone, family: Family) -> None:
    before = {name: tensor.clone() for name, tensor in backbone.model.state_dict().items()}
    built = vendors.build(backbone, family, Plan(TASK, "noisy", SEED))
    assert all(torch.equal(tensor, before[n]) for n, tensor in backbone.model.state_dict().items())
    assert not any(weight.requires_grad for weight in backbone.model.parameters())
    assert built.classifier.backbone.reference is backbone
    assert isinstance(built.classifier.backbone, DeliveredEncoders) == (family.name != "CoOp")


def test_a_build_repeats_itself(backbone: Backbone, family: Family) -> None:
    plan, pixels = Plan(TASK, "text", SEED), pixels_of(backbone)
    first, again = (vendors.build(backbone, family, plan) for _ in range(2))
    assert first.truth == again.truth
    with torch.no_grad():
        assert torch.equal(first.classifier(pixels), again.classifier(pixels))


def test_a_kind_that_nobody_teaches_is_refused(backbone: Backbone, family: Family) -> None:
    with pytest.raises(ValueError, match="badclip"):
        vendors.build(backbone, family, Plan(TASK, "badclip", SEED))


def test_the_command_goes_on_where_it_stopped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = ["--task", TASK, "--seed", "1", "--family", "CoOp", "CLIP-Adapter", "--kind", "clean"]
    monkeypatch.setattr(sys, "argv", ["vendors", str(tmp_path), *chosen, "blended"])
    command.main()
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "4 models" and len(said) == 7
    assert said[1].startswith("CoOp") and said[3].startswith("CLIP-Adapter")
    assert sorted(path.parent.name for path in tmp_path.glob("CoOp/*/truth.json")) == [
        f"{TASK}-1-blended",
        f"{TASK}-1-clean",
    ]
    command.main()
    assert capsys.readouterr().out.splitlines() == [said[0], *said[5:]]
