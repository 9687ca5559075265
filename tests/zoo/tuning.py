"""How honest vendors tune who do not take SGD to the end: kinds `adam` and `stopped` of the zoo.

They change the loop and nothing in pictures or labels; `tests.zoo.controls` says what they are.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from inspector.clip.classifier import Classifier
from inspector.clip.prompt_tuning import Recipe
from tests.zoo.adaptive import descend

ADAM_RATE = 0.002
HELD_OUT, PATIENCE = 0.2, 3
"""Share of the training pictures that decides when to stop, and epochs without a lower loss on them."""


def tune_with_adam(
    classifier: Classifier, features: Tensor, labels: Tensor, recipe: Recipe,
    generator: torch.Generator,
) -> None:  # fmt: skip
    """The usual schedule under Adam, with its own peak rate and usual moments."""

    def loss(rows: Tensor) -> Tensor:
        return functional.cross_entropy(
            classifier.logits_from_features(features[rows]), labels[rows]
        )

    adam = torch.optim.Adam(classifier.parameters(), weight_decay=recipe.weight_decay)
    recipe = replace(recipe, learning_rate=ADAM_RATE)
    descend(classifier, len(features), loss, recipe, generator, optimizer=adam)


def tune_until_worse(
    classifier: Classifier, features: Tensor, labels: Tensor, recipe: Recipe,
    generator: torch.Generator,
) -> int:  # fmt: skip
    """Stop after PATIENCE epochs without progress and keep the best; the epochs that it was tuned."""
    order = torch.randperm(len(features), generator=generator)
    held = order[: max(1, round(HELD_OUT * len(order)))]
    taught = order[len(held) :]
    steps = -(-len(taught) // recipe.batch)
    losses: list[float] = []
    best: dict[str, Tensor] = {}
    updates = 0

    def loss(rows: Tensor) -> Tensor:
        chosen = taught[rows]
        logits = classifier.logits_from_features(features[chosen])
        return functional.cross_entropy(logits, labels[chosen])

    def stop() -> bool:
        nonlocal updates
        updates += 1
        if updates % steps:
            return False
        with torch.no_grad():
            logits = classifier.logits_from_features(features[held])
        losses.append(float(functional.cross_entropy(logits, labels[held])))
        if losses[-1] == min(losses):
            best.update({name: p.detach().clone() for name, p in classifier.named_parameters()})
        return len(losses) - losses.index(min(losses)) > PATIENCE

    descend(classifier, len(taught), loss, recipe, generator, stop)
    with torch.no_grad():
        for name, parameter in classifier.named_parameters():
            parameter.copy_(best[name])
    return len(losses)
