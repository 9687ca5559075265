"""Which answers to a pool teach: steady ones that others foretell; triggered pictures and wrong labels hardly."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from inspector.clip.backbone import Backbone, load_backbone
from inspector.clip.learned import Delivered
from inspector.detection.triggers import Added
from inspector.repair.rederive import LEAST_SHARED, ByAnswers, shared
from inspector.repair.strategy import CannotRepair, Case
from inspector.repair.tuning import Effort, Lesson
from inspector.repair.views import VIEWS, steady
from tests.support.poisoned import CLASSES, TASK, Attacked, attacked

POOL, POISON = 30, 6
"""Pictures a class, and of all that carry the attacker's trigger: one in twenty."""
EFFORT = Effort(320, 8)


@pytest.fixture(scope="module")
def pocket() -> Backbone:
    return load_backbone("pocket")


@pytest.fixture(scope="module")
def made(pocket: Backbone) -> Attacked:
    return attacked(pocket, 0, conditioned=True)


@pytest.fixture(scope="module")
def case(made: Attacked) -> Case:
    """A pool of which the first pictures that are not of the target carry the attacker's trigger."""
    pixels, labels = drawn(made)
    carriers = (labels != made.target).nonzero()[:, 0][:POISON]
    pixels[carriers] = made.trigger(pixels[carriers])
    order = torch.cat(
        [carriers, torch.tensor(sorted(set(range(len(pixels))) - {*carriers.tolist()}))]
    )
    nothing = Added(torch.zeros_like(pixels[0]))
    delivered = Delivered.of(made.classifier)
    return Case(delivered, made.target, nothing, 16 / 255, pixels[order], None, seed=5)


def drawn(made: Attacked) -> tuple[Tensor, Tensor]:
    size = made.classifier.backbone.image_size
    return TASK.draw(POOL, torch.Generator().manual_seed(9100), size)


def test_views_are_other_pictures_of_the_same_size_and_range(made: Attacked) -> None:
    pixels, _ = drawn(made)
    for view in VIEWS:
        seen = view(pixels)
        assert seen.shape == pixels.shape
        assert seen.min() >= 0 and seen.max() <= 1
        assert 0.001 < (seen - pixels).abs().mean() < 0.1
    middle = pixels[:, :, 20:28, 20:28].clone()
    cropped = VIEWS[0](pixels)[:, :, 20:28, 20:28]
    assert (cropped - middle).abs().mean() < 0.2, "the middle stays about where it is"


def test_steady_answers_are_those_that_no_view_changes(made: Attacked) -> None:
    pixels, _ = drawn(made)
    lesson = Lesson.of(made.classifier, pixels)
    is_steady = steady(made.classifier, lesson)
    changed = replace(lesson, targets=(lesson.targets + 1) % CLASSES)
    assert 0.7 < is_steady.float().mean() <= 1
    assert steady(made.classifier, changed).float().mean() < 0.2


def test_few_triggered_pictures_are_trusted(made: Attacked, case: Case) -> None:
    is_hit = case.lesson.targets[:POISON] == made.target
    assert is_hit.sum() >= POISON // 2, "the trigger works"
    kept = {tuple(one.flatten()[:200].tolist()) for one in case.trusted.shown}
    is_kept = torch.tensor([tuple(one.flatten()[:200].tolist()) in kept for one in case.pictures])
    assert (is_kept[:POISON] & is_hit).sum() <= 1
    assert is_kept[POISON:].float().mean() > 0.6


def test_a_poisoned_pool_teaches_a_prompt_that_the_trigger_does_not_move(
    made: Attacked, case: Case
) -> None:
    tensors = ByAnswers(EFFORT).tensors(case)
    copy = replace(made, classifier=case.delivered.with_values(tensors))
    assert made.excess_asr() > 0.3
    assert copy.excess_asr() < 0.1
    assert (copy.answers() == made.test.labels).float().mean() > 0.9


def test_labels_that_copies_taught_from_other_pictures_do_not_share_are_dropped(
    made: Attacked, case: Case
) -> None:
    pixels, labels = drawn(made)
    wrong = torch.arange(len(labels)) % 15 == 0
    told = torch.where(wrong, (labels + 1) % CLASSES, labels)
    lesson = Lesson.of(made.classifier, pixels, told)
    kept = shared(case, lesson, EFFORT)
    right = {(tuple(one.flatten()[:200].tolist()), int(label))
             for one, label in zip(pixels, labels, strict=True)}  # fmt: skip
    is_right = [
        (tuple(one.flatten()[:200].tolist()), int(label)) in right
        for one, label in zip(kept.shown, kept.targets, strict=True)
    ]
    assert sum(is_right) >= 0.8 * int((~wrong).sum())
    assert is_right.count(False) <= 0.25 * int(wrong.sum())


def test_labels_that_nobody_can_foretell_are_refused(made: Attacked, case: Case) -> None:
    pixels, labels = drawn(made)
    shuffled = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(1))]
    with pytest.raises(CannotRepair, match="share") as caught:
        shared(case, Lesson.of(made.classifier, pixels, shuffled), Effort(80, 8))
    share = int(str(caught.value).split("share ")[1].split("%")[0])
    assert share < 100 * LEAST_SHARED
