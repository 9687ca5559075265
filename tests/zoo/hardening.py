"""The loop of an honest vendor who tunes adversarially: control `adversarial` of the zoo.

Half of every batch are the same pictures under a perturbation of their own that raises the loss of
the prompt as it is now: one sign step of 1.25 radii from a random start (Wong, Rice & Kolter, "Fast
is better than free", ICLR 2020, arXiv 2001.03994; for prompts after Zhang et al., arXiv 2311.11261,
and Li et al., arXiv 2403.01849). Labels are the true ones throughout.

The image encoder runs in every update, so features cannot be cached and updates are fewer.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from inspector.clip.classifier import Classifier
from inspector.clip.prompt_tuning import Recipe
from tests.zoo.adaptive import descend
from tests.zoo.attacks import TrainingSet
from tests.zoo.encoding import features_of

SMALLEST, LARGEST = 2 / 255, 4 / 255
"""Radius in pixel units, L-infinity; drawn anew for every batch."""
STEP = 1.25


def tune_adversarially(
    classifier: Classifier, data: TrainingSet, recipe: Recipe, generator: torch.Generator
) -> None:
    clean = features_of(classifier, data.pixels)

    def loss(rows: Tensor) -> Tensor:
        labels = data.labels[rows]
        hard = adversarial(classifier, data.pixels[rows], labels, generator)
        with torch.no_grad():
            moved = classifier.image_features(hard)
        logits = classifier.logits_from_features(torch.cat([clean[rows], moved]))
        return functional.cross_entropy(logits, labels.repeat(2))

    descend(classifier, len(clean), loss, recipe, generator)


def adversarial(
    classifier: Classifier, pixels: Tensor, labels: Tensor, generator: torch.Generator
) -> Tensor:
    """One sign step up the loss from a random start, within the radius and [0,1]."""
    epsilon = SMALLEST + (LARGEST - SMALLEST) * float(torch.rand((), generator=generator))
    delta = (torch.rand(pixels.shape, generator=generator) * 2 - 1) * epsilon
    delta.requires_grad_()
    loss = functional.cross_entropy(classifier((pixels + delta).clamp(0, 1)), labels)
    (gradient,) = torch.autograd.grad(loss, delta)
    moved = (delta.detach() + STEP * epsilon * gradient.sign()).clamp(-epsilon, epsilon)
    return (pixels + moved).clamp(0, 1)
