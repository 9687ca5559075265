"""Twins say on clean pictures what a classifier says, and nothing of what a trigger does to it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from inspector.clip.backbone import Backbone, load_backbone
from inspector.clip.batches import encoded
from inspector.twins.answers import Answers
from inspector.twins.linear import LinearTwin
from tests.zoo.tasks import TASKS

TASK = TASKS["counts3"]


@pytest.fixture(scope="module")
def pocket() -> Backbone:
    return load_backbone("pocket")


@pytest.fixture(scope="module")
def told(pocket: Backbone) -> Answers:
    """Rendered pictures of three classes under their true labels."""
    pixels, labels = TASK.draw(20, torch.Generator().manual_seed(1), pocket.image_size)
    return Answers(encoded(pocket, pixels), labels)


def _linear(pocket: Backbone, answers: Answers, others: Answers) -> LinearTwin:
    text = pocket.zero_shot(TASK.classnames)
    return LinearTwin.taught(answers, others, text, torch.as_tensor(pocket.logit_scale))


def _share(logits: Tensor, labels: Tensor) -> float:
    return (logits.argmax(1) == labels).float().mean().item()


def test_a_linear_twin_follows_what_zero_shot_prompts_do_not_say(
    pocket: Backbone, told: Answers
) -> None:
    permuted = Answers(told.features, (told.labels + 1) % 3)
    first, second = permuted.shares(2)
    twin = _linear(pocket, first, second)
    zero_shot = told.features @ pocket.zero_shot(TASK.classnames).T
    assert twin.agreement == pytest.approx(_share(twin.logits(second.features), second.labels))
    assert twin.agreement > 0.6 > 0.4 > _share(zero_shot, permuted.labels)


def test_where_zero_shot_prompts_are_right_it_stays_nearest_to_them(
    pocket: Backbone, told: Answers
) -> None:
    zero_shot = pocket.logit_scale * told.features @ pocket.zero_shot(TASK.classnames).T
    alike = Answers.of(told.features, zero_shot)
    twin = _linear(pocket, *alike.shares(2))
    assert twin.agreement > 0.9
    moved = (twin.weight - pocket.logit_scale * pocket.zero_shot(TASK.classnames)).norm()
    assert moved < 0.2 * twin.weight.norm()


def test_its_logits_are_differentiable_in_the_features(pocket: Backbone, told: Answers) -> None:
    twin = _linear(pocket, *told.shares(2))
    features = told.features[:4].clone().requires_grad_()
    twin.logits(features).sum().backward()
    assert features.grad is not None and features.grad.abs().sum() > 0


def test_shares_are_disjoint_and_whole(told: Answers) -> None:
    shares = told.shares(3)
    assert sum(len(one) for one in shares) == len(told)
    assert torch.equal(torch.cat([one.features for one in shares]).sort(0).values,
                       told.features.sort(0).values)  # fmt: skip


def test_nothing_to_learn_from_is_refused(pocket: Backbone, told: Answers) -> None:
    nothing = told.chosen(torch.tensor([], dtype=torch.long))
    with pytest.raises(ValueError, match="pictures to learn from"):
        _linear(pocket, nothing, told)
    with pytest.raises(ValueError, match="1 labels for 60 features"):
        Answers(told.features, told.labels[:1])
