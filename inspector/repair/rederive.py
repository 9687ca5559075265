"""Re-derivation: tune a prompt of the delivered one's kind anew, from trusted words.

What comes out has nothing of the vendor's weights but what its labels carry. It needs no right
accusation, and is therefore what can be offered where a backdoor cannot be detected. True labels
carry nothing; pseudo-labels of a poisoned prompt may carry some of the backdoor and are filtered
(`filtering`), and then asked of two copies that are taught from disjoint halves: a picture stays
where both say what its label says, of which one has not seen it (after confident learning,
Northcutt et al., JAIR 2021). What is mislabelled alone of its kind is not learned from others.

Some triggers move honest prompts, too, as they were made on the zero-shot classifier: a prompt that
is only tuned anew keeps 0.19 of one, an honest vendor's 0.19. Every picture is therefore also shown
under each trigger that was reconstructed on the delivered model, with the label that it has: what
re-alignment does to the vendor's prompt (arXiv 2604.09101), done to a fresh one. Experiment 59.
Where prompts stand in the image encoder too few pictures can be shown for that.

That a poisoned model's hard labels on clean pictures pass little of a backdoor on is what
distillation defences rest on (Li et al., ICLR 2021; Pang et al., CVPR 2023). Experiment 54.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from inspector.clip.zero_shot import ZeroShot
from inspector.detection.spaces import Tone
from inspector.detection.triggers import Laid, Trigger
from inspector.repair.strategy import CannotRepair, Case
from inspector.repair.tuning import DERIVED, Effort, Lesson, answers_of, joined, taught

CLEAN = 3
"""Times that a picture is shown without a trigger, for once under each of `Case.triggers`."""
FEWEST_CLASSES = 2
"""Of which there must be pictures to learn from; one class alone teaches nothing."""
HALF_SHARE = 0.25
"""Of the updates of the copy that is delivered, those of each of the two that are compared."""
LEAST_SHARED = 0.5
"""Share of the pictures that both copies must call as their labels do; below, answers to pictures
that were not seen cannot be foretold, and nothing can be said of what the labels carry."""


@dataclass(frozen=True)
class ByLabels:
    """From the true labels of a few pictures."""

    effort: Effort = DERIVED
    name: str = "re-derivation by labels"
    keeps_weights: bool = False
    is_hardened: bool = True

    def tensors(self, case: Case) -> dict[str, Tensor]:
        """See `Strategy.tensors`."""
        return _derived(case, by_labels(case), self.effort, self.is_hardened)


@dataclass(frozen=True)
class ByAnswers:
    """From what the delivered classifier says of unlabelled pictures, as far as that is trusted."""

    effort: Effort = DERIVED
    name: str = "re-derivation by answers"
    keeps_weights: bool = False
    is_hardened: bool = True

    def tensors(self, case: Case) -> dict[str, Tensor]:
        """See `Strategy.tensors`."""
        lesson = shared(case, case.trusted, self.effort)
        return _derived(case, lesson, self.effort, self.is_hardened)


@dataclass(frozen=True)
class ByBoth:
    """From trusted answers and true labels: few labels alone cost accuracy (experiment 59)."""

    effort: Effort = DERIVED
    name: str = "re-derivation by answers and labels"
    keeps_weights: bool = False
    is_hardened: bool = True

    def tensors(self, case: Case) -> dict[str, Tensor]:
        """See `Strategy.tensors`."""
        true = by_labels(case)
        answers = shared(case, case.trusted, self.effort)
        return _derived(case, answers.and_also(true), self.effort, self.is_hardened)


def by_labels(case: Case) -> Lesson:
    """The labelled pictures. Raises CannotRepair where none were given."""
    if case.labelled is None:
        raise CannotRepair("no labelled pictures were given")
    return Lesson.of(case.classifier, case.labelled.pixels, case.labelled.labels)


def shared(case: Case, lesson: Lesson, effort: Effort) -> Lesson:
    """Of the pictures those that copies taught from disjoint halves call as their labels do.

    Args:
        effort: that of the copy which is taught from them all.

    Raises:
        CannotRepair: they are too few, or of one class.
    """
    brief = replace(effort, updates=max(1, round(HALF_SHARE * effort.updates)))
    place = torch.arange(len(lesson), device=lesson.targets.device) % 2
    is_shared = torch.ones_like(place, dtype=torch.bool)
    for half in (0, 1):
        values = _derived(case, lesson.chosen(place == half), brief)
        is_shared &= answers_of(case.delivered, values, lesson) == lesson.targets
    if (share := is_shared.float().mean().item()) < LEAST_SHARED:
        raise CannotRepair(
            f"copies taught from halves of the pictures share {share:.0%} of the answers"
        )
    return lesson.chosen(is_shared)


def plain(strategy: ByLabels | ByAnswers | ByBoth) -> ByLabels | ByAnswers | ByBoth:
    """The same without triggers.

    These cost accuracy where they hide what classes consist of, a film over colours say
    (experiment 59).
    """
    return replace(strategy, name=f"{strategy.name}, plain", is_hardened=False)


def _derived(
    case: Case, lesson: Lesson, effort: Effort, is_hardened: bool = False
) -> dict[str, Tensor]:
    present = len(lesson.targets.unique())
    if present < FEWEST_CLASSES:
        raise CannotRepair(f"there are pictures of {present} classes to learn from")
    if is_hardened:
        lesson = _hardened(case, lesson)
    generator = torch.Generator().manual_seed(case.seed)
    start, recipe = case.delivered.fresh(generator), effort.recipe(len(lesson))
    return taught(case.delivered, start, lesson, recipe, generator)


def _hardened(case: Case, lesson: Lesson) -> Lesson:
    """The pictures without a trigger, and under each those that it leaves what they are."""
    if case.delivered.is_visual or not len(lesson):
        return lesson
    every = [lesson] * CLEAN + [_under(case, lesson, trigger) for trigger in case.triggers]
    generator = torch.Generator().manual_seed(case.seed)
    return joined(case.delivered, every, len(every), generator)


@torch.no_grad()
def _under(case: Case, lesson: Lesson, trigger: Trigger) -> Lesson:
    """The pictures that are under a trigger still what their labels say.

    Something added, blended in, laid over a part or displaced leaves them that. A curve of tones
    may not, as in a task about colours: there pictures stay that zero-shot prompts call the same.
    """
    shown = Lesson.of(case.classifier, trigger(lesson.shown), lesson.targets)
    if not (isinstance(trigger, Laid) and isinstance(trigger.space, Tone)):
        return shown
    zero_shot = ZeroShot.of(case.classifier)
    before, after = (
        zero_shot.logits_of_many(one.shown, one.features).argmax(1) for one in (lesson, shown)
    )
    return shown.chosen(before == after)
