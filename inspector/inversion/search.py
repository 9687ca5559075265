"""Invert one target: an additive universal perturbation in an L-infinity ball that maximises margin.

Method: CLIP-Inspector (arXiv 2604.09101), whose objective is the margin between the target's logit
and its strongest rival, unclamped, minimised by Adam at rate 0.1 in batches of 32 for one epoch.
The rival of each image is found without gradient over all classes; only the prompts of target and
rival are encoded again with gradient. The margin's gradient involves no other class, so this is
exact and costs n forward and 2 forward-backward prompts per image instead of n of both.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from inspector.clip.classifier import Classifier
from inspector.errors import NumericalError


@dataclass(frozen=True)
class SearchConfig:
    """`epsilon`: radius in pixel units of [0,1]; `epochs`: passes over the optimisation pool."""

    epsilon: float
    epochs: int = 1
    batch: int = 32
    learning_rate: float = 0.1


def margins(logits: Tensor, target: int | Tensor) -> Tensor:
    """z_target - max over rivals, (B,), in logit units; for one class the logit itself."""
    index = torch.as_tensor(target, device=logits.device).expand(len(logits))[:, None]
    own = logits.gather(1, index)[:, 0]
    if logits.shape[1] == 1:
        return own
    return own - logits.scatter(1, index, float("-inf")).amax(1)


def invert(
    classifier: Classifier,
    probes: Tensor,
    target: int,
    config: SearchConfig,
    generator: torch.Generator,
) -> Tensor:
    """The perturbation (3, H, W) found for `target` on probes (N, 3, H, W) in [0,1].

    Raises:
        NumericalError: the loss or its gradient became NaN or infinite.
    """
    epsilon = config.epsilon
    start = torch.rand(probes.shape[1:], generator=generator) * 2 - 1
    delta = (start * epsilon).to(probes.device).requires_grad_()
    optimizer = torch.optim.Adam([delta], lr=config.learning_rate)
    for _ in range(config.epochs):
        order = torch.randperm(len(probes), generator=generator).to(probes.device)
        for rows in order.split(config.batch):
            loss = -_mean_margin(classifier, (probes[rows] + delta).clamp(0, 1), target)
            (delta.grad,) = torch.autograd.grad(loss, delta)
            if not bool(torch.isfinite(delta.grad).all() & torch.isfinite(loss)):
                raise NumericalError(f"inversion of class {target}")
            optimizer.step()
            with torch.no_grad():
                delta.clamp_(-epsilon, epsilon)
    return delta.detach()


def _mean_margin(classifier: Classifier, pixels: Tensor, target: int) -> Tensor:
    features = classifier.image_features(pixels)
    if not classifier.is_instance_conditioned or len(classifier.classnames) <= 2:
        return margins(classifier.logits_from_features(features), target).mean()
    with torch.no_grad():
        logits = classifier.logits_from_features(features)
        logits[:, target] = float("-inf")
        rival = logits.argmax(1)
    pair = torch.stack([torch.full_like(rival, target), rival], 1)  # (B, 2)
    own, other = classifier.logits_from_features(features, pair).unbind(1)
    return (own - other).mean()
