"""The reference of static prompts: a benign one of the same classes and backbone, tuned by us.

It is distilled from the backbone's zero-shot predictions on unlabelled probes, so it depends on
nothing the vendor delivered and can be cached by backbone, class list and probes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from inspector.clip.backbone import Backbone
from inspector.clip.batches import encoded
from inspector.clip.classifier import Classifier
from inspector.tuning.learner import Recipe, new_learner, tune

TWIN_RECIPE = Recipe(epochs=12, batch=8, learning_rate=0.02)
"""Chosen in tests/bench/LOG.md, experiment 4: enough steps for the twin to agree with zero-shot."""
TWIN_SEED = 7


def reference(backbone: Backbone, classnames: list[str], probes: Tensor) -> Classifier:
    """A frozen twin; probes (N, 3, H, W) in [0,1]. Deterministic for the same arguments."""
    generator = torch.Generator().manual_seed(TWIN_SEED)
    twin = new_learner(backbone, classnames, conditioned=False, generator=generator)
    features = encoded(twin, probes)
    with torch.no_grad():
        logits = backbone.logit_scale * features @ backbone.zero_shot(classnames).T
    tune(twin, features, logits.softmax(1), TWIN_RECIPE, generator)
    return twin.requires_grad_(False)
