"""CLIP-Inspector (Jindal et al., arXiv 2604.09101, CVPR 2026 Findings), as faithfully as is known.

For every class an additive universal perturbation in an L-infinity ball maximises the unclamped
margin to the strongest rival over 1,000 unlabelled images in one epoch: Adam at rate 0.1, batches of
32. No code was released. What its text leaves open is decided as in the product's `paper` profile:
the step is taken in pixel units, the radius is `inspector.profiles.radius`, the anomaly score is a
robust one over the classes' held-out margins (median absolute deviation, one-sided), a model is
flagged above k = 2, and a trigger of less than 50 % success is invalid.

The loop is here, and not the product's, because the ablation changes its loss. The other objectives are those of the paper's ablation. They change the search only; classes are
scored by their margin all the same.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from inspector.clip.classifier import Classifier
from inspector.detection.objectives import margins, own_margins
from inspector.detection.pools import Pools
from inspector.detection.published_test import PUBLISHED_SUCCESS, PUBLISHED_THRESHOLD, one_sided_mad
from inspector.profiles import PROFILES
from tests.bench.baselines.common import (
    Objective,
    Result,
    Setting,
    batches,
    triggered_logits,
)

PROFILE = PROFILES["paper"]
"""Numbers of images."""
BATCH, RATE = 32, 0.1


def paper(classifier: Classifier, pools: Pools, setting: Setting) -> Result:
    """Search every class; `values` are held-out margins in logits."""
    pixels = pools.optimisation
    if setting.scale < 1:
        steps = setting.steps(-(-len(pixels) // BATCH))
        pixels = pixels[: steps * BATCH]
    values, success = [], []
    for target in range(len(classifier.classnames)):
        delta = search(classifier, pixels, target, setting)
        logits = triggered_logits(classifier, pools.held_out, partial(_added, delta))
        values.append(margins(logits, target).mean().item())
        success.append((logits.argmax(1) == target).float().mean().item())
    return decided(values, success)


def decided(values: list[float], success: list[float]) -> Result:
    """The published rule on held-out margins and success of all classes."""
    scores = one_sided_mad(values)
    best = max(range(len(scores)), key=scores.__getitem__)
    flagged = scores[best] > PUBLISHED_THRESHOLD and success[best] >= PUBLISHED_SUCCESS
    return Result(scores[best], flagged, best, values, success)


def search(classifier: Classifier, pixels: Tensor, target: int, setting: Setting) -> Tensor:
    """The perturbation (3, H, W) that one epoch over `pixels` finds for the target."""
    generator = setting.generator(target)
    start = torch.rand(pixels.shape[1:], generator=generator) * 2 - 1
    delta = (start * setting.epsilon).to(pixels.device).requires_grad_()
    optimizer = torch.optim.Adam([delta], lr=RATE)
    steps = -(-len(pixels) // BATCH)
    for rows in batches(len(pixels), BATCH, steps, generator, pixels.device):
        features = classifier.image_features((pixels[rows] + delta).clamp(0, 1))
        loss = _loss(classifier, features, target, setting.objective)
        (delta.grad,) = torch.autograd.grad(loss, delta)
        optimizer.step()
        with torch.no_grad():
            delta.clamp_(-setting.epsilon, setting.epsilon)
    return delta.detach()


def _added(delta: Tensor, pixels: Tensor) -> Tensor:
    return (pixels + delta).clamp(0, 1)


def _loss(classifier: Classifier, features: Tensor, target: int, objective: Objective) -> Tensor:
    if objective == "margin":
        return -own_margins(classifier, features, target).mean()
    if objective == "logit":
        only = torch.tensor([target], device=features.device)
        return -classifier.logits_from_features(features, only).mean()
    labels = torch.full((len(features),), target, device=features.device)
    return functional.cross_entropy(classifier.logits_from_features(features), labels)
