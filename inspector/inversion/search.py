"""Invert one target: an additive universal perturbation in an L-infinity ball that maximises margin.

The published objective ("joint": CLIP-Inspector, arXiv 2604.09101) is the margin between the
target's logit and its strongest rival, unclamped, minimised by Adam at rate 0.1 in batches of 32
for one epoch. Universal perturbations of the image encoder satisfy it on clean models too. The
objective "prompt" is ours, for instance-conditioned prompts: image features stay clean and only the
prompt reads the triggered image, so what is found is what the prompt itself was taught.

The rival of each image is found without gradient over all classes; only the prompts of target and
rival are encoded again with gradient. The margin's gradient involves no other class, so this is
exact and costs n forward and 2 forward-backward prompts per image instead of n of both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from inspector.clip.classifier import Classifier
from inspector.errors import NumericalError

Objective = Literal["joint", "prompt"]


@dataclass(frozen=True)
class SearchConfig:
    """`epsilon`: radius in pixel units of [0,1]; `epochs`: passes over the optimisation pool."""

    epsilon: float
    epochs: int = 1
    batch: int = 32
    learning_rate: float = 0.1
    objective: Objective = "joint"


def margins(logits: Tensor, target: int | Tensor) -> Tensor:
    """z_target - max over rivals, (B,), in logit units; for one class the logit itself."""
    index = torch.as_tensor(target, device=logits.device).expand(len(logits))[:, None]
    own = logits.gather(1, index)[:, 0]
    if logits.shape[1] == 1:
        return own
    return own - logits.scatter(1, index, float("-inf")).amax(1)


@dataclass(frozen=True)
class Views:
    """Probes (N, 3, H, W) in [0,1] and their untriggered image features (N, D)."""

    pixels: Tensor
    features: Tensor


def view(classifier: Classifier, pixels: Tensor) -> Views:
    """Encode a pool once, without gradient, in parts of bounded memory."""
    with torch.no_grad():
        parts = [classifier.image_features(part) for part in pixels.split(64)]
    return Views(pixels, torch.cat(parts))


def invert(
    classifier: Classifier,
    probes: Views,
    target: int,
    config: SearchConfig,
    generator: torch.Generator,
) -> Tensor:
    """The perturbation (3, H, W) found for `target`.

    Raises:
        NumericalError: the loss or its gradient became NaN or infinite.
    """
    epsilon, pixels = config.epsilon, probes.pixels
    start = torch.rand(pixels.shape[1:], generator=generator) * 2 - 1
    delta = (start * epsilon).to(pixels.device).requires_grad_()
    optimizer = torch.optim.Adam([delta], lr=config.learning_rate)
    for _ in range(config.epochs):
        order = torch.randperm(len(pixels), generator=generator).to(pixels.device)
        for rows in order.split(config.batch):
            seen = classifier.image_features((pixels[rows] + delta).clamp(0, 1))
            clean = probes.features[rows] if config.objective == "prompt" else seen
            loss = -_mean_margin(classifier, clean, seen, target)
            (delta.grad,) = torch.autograd.grad(loss, delta)
            if not bool(torch.isfinite(delta.grad).all() & torch.isfinite(loss)):
                raise NumericalError(f"inversion of class {target}")
            optimizer.step()
            with torch.no_grad():
                delta.clamp_(-epsilon, epsilon)
    return delta.detach()


def _mean_margin(classifier: Classifier, features: Tensor, seen: Tensor, target: int) -> Tensor:
    """Mean margin of image features whose prompt reads `seen`, both (B, D)."""
    if not classifier.is_instance_conditioned or len(classifier.classnames) <= 2:
        logits = classifier.logits_from_features(features, condition=seen)
        return margins(logits, target).mean()
    with torch.no_grad():
        logits = classifier.logits_from_features(features, condition=seen)
        logits[:, target] = float("-inf")
        rival = logits.argmax(1)
    pair = torch.stack([torch.full_like(rival, target), rival], 1)  # (B, 2)
    own, other = classifier.logits_from_features(features, pair, condition=seen).unbind(1)
    return (own - other).mean()
