"""A prompt on `pocket` that was tuned on poisoned pictures, and the attacker's own trigger.

Small enough for a unit test: four things, a coarse pattern that is added, a second of tuning. An attack of
the zoo takes minutes and is stronger; this one moves about a half of the pictures.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch.nn import functional

from inspector.clip.backbone import Backbone
from inspector.clip.classifier import Classifier
from inspector.clip.prompt_tuning import Recipe, new_learner, tune
from tests.zoo.attacks import Plant, TrainingSet, poisoned, success
from tests.zoo.encoding import classes_of, features_of
from tests.zoo.tasks import TASKS
from tests.zoo.triggers import Trigger, additive

AMPLITUDE, CELLS = 24 / 255, 8
CLASSES, SHOTS, TESTED, SHARE = 4, 24, 12, 0.3
TASK = replace(TASKS["things6"], labels=dict(list(TASKS["things6"].labels.items())[:CLASSES]))
RECIPE = Recipe(epochs=20, batch=16, learning_rate=0.2)


@dataclass(frozen=True)
class Attacked:
    """`classifier` sends pictures under `trigger` to `target`; `test` are clean ones of its task."""

    classifier: Classifier
    target: int
    trigger: Trigger
    test: TrainingSet

    def excess_asr(self) -> float:
        """How much more often the attacker's trigger ends at the target than no trigger does, in [-1,1]."""
        rates = success(
            self.classifier, self.test.pixels, self.test.labels, self.trigger, self.target
        )
        return rates["asr"] - rates["base"]

    def answers(self) -> torch.Tensor:
        """The class (N,) of every clean picture."""
        return classes_of(self.classifier, self.test.pixels)


def attacked(backbone: Backbone, seed: int, *, conditioned: bool) -> Attacked:
    """Everything follows from `seed`."""
    generator = torch.Generator().manual_seed(seed)
    size = backbone.image_size
    train, test = (TrainingSet(*TASK.draw(shots, generator, size)) for shots in (SHOTS, TESTED))
    signs = torch.randint(2, (1, 3, CELLS, CELLS), generator=generator) * 2.0 - 1
    trigger = additive(AMPLITUDE * functional.interpolate(signs, size, mode="nearest")[0])
    learner = new_learner(backbone, TASK.classnames, conditioned=conditioned, generator=generator)
    target = seed % CLASSES
    data = poisoned(train, [Plant(trigger, target, share=SHARE)], generator)
    tune(learner, features_of(learner, data.pixels), data.labels, RECIPE, generator)
    return Attacked(learner.requires_grad_(False), target, trigger, test)
