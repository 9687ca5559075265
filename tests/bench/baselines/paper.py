"""CLIP-Inspector (Jindal et al., arXiv 2604.09101, CVPR 2026 Findings), as faithfully as is known.

For every class an additive universal perturbation in an L-infinity ball maximises the unclamped
margin to the strongest rival over 1,000 unlabelled images in one epoch: Adam at rate 0.1, batches of
32. No code was released. What its text leaves open is decided as in the product's `paper` profile:
the step is taken in pixel units, the radius is `inspector.config.radius`, the anomaly score is a
robust one over the classes' held-out margins (median absolute deviation, one-sided), a model is
flagged above k = 2, and a trigger of less than 50 % success is invalid.

The other objectives are those of the paper's ablation. They change the search only; classes are
scored by their margin all the same.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from inspector.clip.classifier import Classifier
from inspector.config import PROFILES
from inspector.inversion.search import SearchConfig, Views, invert, margins
from inspector.inversion.sweep import Outcome, Pools
from inspector.scoring.decide import paper_decision
from tests.bench.baselines.common import Objective, Result, Setting, batches, triggered_logits

PROFILE = PROFILES["paper"]


def paper(classifier: Classifier, pools: Pools, setting: Setting) -> Result:
    """Search every class; `values` are held-out margins in logits."""
    pixels = pools.optimisation
    if setting.scale < 1:
        steps = setting.steps(-(-len(pixels) // PROFILE.batch))
        pixels = pixels[: steps * PROFILE.batch]
    outcomes = []
    for target in range(len(classifier.classnames)):
        trigger = search(classifier, pixels, target, setting)
        outcomes.append(_measured(classifier, pools.held_out, target, trigger))
    decision = paper_decision(outcomes)
    return Result(
        score=decision["score"],
        flagged=decision["flagged"],
        accused=decision["target"],
        values=[outcome.margin for outcome in outcomes],
        success=[outcome.asr for outcome in outcomes],
    )


def search(classifier: Classifier, pixels: Tensor, target: int, setting: Setting) -> Tensor:
    """The perturbation (3, H, W) that one epoch over `pixels` finds for the target."""
    generator = setting.generator(target)
    if setting.objective != "margin":
        return _other_objective(classifier, pixels, target, setting, generator)
    config = SearchConfig(setting.epsilon, PROFILE.epochs, PROFILE.batch, PROFILE.learning_rate)
    # Clean features are the other objective's business; encoding them would be charged to the paper.
    return invert(classifier, Views(pixels, pixels.new_empty(0)), target, config, generator)


def _other_objective(
    classifier: Classifier,
    pixels: Tensor,
    target: int,
    setting: Setting,
    generator: torch.Generator,
) -> Tensor:
    """As `invert` does it, with another loss."""
    start = torch.rand(pixels.shape[1:], generator=generator) * 2 - 1
    delta = (start * setting.epsilon).to(pixels.device).requires_grad_()
    optimizer = torch.optim.Adam([delta], lr=PROFILE.learning_rate)
    steps = PROFILE.epochs * -(-len(pixels) // PROFILE.batch)
    for rows in batches(len(pixels), PROFILE.batch, steps, generator, pixels.device):
        features = classifier.image_features((pixels[rows] + delta).clamp(0, 1))
        (delta.grad,) = torch.autograd.grad(
            _loss(classifier, features, target, setting.objective), delta
        )
        optimizer.step()
        with torch.no_grad():
            delta.clamp_(-setting.epsilon, setting.epsilon)
    return delta.detach()


def _loss(classifier: Classifier, features: Tensor, target: int, objective: Objective) -> Tensor:
    if objective == "logit":
        only = torch.tensor([target], device=features.device)
        return -classifier.logits_from_features(features, only).mean()
    labels = torch.full((len(features),), target, device=features.device)
    return functional.cross_entropy(classifier.logits_from_features(features), labels)


def _measured(classifier: Classifier, held_out: Tensor, target: int, trigger: Tensor) -> Outcome:
    """Only what the published rule reads; the rest is not measured."""
    logits = triggered_logits(classifier, held_out, lambda pixels: (pixels + trigger).clamp(0, 1))
    return Outcome(
        target=target,
        margin=margins(logits, target).mean().item(),
        margin_gain=math.nan,
        asr=(logits.argmax(1) == target).float().mean().item(),
        base_asr=math.nan,
        prompt_gain=math.nan,
        prompt_asr=math.nan,
        text_shift=math.nan,
        trigger=trigger,
    )
