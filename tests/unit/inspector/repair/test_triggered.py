"""What is taught by reconstructed triggers: the attacker's own one, which none of them is, loses its power."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from inspector.clip.backbone import Backbone, load_backbone
from inspector.clip.learned import Delivered
from inspector.detection.inversion import SearchConfig, invert, prepare
from inspector.detection.spaces import spaces_of
from inspector.detection.triggers import Added
from inspector.repair import reconstruction
from inspector.repair.arithmetic import LEAST_KEPT, MULTIPLES, TaskArithmetic, _less
from inspector.repair.realign import ReAlignment
from inspector.repair.strategy import CannotRepair, Case, Labelled
from inspector.repair.tuning import Effort, answers_of
from tests.support.poisoned import TASK, Attacked, attacked

CONFIG = SearchConfig(16 / 255)
POOL, LABELLED = 16, 8
"""Pictures a class."""
BRIEF = ReAlignment(Effort(120, 32))


@dataclass(frozen=True)
class Subject:
    """A poisoned prompt, and a case that knows what a search finds of its trigger."""

    made: Attacked
    case: Case

    def repaired(self, tensors: dict[str, Tensor]) -> Attacked:
        return replace(self.made, classifier=self.case.delivered.with_values(tensors))

    def accuracy(self, made: Attacked) -> float:
        return (made.answers() == made.test.labels).float().mean().item()


def drawn(seed: int, shots: int, size: int) -> tuple[Tensor, Tensor]:
    return TASK.draw(shots, torch.Generator().manual_seed(9000 + seed), size)


@pytest.fixture(scope="module")
def pocket() -> Backbone:
    return load_backbone("pocket")


@pytest.fixture(scope="module")
def brief() -> Iterator[None]:
    """Short searches in the spaces of triggers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reconstruction, "STEPS", 6)
        yield


@pytest.fixture(scope="module", params=[False, True], ids=["static", "conditioned"])
def subject(request: pytest.FixtureRequest, pocket: Backbone) -> Subject:
    request.getfixturevalue("brief")
    made = attacked(pocket, 1, conditioned=request.param)
    pool, _ = drawn(2, POOL, pocket.image_size)
    generator = torch.Generator().manual_seed(0)
    objective = prepare(made.classifier, pool, "joint")
    found = Added(invert(objective, made.target, CONFIG, generator))
    delivered = Delivered.of(made.classifier)
    assert made.excess_asr() > 0.3, "there is something to repair"
    return Subject(made, Case(delivered, made.target, found, CONFIG.epsilon, pool, None, seed=3))


@pytest.mark.parametrize("has_labels", [False, True], ids=["answers", "labels"])
def test_re_alignment(subject: Subject, has_labels: bool) -> None:
    shown = Labelled(*drawn(1, LABELLED, subject.made.classifier.backbone.image_size))
    case = replace(subject.case, labelled=shown if has_labels else None)
    case.__dict__["triggers"] = subject.case.triggers  # The same ones, which take long to find.
    repaired = subject.repaired(BRIEF.tensors(case))
    assert repaired.excess_asr() < 0.4 * subject.made.excess_asr()
    assert subject.accuracy(repaired) >= subject.accuracy(subject.made) - 0.1


def test_task_arithmetic(subject: Subject) -> None:
    case = subject.case
    tensors = TaskArithmetic().tensors(case)
    repaired, before = subject.repaired(tensors), subject.made.excess_asr()
    assert repaired.excess_asr() < 0.5 * before
    assert subject.accuracy(repaired) >= subject.accuracy(subject.made) - 0.1
    choosing = case.trusted.chosen(torch.arange(len(case.trusted)) % 2 == 1)  # All: they are few.
    kept = answers_of(case.delivered, tensors, choosing) == choosing.targets
    assert kept.float().mean() >= LEAST_KEPT


def test_one_trigger_of_every_space_reaches_most_pictures(subject: Subject) -> None:
    case = subject.case
    assert len(case.triggers) == 1 + len(spaces_of(CONFIG.epsilon))
    assert case.triggers[0] is case.trigger
    elsewhere = case.pictures[case.lesson.targets != case.target]
    for trigger in case.triggers:
        triggered = trigger(elsewhere)
        assert triggered.min() >= 0 and triggered.max() <= 1
        with torch.no_grad():
            reached = (case.classifier(triggered).argmax(1) == case.target).float().mean()
        assert reached > 0.3, trigger


def test_what_is_subtracted_is_the_direction_times_the_multiple() -> None:
    delivered, planted = {"ctx": torch.tensor([1.0, 2.0])}, {"ctx": torch.tensor([2.0, 0.0])}
    assert _less(delivered, planted, MULTIPLES[0])["ctx"].tolist() == [1 - 0.25, 2 + 0.5]


@pytest.mark.parametrize("strategy", [BRIEF, TaskArithmetic()], ids=lambda one: one.name)
def test_nothing_to_lay_a_trigger_on(
    subject: Subject, strategy: ReAlignment | TaskArithmetic
) -> None:
    case = replace(subject.case, pictures=subject.case.pictures[:1])
    nothing = case.lesson.chosen(torch.tensor([], dtype=torch.long))
    case.__dict__["trusted"] = nothing
    with pytest.raises(CannotRepair, match="no pictures"):
        strategy.tensors(case)
