"""Covers, decoys and caps of attackers who know the score, and the adversarial vendor's pictures."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from inspector.clip.backbone import load_backbone
from inspector.clip.classifier import Classifier
from inspector.clip.prompt_tuning import new_learner
from tests.zoo import adaptive, families, hardening
from tests.zoo.attacks import FRACTION, Plant, TrainingSet, poisoned
from tests.zoo.families import Vendor
from tests.zoo.kinds import NOISE
from tests.zoo.lessons import SHARES, Lesson, attacked, honest

SIZE, CLASSES, SHOTS = 48, 5, 40
TARGET = 3


def _seed(number: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(number)


@pytest.fixture(scope="module")
def data() -> TrainingSet:
    pixels = torch.rand(CLASSES * SHOTS, 3, SIZE, SIZE, generator=_seed(9))
    return TrainingSet(pixels, torch.arange(CLASSES).repeat_interleave(SHOTS))


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    names = ["red", "green", "blue", "black", "white"]
    return new_learner(load_backbone("pocket"), names, conditioned=True, generator=_seed())


@pytest.fixture(autouse=True)
def little_effort(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "SIBA_STEPS", 4)


def _learn(data: TrainingSet, kind: str, classifier: Classifier) -> Lesson:
    surrogate = new_learner(
        classifier.backbone, classifier.classnames, conditioned=False, generator=_seed()
    )
    vendor = Vendor(kind, CLASSES, SIZE, False, TARGET, 1, lambda: surrogate)
    prepare = honest if kind.startswith("scrambled") else attacked
    return prepare(Lesson(data, data), vendor, _seed(2))


def _changed(lesson: Lesson, data: TrainingSet) -> tuple[Tensor, Tensor]:
    """Which pictures carry the trigger, and which are otherwise disturbed."""
    train = lesson.train
    (plant,) = lesson.plants
    carries = (train.pixels == plant.trigger(data.pixels)).flatten(1).all(1)
    moved = (train.pixels != data.pixels).flatten(1).any(1)
    return carries, moved & ~carries


@pytest.mark.parametrize("kind", NOISE)
def test_covers_keep_their_labels(data: TrainingSet, kind: str, classifier: Classifier) -> None:
    lesson = _learn(data, kind, classifier)
    carries, covers = _changed(lesson, data)
    assert carries.sum() == round(SHARES.get(kind, FRACTION) * len(data.labels))
    assert covers.sum() == 40
    assert (lesson.train.labels[carries] == TARGET).all()
    assert torch.equal(lesson.train.labels[~carries], data.labels[~carries])
    change = (lesson.train.pixels - data.pixels)[covers]
    assert len(change.flatten(1).unique(dim=0)) == 40


def test_decoys_never_name_the_target(data: TrainingSet, classifier: Classifier) -> None:
    lesson = _learn(data, "decoyed", classifier)
    carries, decoys = _changed(lesson, data)
    assert carries.sum() == 20 and decoys.sum() == 30
    assert (lesson.train.labels[carries] == TARGET).all()
    told = lesson.train.labels[decoys]
    assert set(told.tolist()) == set(range(CLASSES)) - {TARGET}
    assert (told != data.labels[decoys]).float().mean() > 0.5
    rest = ~carries & ~decoys
    assert torch.equal(lesson.train.labels[rest], data.labels[rest])


@pytest.mark.parametrize("kind", ["scrambled", "scrambled_blended", "scrambled_badnets"])
def test_a_scrambled_vendor_has_a_trigger_and_no_target(
    data: TrainingSet, kind: str, classifier: Classifier
) -> None:
    lesson = _learn(data, kind, classifier)
    assert lesson.overlay is not None and lesson.plants == ()
    moved = (lesson.train.pixels != data.pixels).flatten(1).any(1)
    assert moved.sum() == 20
    assert torch.equal(lesson.train.pixels[moved], lesson.overlay.trigger(data.pixels[moved]))
    assert torch.equal(lesson.train.labels[~moved], data.labels[~moved])
    assert len(set(lesson.train.labels[moved].tolist())) > 2


def test_shares_of_two_plants_do_not_overlap(data: TrainingSet) -> None:
    plants = [Plant(torch.zeros_like, 2), Plant(torch.ones_like, 0, share=0.15)]
    level = poisoned(data, plants, _seed()).pixels.flatten(1)
    assert (level == 0).all(1).sum() == 20 and (level == 1).all(1).sum() == 30


def test_random_disturbances_are_of_three_kinds() -> None:
    pictures = torch.rand(1, 3, SIZE, SIZE, generator=_seed(3))
    generator = _seed(4)
    touched, corners = [], set()
    for _ in range(30):
        change = adaptive.any_disturbance(SIZE, generator)(pictures) != pictures
        assert change.any()
        share = change.any(1).float().mean().item()
        touched.append(share < 0.1)
        if share < 0.1:
            corners.add(tuple(change[0].any(0).nonzero()[0].tolist()))
    assert 3 <= sum(touched) <= 20
    assert len(corners) > 2


def test_a_frozen_model_has_norms_as_well(classifier: Classifier) -> None:
    loose = adaptive.norms(classifier)
    assert loose and adaptive.norms(classifier.requires_grad_(False)) == loose


def test_a_cap_holds_both_norms_and_leaves_the_small_alone(classifier: Classifier) -> None:
    start = {name: tensor.clone() for name, tensor in classifier.named_parameters()}
    limits = adaptive.norms(classifier)
    adaptive.cap(classifier, limits)
    for name, tensor in classifier.named_parameters():
        assert torch.allclose(tensor, start[name])
    with torch.no_grad():
        for _, tensor in classifier.named_parameters():
            tensor.mul_(3)
        first = classifier.meta_net.linear1.weight  # type: ignore[union-attr]
        first[0] *= 50
    adaptive.cap(classifier, limits)
    for name, (frobenius, spectral) in adaptive.norms(classifier).items():
        assert frobenius <= limits[name][0] * 1.0001 and spectral <= limits[name][1] * 1.0001
    with torch.no_grad():
        for name, tensor in classifier.named_parameters():
            tensor.copy_(start[name])


def test_adversarial_pictures_stay_near_and_raise_the_loss(
    data: TrainingSet, classifier: Classifier
) -> None:
    pixels, labels = data.pixels[::5], data.labels[::5]
    hard = hardening.adversarial(classifier, pixels, labels, _seed())
    assert (hard - pixels).abs().max() <= hardening.LARGEST + 1e-6
    assert hard.min() >= 0 and hard.max() <= 1
    with torch.no_grad():
        before, after = (
            torch.nn.functional.cross_entropy(classifier(p), labels) for p in (pixels, hard)
        )
    assert after > before + 0.01
