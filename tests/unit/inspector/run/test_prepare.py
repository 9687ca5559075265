"""What labelled pictures say of a classifier before it is searched."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from inspector.checkpoint.limits import ReaderOptions
from inspector.checkpoint.read import read_here
from inspector.clip.backbone import load_backbone
from inspector.clip.classifier import Classifier
from inspector.clip.vendor import logits_of
from inspector.manifest import Manifest
from inspector.profiles import PROFILES
from inspector.progress import Meter
from inspector.report import Evidence
from inspector.request import Request
from inspector.run import prepare
from tests.support.prompts import Recipe, tune
from tests.unit.inspector.run.test_pipeline import TINY
from tests.zoo.pictures import write
from tests.zoo.tasks import TASKS


@pytest.mark.parametrize(("shift", "level"), [(0, "checked"), (1, "unverified")])
def test_labelled_pictures_check_the_assembly_and_those_that_teach_are_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shift: int, level: str
) -> None:
    """A prompt on pocket that knows its task, under its folders' names and under other ones."""
    asked: list[Tensor] = []
    backbone = load_backbone("pocket")
    task = TASKS["colours10"]
    names = task.classnames
    pixels, labels = task.draw(16, torch.Generator().manual_seed(3), backbone.image_size)
    for place, name in enumerate(names):
        write(pixels[labels == (place + shift) % len(names)], tmp_path / "labelled" / name)

    def spied(classifier: Classifier, images: Tensor) -> Tensor:
        asked.append(images)
        return logits_of(classifier, images)

    monkeypatch.setattr(prepare, "logits_of", spied)
    monkeypatch.setitem(PROFILES, "quick", TINY)
    vendor = tune(backbone.model, Recipe(tuple(names)))
    vendor.state["ctx"] = backbone.text.embed(backbone.tokenizer(["a photo of a"]))[0, 1:5]
    reading = read_here(vendor.save(tmp_path), tmp_path, ReaderOptions())
    assert reading.canonical
    canonical = tmp_path / reading.canonical
    evidence = Evidence("quick", 0, {"id": "pocket", "sha256": None}, [])
    request = Request(
        backbone="pocket", manifest=Manifest(), profile="quick", repair=True,
        labelled=str(tmp_path / "labelled"),
    )  # fmt: skip
    prepared = prepare.prepare(
        request, (reading, canonical), backbone, evidence, Meter(lambda told: None, None)
    )
    assert evidence.assembly == level
    (images,) = asked
    assert torch.equal(images, prepared.measuring.pixels)
    assert len(prepared.teaching.without(images)) == len(prepared.teaching) == 80
