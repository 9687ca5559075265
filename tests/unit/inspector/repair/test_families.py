"""Every method that learns prompts alone can be learned anew: whole, from trusted words, on its own encoders."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from inspector.checkpoint.limits import ReaderOptions
from inspector.checkpoint.read import read_here
from inspector.clip.assembly import assemble
from inspector.clip.backbone import Backbone, load_backbone
from inspector.clip.learned import PROMPT_ONLY, Delivered
from inspector.clip.vendor import logits_of
from inspector.detection.triggers import Added
from inspector.manifest import Manifest
from inspector.repair import tuning
from inspector.repair.rederive import ByLabels
from inspector.repair.strategy import Case, Labelled
from inspector.repair.tuning import Effort, Lesson, joined
from tests.support.checkpoints import save_dassl
from tests.support.poisoned import TASK
from tests.support.prompt_files import MAKERS, TEXT_BLOCK, file_of

SHOTS, TESTED = 12, 12
"""Pictures a class."""


@pytest.fixture(scope="module")
def pocket() -> Backbone:
    return load_backbone("pocket")


def delivered(method: str, backbone: Backbone, folder: Path) -> Delivered:
    state = file_of(method, backbone, TASK.classnames)
    artifact = save_dassl(folder / "model.pth.tar-5", state, 5)
    reading = read_here(artifact, folder, ReaderOptions())
    assert reading.canonical, reading.findings
    stated = {"classnames": list(TASK.classnames), "tcp": {"insert_before_text_block": TEXT_BLOCK}}
    canonical = folder / reading.canonical
    made = assemble(reading, canonical, Manifest.parse(stated), backbone)
    assert made.family == method.partition(" ")[0]
    classifier = made.classifier.requires_grad_(False)
    found = Delivered.read(classifier, made.family, canonical)
    assert found.why_not(made.findings) is None
    return found


@pytest.fixture
def model(request: pytest.FixtureRequest, pocket: Backbone, tmp_path: Path) -> Delivered:
    backbone = request.getfixturevalue("resnet") if request.param == "PLOT" else pocket
    return delivered(request.param, backbone, tmp_path)


def drawn(backbone: Backbone, shots: int, seed: int) -> tuple[Tensor, Tensor]:
    return TASK.draw(shots, torch.Generator().manual_seed(seed), backbone.image_size)


def test_every_method_is_tried() -> None:
    tried = {name.partition(" ")[0] for name in MAKERS}
    assert tried | {"ProGrad", "BadCLIP"} == set(PROMPT_ONLY)


@pytest.mark.parametrize("model", MAKERS, indirect=True)
def test_a_copy_is_what_its_values_say(model: Delivered) -> None:
    """With the delivered ones it is the delivered model; gradients reach all; fresh ones are none of them."""
    pixels, _ = drawn(model.classifier.backbone, 1, 2)
    before = logits_of(model.classifier, pixels)
    copy = model.with_values(model.learned)
    assert (logits_of(copy, pixels) - before).abs().max() <= 1e-4
    values = {name: value.clone().requires_grad_() for name, value in model.learned.items()}
    model.put(copy, values)
    with torch.enable_grad():
        copy(pixels).square().sum().backward()
    for name, value in values.items():
        assert value.grad is not None and value.grad.abs().max() > 0, name
    fresh = model.fresh(torch.Generator().manual_seed(3))
    assert fresh.keys() == model.learned.keys() > set()
    for name, value in fresh.items():
        assert value.shape == model.tensors[name].shape
        assert not (value == model.learned[name]).any()
    other = logits_of(model.with_values(fresh), pixels)
    assert other.isfinite().all() and (other - before).abs().max() > 0.1
    assert torch.equal(logits_of(model.classifier, pixels), before), "the delivered one stays"


@pytest.mark.parametrize("model", ["LASP", "MaPLe", "TCP", "VPT"], indirect=True)
def test_it_learns_its_task_from_labels(model: Delivered, monkeypatch: pytest.MonkeyPatch) -> None:
    """Words around the name, vectors made of other vectors, a layer, and vectors in the image encoder."""
    monkeypatch.setattr(tuning, "MOST_ENCODED", 480)
    backbone = model.classifier.backbone
    shown, labels = drawn(backbone, SHOTS, 5)
    pixels, truth = drawn(backbone, TESTED, 6)
    trigger = Added(torch.zeros_like(shown[0]))
    case = Case(model, 0, trigger, 0.1, shown[:4], Labelled(shown, labels), seed=1)
    values = ByLabels(Effort(80, 8)).tensors(case)
    assert {name: value.shape for name, value in values.items()} == {
        name: value.shape for name, value in model.tensors.items()
    }
    accuracies = [
        (logits_of(one, pixels).argmax(1) == truth).float().mean().item()
        for one in (
            model.with_values(model.fresh(torch.Generator().manual_seed(1))),
            model.with_values(values),
        )
    ]
    assert accuracies[1] > max(0.8, accuracies[0])


@pytest.mark.parametrize("model", ["CoCoOp", "VPT"], indirect=True)
def test_no_more_pictures_are_kept_than_are_shown(
    model: Delivered, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All under every trigger would take gigabytes; features of them do not."""
    monkeypatch.setattr(tuning, "MOST_ENCODED", 96)
    lesson = Lesson.of(model.classifier, drawn(model.classifier.backbone, 5, 1)[0])
    generator = torch.Generator().manual_seed(0)
    whole = joined(model, [lesson] * 3, 3, generator)
    if model.is_visual:
        assert len(whole.shown) == len(whole.features) == len(whole) == 24
        known = {tuple(one.flatten()[:99].tolist()) for one in lesson.shown}
        assert all(tuple(one.flatten()[:99].tolist()) in known for one in whole.shown)
    else:
        assert whole.pixels is None
        assert torch.equal(whole.features, lesson.features.repeat(3, 1))
        assert torch.equal(whole.targets, lesson.targets.repeat(3))


def test_encoders_that_are_not_the_backbones_cannot_be_repaired(
    pocket: Backbone, tmp_path: Path
) -> None:
    state = file_of("MaPLe", pocket, TASK.classnames)
    state["image_encoder.conv1.weight"] *= 1.01
    reading = read_here(save_dassl(tmp_path / "m.pth.tar-5", state, 5), tmp_path, ReaderOptions())
    assert reading.canonical
    canonical = tmp_path / reading.canonical
    made = assemble(reading, canonical, Manifest(), pocket)
    why_not = Delivered.read(made.classifier, "MaPLe", canonical).why_not(made.findings)
    assert why_not is not None and "encoders" in why_not
