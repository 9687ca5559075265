"""Unlearn a reconstructed trigger by tuning the prompt on its own untriggered predictions.

CLIP-Inspector (arXiv 2604.09101) fine-tunes on labelled clean images that carry the reconstructed
trigger under their true labels. Here no labels are needed: the labels are the delivered model's own
predictions on the untriggered probes, for both the plain and the triggered copy, so that what the
model does without a trigger is kept while the trigger loses its effect.
"""

from __future__ import annotations

import torch
from torch import Tensor

from inspector.clip.classifier import Classifier
from inspector.tuning.learner import Recipe, tune

REPAIR_RECIPE = Recipe(epochs=20, batch=16, learning_rate=0.02)
"""tests/bench/LOG.md names the run that set these."""
NOISE_COPIES = 1
"""Further copies under random sign noise of the trigger's size: the neighbourhood, not one point."""


def repair(classifier: Classifier, trigger: Tensor, probes: Tensor, seed: int) -> dict[str, Tensor]:
    """Tune the prompt in place; trigger (3, H, W), probes (N, 3, H, W), both in pixel units.

    Returns the canonical tensors that changed: `ctx`, and `meta_net.*` where there is one.
    """
    generator = torch.Generator().manual_seed(seed)
    radius = float(trigger.abs().max())
    copies = [probes, (probes + trigger).clamp(0, 1)]
    for _ in range(NOISE_COPIES):
        noise = torch.rand(trigger.shape, generator=generator).to(trigger.device) - 0.5
        copies.append((probes + radius * noise.sign()).clamp(0, 1))
    with torch.no_grad():
        features = [_features(classifier, copy) for copy in copies]
        own = classifier.logits_from_features(features[0]).softmax(1)
    classifier.requires_grad_(True)
    tune(classifier, torch.cat(features), own.repeat(len(copies), 1), REPAIR_RECIPE, generator)
    classifier.requires_grad_(False)
    changed = {"ctx": classifier.context.detach().cpu()}
    if classifier.meta_net is not None:
        state = classifier.meta_net.state_dict()
        changed |= {f"meta_net.{name}": value.detach().cpu() for name, value in state.items()}
    return changed


def _features(classifier: Classifier, pixels: Tensor) -> Tensor:
    return torch.cat([classifier.image_features(part) for part in pixels.split(64)])
