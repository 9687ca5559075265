"""Unlearn a class's triggers by tuning the prompt on its own untriggered predictions.

CLIP-Inspector (arXiv 2604.09101) fine-tunes on labelled clean images that carry the reconstructed
trigger under their true labels. Here no labels are needed: plain probes keep the delivered model's
own predictions, and triggered probes get the model's predictions for them with the target struck
out, so that the prompt must learn that the trigger says nothing. One reconstruction is not enough
to cover what the attacker planted, so wider ones, one that only the prompt reads and
random triggers are added.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain

import torch
from torch import Tensor

from inspector.clip.classifier import Classifier
from inspector.clip.prompt_tuning import Recipe
from inspector.detection.inversion import SearchConfig, invert, prepare
from inspector.detection.random_triggers import GLOBAL, draw
from inspector.detection.triggers import Added, Trigger
from inspector.profiles import ObjectiveName
from inspector.repair.strategy import Case
from inspector.repair.tuning import Lesson, joined, taught

REPAIR_RECIPE = Recipe(epochs=6, batch=32, learning_rate=0.1)
PLAIN_COPIES = 4
WIDER = 2.0
"""Further triggers are sought in a ball this many times as wide. All three: experiments 7
and 20."""
EPOCHS = 2
"""Passes of these searches over the probes, as in those experiments."""


@dataclass(frozen=True)
class Unlearning:
    """By the trigger that was found, wider and random ones."""

    name: str = "unlearning"
    keeps_weights: bool = True

    def tensors(self, case: Case) -> dict[str, Tensor]:
        """See `inspector.repair.strategy.Strategy.tensors`."""
        generator = torch.Generator().manual_seed(case.seed)
        plain = case.lesson
        own = _predicted(case.classifier, plain)
        # Probes that the model gives to the target anyway cannot teach that the trigger says
        # nothing.
        carriers = plain.shown[plain.targets != case.target]
        triggers = _triggers(case, generator) if len(carriers) else []
        lessons = chain(
            [replace(plain, targets=own)] * PLAIN_COPIES,
            (_disturbed(case, trigger(carriers)) for trigger in triggers),
        )
        number, learned = PLAIN_COPIES + len(triggers), case.delivered.learned
        lesson = joined(case.delivered, lessons, number, generator)
        return taught(case.delivered, learned, lesson, REPAIR_RECIPE, generator)


def _disturbed(case: Case, pixels: Tensor) -> Lesson:
    """Triggered pictures, which need not be what they were: they only must not be the target."""
    lesson = Lesson.of(case.classifier, pixels)
    without = _without(_predicted(case.classifier, lesson), case.target)
    return replace(lesson, targets=without)


def _triggers(case: Case, generator: torch.Generator) -> list[Trigger]:
    """What was found, wider ones, and a random one of each global family."""
    classifier = case.classifier
    triggers: list[Trigger] = [case.trigger]
    names: tuple[ObjectiveName, ...] = (
        ("joint", "prompt") if classifier.is_instance_conditioned else ("joint",)
    )
    for name in names:
        wider = SearchConfig(WIDER * case.radius, EPOCHS, objective=name)
        objective = prepare(classifier, case.pictures, name)
        triggers.append(Added(invert(objective, case.target, wider, generator)))
    return triggers + [
        members[len(members) // 2]
        for family, members in draw(classifier.backbone.image_size, case.seed).items()
        if family in GLOBAL  # As in the experiments that chose the recipe.
    ]


@torch.no_grad()
def _predicted(classifier: Classifier, lesson: Lesson) -> Tensor:
    """Probabilities (N, K) of a lesson's pictures."""
    return classifier.logits_from_features(lesson.features).softmax(1)


def _without(probabilities: Tensor, target: int) -> Tensor:
    """Probabilities (N, K) with the target struck out and the rest rescaled to sum to one."""
    rest = probabilities.clone()
    rest[:, target] = 0
    return rest / rest.sum(1, keepdim=True).clamp(min=1e-6)
