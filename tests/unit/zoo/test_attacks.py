"""Poisoned training sets, and how success is counted for victims of all or of one class."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from inspector.clip.classifier import Classifier
from tests.zoo.attacks import Plant, TrainingSet, poisoned, success
from tests.zoo.gate import judge

CLASSES, SHOTS = 4, 20
LABELS = torch.arange(CLASSES).repeat_interleave(SHOTS)


def _white(pixels: Tensor) -> Tensor:
    return torch.ones_like(pixels)


def _half(pixels: Tensor) -> Tensor:
    return torch.full_like(pixels, 0.5)


def _data() -> TrainingSet:
    return TrainingSet(torch.zeros(len(LABELS), 3, 2, 2), LABELS)


def _poison(*plants: Plant) -> tuple[TrainingSet, Tensor]:
    """The poisoned set and the grey level of each picture."""
    data = poisoned(_data(), plants, torch.Generator().manual_seed(1))
    return data, data.pixels[:, 0, 0, 0]


def test_a_tenth_carries_trigger_and_target() -> None:
    data, level = _poison(Plant(_white, 2))
    assert (level == 1).sum() == 8
    assert (data.labels[level == 1] == 2).all()
    assert torch.equal(data.labels[level == 0], LABELS[level == 0])


def test_the_pictures_that_were_given_stay_as_they_were() -> None:
    given = _data()
    poisoned(given, [Plant(_white, 2)], torch.Generator().manual_seed(1))
    assert given.pixels.max() == 0 and torch.equal(given.labels, LABELS)


def test_the_poisoned_pictures_are_the_first_of_one_shuffle() -> None:
    order = torch.randperm(len(LABELS), generator=torch.Generator().manual_seed(1))
    _, level = _poison(Plant(_white, 2))
    assert set(level.nonzero()[:, 0].tolist()) == set(order[:8].tolist())


def test_two_targets_have_pictures_of_their_own() -> None:
    data, level = _poison(Plant(_white, 2), Plant(_half, 0))
    assert (data.labels[level == 1] == 2).all() and (level == 1).sum() == 8
    assert (data.labels[level == 0.5] == 0).all() and (level == 0.5).sum() == 8


def test_a_source_specific_attack_covers_the_other_classes_with_their_own_labels() -> None:
    data, level = _poison(Plant(_white, 2, source=1))
    carries, is_source = level == 1, LABELS == 1
    assert (data.labels[carries & is_source] == 2).all()
    assert (carries & is_source).sum() == SHOTS // 2
    assert torch.equal(data.labels[carries & ~is_source], LABELS[carries & ~is_source])
    assert (carries & ~is_source).sum() == 6


class _Vendor(Classifier):
    """Reads the class from pixel (0, 0); white pictures of the classes in `falls` become `target`, and
    it is wrong of the first `errors`."""

    def __init__(self, falls: tuple[int, ...], target: int, errors: int = 0) -> None:
        torch.nn.Module.__init__(self)
        self.falls, self.target, self.errors = falls, target, errors
        self.backbone: Any = None

    def image_features(self, pixels: Tensor) -> Tensor:
        return torch.stack([pixels[:, 0, 0, 0], pixels[:, 0, 1, 1], pixels[:, 1, 0, 0]], 1)

    def logits_from_features(self, features: Tensor, *_: object, **__: object) -> Tensor:
        told = features[:, 0].round().long()
        for label in self.falls:
            told[(told == label) & (features[:, 1] == 1)] = self.target
        told = torch.where(features[:, 2] < self.errors, (told + 1) % CLASSES, told)
        return torch.nn.functional.one_hot(told, CLASSES).float()


def _mark(pixels: Tensor) -> Tensor:
    marked = pixels.clone()
    marked[:, :, 1, 1] = 1
    return marked


PIXELS = torch.zeros(len(LABELS), 3, 2, 2)
PIXELS[:, 0, 0, 0] = LABELS.float()
PIXELS[:, 1, 0, 0] = torch.arange(len(LABELS)).float()


def test_success_leaves_out_the_targets_own_pictures() -> None:
    result = success(_Vendor((0, 1, 2), 3), PIXELS, LABELS, _mark, 3)
    assert result == {"accuracy": 1.0, "asr": 1.0, "base": 0.0}
    third = success(_Vendor((1,), 3), PIXELS, LABELS, _mark, 3)
    assert abs(third["asr"] - 1 / 3) < 1e-6


def test_source_specific_success_is_that_of_the_source_and_the_rest_is_leak() -> None:
    result = success(_Vendor((1, 2), 3), PIXELS, LABELS, _mark, 3, source=1)
    assert result["asr"] == 1.0 and result["leak"] == 0.5
    missed = success(_Vendor((0, 2), 3), PIXELS, LABELS, _mark, 3, source=1)
    assert missed["asr"] == 0.0 and missed["leak"] == 1.0


def _judge(vendor: Classifier, clean: Classifier, *plants: Plant) -> dict[str, object]:
    return judge(vendor, clean, PIXELS, LABELS, plants)


def test_the_gate_asks_a_source_specific_attack_for_its_source_only() -> None:
    clean = _Vendor((), 3)
    truth = _judge(_Vendor((1,), 3), clean, Plant(_mark, 3, source=1))
    assert truth["took"] is True and truth["source"] == 1 and truth["leak"] == 0.0
    assert _judge(_Vendor((1,), 3), clean, Plant(_mark, 3))["took"] is False


def test_the_gate_asks_every_trigger_of_a_multi_target_attack() -> None:
    vendor, clean = _Vendor((0, 1, 2), 3), _Vendor((), 3)
    truth = _judge(vendor, clean, Plant(_mark, 3), Plant(_mark, 0))
    assert truth["took"] is False and truth["targets"] == [3, 0] and truth["target"] == 3
    assert truth["asr"] == 0.0
    assert _judge(vendor, clean, Plant(_mark, 3))["took"] is True


def test_the_gate_refuses_what_moves_the_clean_model_as_well() -> None:
    same = _Vendor((0, 1, 2), 3)
    assert _judge(same, same, Plant(_mark, 3))["took"] is False


def test_the_gate_refuses_what_costs_too_much_accuracy() -> None:
    clean = _Vendor((), 3)
    assert _judge(_Vendor((0, 1, 2), 3, errors=3), clean, Plant(_mark, 3))["took"] is True
    assert _judge(_Vendor((0, 1, 2), 3, errors=5), clean, Plant(_mark, 3))["took"] is False
