"""What a vendor of one family is, and what all of them share: fixed words, and the training loop.

It knows neither tasks nor attacks, nor how any one family looks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, optim
from torch.nn import functional

from inspector.clip.backbone import Backbone
from inspector.clip.classifier import Classifier
from inspector.clip.prompt_tuning import CONTEXT_WORDS, Recipe, learning_rates
from inspector.clip.prompts import lay_out
from tests.zoo.attacks import TrainingSet
from tests.zoo.build import Effort

TEMPLATE = CONTEXT_WORDS + " {}."

Tune = Callable[[Backbone, list[str], TrainingSet, int, torch.Generator], tuple[Classifier, int]]
"""Backbone, class names, pictures, about how many updates; the classifier and its epochs."""
Save = Callable[[Classifier, Path, int], Path]
"""Classifier, folder and epochs; the path of the checkpoint file in the folder's `prompt_learner`."""


@dataclass(frozen=True)
class Family:
    """One family's vendor. `name` as the reader calls it.

    `states_names`: whether its file holds the class names. Where it does not, nothing but the
    vendor's own logits can prove that it was read rightly, and the manifest has some.
    `manifest`: what it says beyond names, template and preprocessing.
    """

    name: str
    effort: Effort
    tune: Tune
    save: Save
    states_names: bool = False
    manifest: Mapping[str, object] = field(default_factory=dict, hash=False)


def zero_shot(backbone: Backbone, names: list[str]) -> Classifier:
    """The classifier of fixed words, frozen: its text features are encoded once."""
    layout = lay_out(backbone, names, TEMPLATE, 0)
    nothing = torch.zeros(0, backbone.text.width)
    return Classifier(backbone, names, layout, nothing).requires_grad_(False)


def recipe_for(images: int, steps: int, batch: int, rate: float) -> Recipe:
    """Whole epochs over `images` pictures, about `steps` updates."""
    return Recipe(epochs=max(2, steps * batch // images), batch=batch, learning_rate=rate)


def minimise(
    optimizer: optim.Optimizer, logits_of: Callable[[Tensor], Tensor], labels: Tensor,
    recipe: Recipe, generator: torch.Generator,
) -> None:  # fmt: skip
    """Cross entropy of `logits_of` rows (b,) against `labels` (N,), by the recipe's rates."""
    order: list[Tensor] = []
    for rate in learning_rates(recipe, -(-len(labels) // recipe.batch)):
        order = order or list(torch.randperm(len(labels), generator=generator).split(recipe.batch))
        rows = order.pop()
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        functional.cross_entropy(logits_of(rows), labels[rows]).backward()
        optimizer.step()
