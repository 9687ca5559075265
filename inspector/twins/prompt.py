"""A prompt twin: a fresh prompt, tuned on a delivered classifier's answers to clean pictures.

It starts at "a photo of a" on the trusted backbone and is tuned as its vendor would tune, CoOp's or
CoCoOp's kind, on labels that the delivered classifier gives (or on true ones): nothing of the
vendor's weights is in it but what these labels carry.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from inspector.clip.classifier import Classifier
from inspector.clip.prompt_tuning import Recipe, new_learner_like, tune
from inspector.twins.answers import Answers


@dataclass(frozen=True)
class Effort:
    """Updates, whatever the number of pictures; pictures an update; peak rate of SGD."""

    updates: int
    batch: int
    rate: float = 0.1


DELIVERED = Effort(1500, 8)
"""What a vendor spends on a prompt of either kind: experiments 10 and 54."""


def twin_like(
    classifier: Classifier, answers: Answers, seed: int, effort: Effort = DELIVERED
) -> Classifier:
    """A frozen prompt of the shape and layout of `classifier`, to be delivered in its place.

    Args:
        seed: of its first weights and of the order of pictures.

    Raises:
        ValueError: there is no picture.
    """
    generator = torch.Generator().manual_seed(seed)
    return _taught(new_learner_like(classifier, generator), answers, effort, generator)


def _taught(
    learner: Classifier, answers: Answers, effort: Effort, generator: torch.Generator
) -> Classifier:
    if not len(answers):
        raise ValueError("a twin needs pictures to learn from")
    epochs = max(2, round(effort.updates * effort.batch / len(answers)))
    recipe = Recipe(epochs=epochs, batch=effort.batch, learning_rate=effort.rate)
    with torch.enable_grad():
        tune(learner, answers.features, answers.labels, recipe, generator)
    return learner.requires_grad_(False)
