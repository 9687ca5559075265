"""Unlearn a class's triggers by tuning the prompt on its own untriggered predictions.

CLIP-Inspector (arXiv 2604.09101) fine-tunes on labelled clean images that carry the reconstructed
trigger under their true labels. Here no labels are needed: plain probes keep the delivered model's
own predictions, and triggered probes get the model's predictions for them with the target struck
out, so that the prompt must learn that the trigger says nothing. One reconstruction is not enough
to cover what the attacker planted, so wider ones, one that only the prompt reads and
random triggers are added.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from inspector.clip.batches import encoded
from inspector.clip.classifier import Classifier
from inspector.clip.prompt_tuning import Recipe, tune
from inspector.detection.inversion import SearchConfig, invert, prepare
from inspector.detection.random_triggers import GLOBAL, draw
from inspector.detection.triggers import Added, Trigger
from inspector.profiles import ObjectiveName
from inspector.repair.copies import canonical, copy_of
from inspector.repair.strategy import Case

REPAIR_RECIPE = Recipe(epochs=6, batch=32, learning_rate=0.1)
PLAIN_COPIES = 4
WIDER = 2.0
"""Further triggers are sought in a ball this many times as wide. All three: experiments 7
and 20."""
EPOCHS = 2
"""Passes of these searches over the probes, as in those experiments."""


@dataclass(frozen=True)
class Unlearning:
    """What `repair` makes of a copy."""

    name: str = "unlearning"

    def tensors(self, case: Case) -> dict[str, Tensor]:
        """See `inspector.repair.strategy.Strategy.tensors`."""
        found = (case.target, case.trigger)
        return repair(copy_of(case.classifier), found, case.pictures, case.radius, case.seed)


def repair(
    classifier: Classifier,
    found: tuple[int, Trigger],
    probes: Tensor,
    radius: float,
    seed: int,
) -> dict[str, Tensor]:
    """Tune the prompt in place against `found`, a target and its trigger.

    probes (N, 3, H, W) in [0,1] need no labels; `radius` is in their units. Returns the canonical
    tensors that changed: `ctx`, and `meta_net.*` where there is one.

    Raises:
        NumericalError: a further search became NaN or infinite.
    """
    target, trigger = found
    generator = torch.Generator().manual_seed(seed)
    plain = encoded(classifier, probes)
    triggers: list[Trigger] = [trigger]
    names: tuple[ObjectiveName, ...] = (
        ("joint", "prompt") if classifier.is_instance_conditioned else ("joint",)
    )
    for name in names:
        wider = SearchConfig(WIDER * radius, EPOCHS, objective=name)
        objective = prepare(classifier, probes, name)
        triggers.append(Added(invert(objective, target, wider, generator)))
    own = _predicted(classifier, plain)
    # Probes that the model gives to the target anyway cannot teach that the trigger says nothing.
    elsewhere = own.argmax(1) != target
    carriers = probes[elsewhere]
    triggers += [
        members[len(members) // 2]
        for family, members in draw(classifier.backbone.image_size, seed).items()
        if family in GLOBAL  # As in the experiments that chose the recipe.
    ]
    features, labels = [plain] * PLAIN_COPIES, [own] * PLAIN_COPIES
    for one in triggers:
        features.append(encoded(classifier, one(carriers)))
        # A disturbed picture need not be what it was: it only must not be the target.
        labels.append(_without(_predicted(classifier, features[-1]), target))
    classifier.requires_grad_(True)
    tune(classifier, torch.cat(features), torch.cat(labels), REPAIR_RECIPE, generator)
    classifier.requires_grad_(False)
    return canonical(classifier)


@torch.no_grad()
def _predicted(classifier: Classifier, features: Tensor) -> Tensor:
    """Probabilities (N, K) of image features (N, D)."""
    return classifier.logits_from_features(features).softmax(1)


def _without(probabilities: Tensor, target: int) -> Tensor:
    """Probabilities (N, K) with the target struck out and the rest rescaled to sum to one."""
    rest = probabilities.clone()
    rest[:, target] = 0
    return rest / rest.sum(1, keepdim=True).clamp(min=1e-6)
