"""The ladder of assembly levels, with made-up and with real evidence."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from inspector.clip.backbone import Backbone
from inspector.clip.classifier import Classifier
from inspector.clip.classlist import ClassList
from inspector.clip.level import (
    LEAST_SKILL,
    AssemblyLevel,
    LevelName,
    assembly_level,
    level_by_labels,
)
from inspector.clip.prompts import lay_out
from inspector.clip.vendor import check_vendor
from inspector.errors import ManifestError
from inspector.manifest import Check

FOUR = ("a", "b", "c", "d")
READ = ClassList(FOUR, "manifest", True)


def noise(seed: int, count: int = 250, classes: int = 4) -> Tensor:
    return torch.randn(count, classes, generator=torch.Generator().manual_seed(seed))


def test_agreement_makes_it_plausible() -> None:
    reference = noise(0)
    level = assembly_level(READ, reference + 0.7 * noise(1), reference)
    assert level.name == "plausible"
    assert level.agreement is not None and level.agreement > 0.3


def test_a_preference_for_one_class_does_not_hide_agreement() -> None:
    reference = noise(0)
    tilted = reference + 0.7 * noise(1) + torch.tensor([0.0, 9.0, 0.0, 0.0])
    assert assembly_level(READ, tilted, reference).name == "plausible"


@pytest.mark.parametrize("seed", range(8))
def test_chance_is_not_agreement(seed: int) -> None:
    assert assembly_level(READ, noise(seed), noise(seed + 100)).name == "unverified"


def test_a_wrong_order_does_not_agree() -> None:
    reference = noise(0)
    assert assembly_level(READ, reference[:, [1, 2, 3, 0]], reference).name == "unverified"


def test_two_classes_can_be_plausible() -> None:
    reference = noise(0, classes=2)
    classes = ClassList(("a", "b"), "decoded", None)
    assert assembly_level(classes, reference + 0.5 * noise(1, classes=2), reference).name == (
        "plausible"
    )


@pytest.mark.parametrize(
    "classes",
    [
        ClassList(FOUR, "decoded", False),
        ClassList(FOUR, "manifest", None),
        ClassList(("a",), "manifest", True),
    ],
)
def test_without_a_class_list_from_the_file_nothing_is_plausible(classes: ClassList) -> None:
    same = noise(0)[:, : classes.count]
    assert assembly_level(classes, same, same).name == "unverified"


def test_what_the_vendor_gave_decides() -> None:
    failed = AssemblyLevel("unverified", "the vendor's logits differ")
    assert assembly_level(READ, noise(0), noise(0), failed) is failed


PLAUSIBLE = AssemblyLevel("plausible", "said by the test", 0.3)


def answered(labels: list[int], right: int, classes: int = 4) -> Tensor:
    """Logits whose first so many answers are right and whose others are the next class."""
    rows = torch.tensor(labels)
    rows[right:] = (rows[right:] + 1) % classes
    return torch.nn.functional.one_hot(rows, classes).float()


EVEN = [0, 1, 2, 3] * 15
NEEDED = math.ceil((0.25 + LEAST_SKILL * 0.75) * len(EVEN))


@pytest.mark.parametrize(
    ("labels", "right", "name"),
    [
        (EVEN, 60, "checked"),
        (EVEN, NEEDED, "checked"),
        (EVEN, NEEDED - 1, "plausible"),
        (EVEN, 15, "plausible"),
        (EVEN, 2, "unverified"),
        (EVEN[:4], 4, "plausible"),
        ([0] * 60, 60, "plausible"),
        ([0] * 50 + [1] * 10, 56, "plausible"),
    ],
    ids=["all", "enough", "no skill", "guessing", "other names", "few", "one class", "commonest"],
)
def test_labels_raise_the_level_where_no_guess_could_be_so_right(
    labels: list[int], right: int, name: LevelName
) -> None:
    level = level_by_labels(PLAUSIBLE, answered(labels, right), torch.tensor(labels))
    assert level.name == name
    assert (level is PLAUSIBLE) == (name == "plausible")
    assert level.agreement == PLAUSIBLE.agreement


@pytest.mark.parametrize("classes", [2, 4, 20])
def test_a_guess_is_hardly_ever_checked(classes: int) -> None:
    generator = torch.Generator().manual_seed(classes)
    labels = torch.arange(classes).repeat(200 // classes)
    levels = [
        level_by_labels(PLAUSIBLE, torch.rand(len(labels), classes, generator=generator), labels)
        for _ in range(200)
    ]
    assert sum(level is not PLAUSIBLE for level in levels) <= 2


@pytest.fixture
def classifier(vit: Backbone) -> Classifier:
    layout = lay_out(vit, FOUR, "X {}.", 1)
    return Classifier(vit, list(FOUR), layout, noise(5, 1, 64))


def test_reproduced_logits_are_proof(classifier: Classifier, tmp_path: Path) -> None:
    images = torch.rand(3, 3, 16, 16)
    with torch.no_grad():
        logits = classifier(images)
    inline = Check(tuple(images.tolist()), tuple(logits.tolist()), None)
    assert check_vendor(classifier, inline).name == "proved"
    save_file({"pixels": images}, tmp_path / "images.safetensors")
    save_file({"logits": logits + 0.01}, tmp_path / "logits.safetensors")
    files = Check(tmp_path / "images.safetensors", tmp_path / "logits.safetensors", None)
    level = check_vendor(classifier, files)
    assert level.name == "unverified"
    assert "differ by at most 0.01" in level.reason


def test_accuracy_above_a_floor_is_checked(classifier: Classifier, tmp_path: Path) -> None:
    images = torch.rand(12, 3, 16, 16)
    with torch.no_grad():
        labels = classifier(images).argmax(1)
    labels[0] = (labels[0] + 1) % 4
    path = tmp_path / "images.safetensors"
    save_file({"pixels": images, "labels": labels}, path)
    names = [check_vendor(classifier, Check(path, None, floor)).name for floor in (0.9, 0.95, 0.3)]
    assert names == ["checked", "unverified", "unverified"]


def test_checks_that_cannot_be_made(classifier: Classifier, tmp_path: Path) -> None:
    images = torch.rand(2, 3, 16, 16)
    (tmp_path / "torn.safetensors").write_bytes(b"not tensors")
    wrong = [
        (Check(tmp_path / "none", tmp_path / "none", None), "cannot read none"),
        (Check(tmp_path / "torn.safetensors", tmp_path, None), "cannot read torn"),
        (Check(((1.0,), (2.0, 3.0)), ((1.0,),), None), "regular list"),
        (Check(((1.0,),), ((1.0,),), None), "must be N x 3 x 16 x 16"),
        (Check(tuple(images.tolist()), ((1.0, 2.0),), None), "have shape"),
        (Check(tuple(images.tolist()), None, 0.9), "file of images with labels"),
    ]
    for check, message in wrong:
        with pytest.raises(ManifestError, match=message):
            check_vendor(classifier, check)
