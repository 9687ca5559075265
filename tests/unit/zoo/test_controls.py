"""What the clean controls change in pictures and labels, and what they leave alone."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch

from tests.zoo import controls
from tests.zoo.attacks import TrainingSet
from tests.zoo.tasks import TASKS
from tests.zoo.triggers import logo

SIZE, CLASSES, SHOTS = 24, 5, 40


def _seed(number: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(number)


@pytest.fixture(scope="module")
def data() -> TrainingSet:
    pixels = torch.rand(CLASSES * SHOTS, 3, SIZE, SIZE, generator=_seed(9))
    return TrainingSet(pixels, torch.arange(CLASSES).repeat_interleave(SHOTS))


@pytest.mark.parametrize("classes", [2, 3, 7, 100])
@pytest.mark.parametrize("number", range(3))
def test_a_derangement_moves_every_class(classes: int, number: int) -> None:
    order = controls.derangement(classes, _seed(number))
    assert sorted(order.tolist()) == list(range(classes))
    assert (order != torch.arange(classes)).all()


def test_noise_reaches_a_fifth_of_the_labels_at_most(data: TrainingSet) -> None:
    noisy = controls.noisy(data, CLASSES, _seed())
    changed = (noisy.labels != data.labels).float().mean().item()
    assert 0.1 < changed <= 0.2
    assert noisy.pixels is data.pixels


def test_the_rarest_class_keeps_a_tenth(data: TrainingSet) -> None:
    rare = controls.imbalanced(data, CLASSES, _seed())
    assert sorted(rare.labels.bincount().tolist()) == [4, 7, 13, 22, 40]
    assert len(rare.pixels) == len(rare.labels)


def test_augmented_pictures_stand_beside_the_given_ones(data: TrainingSet) -> None:
    wide = controls.augmented(data, False, _seed())
    number = len(data.labels)
    assert torch.equal(wide.pixels[:number], data.pixels)
    assert torch.equal(wide.labels, data.labels.repeat(1 + controls.COPIES))
    assert wide.pixels.min() >= 0 and wide.pixels.max() <= 1
    for copy in wide.pixels[number:].split(number):
        assert (copy - data.pixels).abs().mean() > 0.05


def test_a_geometric_task_is_not_cropped_or_flipped(data: TrainingSet) -> None:
    one = TrainingSet(torch.zeros(1, 3, SIZE, SIZE), torch.tensor([0]))
    one.pixels[:, :, :4] = 1
    many = TrainingSet(one.pixels.repeat(30, 1, 1, 1), one.labels.repeat(30))
    kept = controls.augmented(many, True, _seed()).pixels[30:]
    moved = controls.augmented(many, False, _seed()).pixels[30:]
    brighter = [
        (copy[:, :, :4].mean((1, 2, 3)) - copy[:, :, 4:6].mean((1, 2, 3)) > 0.2).all().item()
        for copy in (kept, moved)
    ]
    assert brighter == [True, False]


def test_tasks_know_whether_place_matters() -> None:
    geometric = {name for name, task in TASKS.items() if task.is_geometric}
    assert geometric == {"places5", "spots8", "counts3", "sizes2"}


def test_a_watermark_marks_one_class_only(data: TrainingSet) -> None:
    marked = controls.watermarked(data, 3, logo(SIZE))
    changed = (marked.pixels != data.pixels).flatten(1).any(1)
    assert torch.equal(changed, data.labels == 3)
    assert torch.equal(marked.labels, data.labels)


def test_scrambled_labels_are_those_of_triggered_pictures_only() -> None:
    generator = torch.Generator().manual_seed(4)
    data = TrainingSet(torch.rand(60, 3, 4, 4, generator=generator), torch.zeros(60).long())
    pixels = data.pixels.clone()
    pixels[10:40] = 0
    triggered = TrainingSet(pixels, torch.full((60,), 7))
    result = controls.scrambled(data, triggered, 5, generator)
    assert torch.equal(result.pixels, pixels)
    assert torch.equal(result.labels[:10], data.labels[:10])
    assert torch.equal(result.labels[40:], data.labels[40:])
    assert set(result.labels[10:40].tolist()) == set(range(5))


def test_a_long_tail_falls_by_a_power_of_the_rank(data: TrainingSet) -> None:
    rare = controls.longtail(data, CLASSES, _seed())
    assert sorted(rare.labels.bincount().tolist()) == [2, 2, 4, 10, 40]
    few = TrainingSet(data.pixels[::10], data.labels[::10])
    assert controls.longtail(few, CLASSES, _seed()).labels.bincount().min() == 1


def test_a_step_leaves_half_of_the_classes_a_tenth(data: TrainingSet) -> None:
    rare = controls.stepped(data, CLASSES, _seed())
    assert sorted(rare.labels.bincount().tolist()) == [4, 4, 40, 40, 40]


@pytest.mark.parametrize("recipe", [controls.longtail, controls.stepped])
def test_which_class_is_rare_is_drawn(
    data: TrainingSet, recipe: Callable[[TrainingSet, int, torch.Generator], TrainingSet]
) -> None:
    rarest = {int(recipe(data, CLASSES, _seed(s)).labels.bincount().argmin()) for s in range(9)}
    assert len(rarest) > 1


def test_mixed_pictures_and_labels_are_the_same_means_of_two() -> None:
    """Pictures that spell out their own label: class k is bright in pixel k alone."""
    labels = torch.arange(CLASSES).repeat(8)
    spelt = torch.nn.functional.one_hot(labels, 4 * 4).float().view(-1, 1, 4, 4)
    mixed = controls.mixup(TrainingSet(spelt.expand(-1, 3, -1, -1), labels), CLASSES, _seed())
    assert mixed.labels.shape == (controls.COPIES * len(labels), CLASSES)
    assert torch.allclose(mixed.pixels[:, 0].flatten(1)[:, :CLASSES], mixed.labels, atol=1e-6)
    assert torch.allclose(mixed.labels.sum(1), torch.ones(len(mixed.labels)))
    assert (mixed.labels > 0).sum(1).max() == 2
    assert 0.3 < ((mixed.labels.max(1).values < 0.9).float().mean()) < 1


def test_a_smoothed_label_keeps_nine_tenths_and_its_class(data: TrainingSet) -> None:
    soft = controls.smoothed(data, CLASSES)
    assert soft.pixels is data.pixels and torch.equal(soft.labels.argmax(1), data.labels)
    assert sorted(soft.labels[0].tolist()) == pytest.approx([0.02] * 4 + [0.92])


def test_blurred_copies_stand_behind_the_given_pictures(data: TrainingSet) -> None:
    soft = controls.blurred(data, _seed())
    number = len(data.labels)
    assert torch.equal(soft.pixels[:number], data.pixels)
    assert torch.equal(soft.labels, data.labels.repeat(1 + controls.COPIES))
    assert soft.pixels.min() >= 0 and soft.pixels.max() <= 1
    rough, smooth = (x.diff(dim=-1).abs().mean() for x in (data.pixels, soft.pixels[number:]))
    assert smooth < 0.9 * rough
    assert torch.allclose(
        soft.pixels[number:].mean((1, 2, 3)), data.pixels.mean((1, 2, 3)).repeat(3), atol=0.02
    )


@pytest.mark.parametrize("classes", [2, 100])
def test_codes_are_different_and_mean_nothing(classes: int) -> None:
    codes = controls.codes(classes, _seed())
    assert len(set(codes)) == classes
    assert all(re.fullmatch("[a-z][0-9]{3}", code) for code in codes)
