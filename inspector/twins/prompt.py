"""A prompt twin: a fresh prompt, tuned on a delivered classifier's answers to clean pictures.

It starts at "a photo of a" on the trusted backbone and is tuned as its vendor would tune, CoOp's or
CoCoOp's kind, on labels that the delivered classifier gives (or on true ones): nothing of the
vendor's weights is in it but what these labels carry.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from inspector.clip.backbone import Backbone
from inspector.clip.classifier import Classifier
from inspector.clip.prompt_tuning import Recipe, new_learner, tune
from inspector.twins.answers import Answers


@dataclass(frozen=True)
class Effort:
    """Updates, whatever the number of pictures; pictures an update; peak rate of SGD."""

    updates: int
    batch: int
    rate: float = 0.1


STATIC, CONDITIONED = Effort(400, 16), Effort(500, 8)
"""Experiment 53: what a reference needs; a prompt that is delivered is tuned longer."""


def prompt_twin(
    backbone: Backbone, classnames: Sequence[str], answers: Answers, seed: int,
    *, conditioned: bool, effort: Effort | None = None,
) -> Classifier:  # fmt: skip
    """A frozen prompt, which reads the picture where it is `conditioned`.

    Args:
        backbone: the trusted one.
        seed: of its first weights and of the order of pictures.

    Raises:
        ValueError: there is no picture.
    """
    if not len(answers):
        raise ValueError("a twin needs pictures to learn from")
    effort = effort or (CONDITIONED if conditioned else STATIC)
    generator = torch.Generator().manual_seed(seed)
    twin = new_learner(backbone, classnames, conditioned=conditioned, generator=generator)
    epochs = max(2, round(effort.updates * effort.batch / len(answers)))
    recipe = Recipe(epochs=epochs, batch=effort.batch, learning_rate=effort.rate)
    with torch.enable_grad():
        tune(twin, answers.features, answers.labels, recipe, generator)
    return twin.requires_grad_(False)
