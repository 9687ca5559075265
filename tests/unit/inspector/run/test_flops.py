"""Floating-point operations as they are told, held against those that torch counts in the same work."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from inspector.clip.backbone import Backbone
from inspector.clip.classifier import Classifier, Work
from inspector.clip.prompt_tuning import new_learner
from inspector.run.flops import budget_of, operations

NAMES = ["red circle", "blue star", "green square", "black cross", "tall ship"]


@pytest.fixture(params=["vit", "resnet"])
def backbone(request: pytest.FixtureRequest) -> Backbone:
    made: Backbone = request.getfixturevalue(request.param)
    return made


def learner(backbone: Backbone, *, conditioned: bool, classes: int = 3) -> Classifier:
    generator = torch.Generator().manual_seed(3)
    made = new_learner(backbone, NAMES[:classes], conditioned=conditioned, generator=generator)
    return made.requires_grad_(False)


def pictures(backbone: Backbone, count: int) -> torch.Tensor:
    size = backbone.image_size
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(1))


def counted(classifier: Classifier, work: Callable[[], object]) -> tuple[int, int]:
    """What torch counts in `work`, and what is told of what the classifier counted in it."""
    classifier.work = Work()
    with FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops()), operations(classifier, classifier.work)


def test_pictures_forward(backbone: Backbone) -> None:
    classifier = learner(backbone, conditioned=True)
    seen = pictures(backbone, 5).requires_grad_()  # Else fused kernels hide from torch's counter.
    torch_s, told = counted(classifier, lambda: classifier.backbone.image_features(seen))
    assert told == 0, "nothing was asked of the classifier"
    torch_s, _ = counted(classifier, lambda: classifier.image_features(seen))
    assert operations(classifier, Work(image_forward=5)) == torch_s


def test_pictures_there_and_back(backbone: Backbone) -> None:
    """Through a frozen encoder only the gradient of what goes in is computed, which costs as much."""
    classifier = learner(backbone, conditioned=True)
    seen = pictures(backbone, 4).requires_grad_()
    torch_s, told = counted(classifier, lambda: classifier.image_features(seen).sum().backward())
    assert classifier.work == Work(image_forward=4, image_backward=4)
    assert told == pytest.approx(torch_s, rel=0.1)


def test_prompts_that_read_and_are_tuned(vit: Backbone) -> None:
    classifier = learner(vit, conditioned=True)
    features = torch.randn(6, vit.embed_dim, generator=torch.Generator().manual_seed(2))
    features = torch.nn.functional.normalize(features, dim=1).requires_grad_()
    torch_s, told = counted(classifier, lambda: classifier.text_features(features).sum().backward())
    assert told == pytest.approx(torch_s, rel=0.15)


@pytest.mark.parametrize("conditioned", [False, True])
def test_more_work_is_more_operations_and_none_is_none(vit: Backbone, conditioned: bool) -> None:
    classifier = learner(vit, conditioned=conditioned)
    assert operations(classifier, Work()) == 0
    some = Work(image_forward=8, image_backward=4, text_tokens=300)
    base = operations(classifier, some)
    for field in ("image_forward", "image_backward", "text_tokens"):
        more = Work(**{**vars(some), field: vars(some)[field] + 1})
        assert operations(classifier, more) > base
    assert operations(classifier, some + some) == pytest.approx(2 * base, abs=1)


def test_more_classes_make_a_picture_cost_more(vit: Backbone) -> None:
    """Of prompts that read it; a static prompt is encoded once."""
    seen = pictures(vit, 4)
    for conditioned in (True, False):
        told = [
            counted(made, lambda made=made: made(seen))[1]  # type: ignore[misc]
            for made in (learner(vit, conditioned=conditioned, classes=n) for n in (2, 5))
        ]
        assert told[1] > told[0]
    static = learner(vit, conditioned=False)
    first, again = (counted(static, lambda: static(seen))[1] for _ in range(2))
    assert again < first, "the text of a frozen static prompt is kept"
    assert again == operations(static, Work(image_forward=4))


def test_the_report_tells_all_that_was_counted(vit: Backbone) -> None:
    classifier = learner(vit, conditioned=True)
    seen = pictures(vit, 3).requires_grad_()
    classifier.work = Work()
    classifier(seen).sum().backward()
    told = budget_of(classifier, 1.23456)
    assert {key: told[key] for key in vars(classifier.work)} == vars(classifier.work)
    assert told["image_forward"] == told["image_backward"] == 3
    assert told["flops"] == operations(classifier, classifier.work) > 0
    assert (told["seconds"], told["device"], told["precision"]) == (1.235, "cpu", "fp32")
