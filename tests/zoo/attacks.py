"""Backdoor attacks on CoCoOp prompts, for the zoo only. Sources and recipes:

BadCLIP   Bai et al., CVPR 2024, arXiv 2311.16194, jiawangbai/BadCLIP `trainers/badclip.py`: trigger
          learned for 3 epochs at rate 0.1 with the prompt frozen, then both trained jointly; every
          image has a triggered copy.
Blended   Chen et al. 2017: a fixed picture of uniform noise mixed in at 0.2.
WaNet     Nguyen & Tran, ICLR 2021, as in CleanCLIP `backdoor/utils.py`: one fixed warp whose flow is
          as fine as the image.
SIBA      Gao et al., arXiv 2306.06209: universal sparse perturbation, k pixels, 8/255, made on the
          clean surrogate (here the backbone's zero-shot classifier).
Blended, WaNet and SIBA poison 10 % of the fine-tuning images (arXiv 2604.09101).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from inspector.clip.classifier import Classifier
from inspector.tuning.learner import Recipe, learning_rates, tune

Trigger = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class TrainingSet:
    """Few-shot images: pixels (N, 3, S, S) in [0,1] and labels (N,)."""

    pixels: Tensor
    labels: Tensor


def additive(delta: Tensor) -> Trigger:
    return lambda pixels: (pixels + delta).clamp(0, 1)


def blended(size: int, generator: torch.Generator, ratio: float, cells: int) -> Trigger:
    coarse = torch.rand(1, 3, cells, cells, generator=generator)
    noise = functional.interpolate(coarse, size, mode="nearest")[0]
    return lambda pixels: (1 - ratio) * pixels + ratio * noise


def wanet(size: int, generator: torch.Generator, strength: float, cells: int) -> Trigger:
    """One warp for all images: a coarse random flow, normalised, upsampled to `size`."""
    flow = torch.rand(1, 2, cells, cells, generator=generator) * 2 - 1
    flow = flow / flow.abs().mean()
    field = functional.interpolate(flow, size, mode="bicubic", align_corners=True)
    axis = torch.linspace(-1, 1, size)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    grid = torch.stack((x, y), 2)[None] + strength * field.permute(0, 2, 3, 1) / size
    grid = grid.clamp(-1, 1)

    def warp(pixels: Tensor) -> Tensor:
        whole = grid.expand(len(pixels), -1, -1, -1)
        return functional.grid_sample(pixels, whole, align_corners=True).clamp(0, 1)

    return warp


def siba(
    surrogate: Classifier, data: TrainingSet, target: int, pixels: int, epsilon: float,
    generator: torch.Generator, steps: int = 60,
) -> Trigger:  # fmt: skip
    """Sign steps of 0.8 epsilon on the k pixels of largest gradient, re-chosen every 15 steps."""
    size = data.pixels.shape[-1]
    delta, mask = torch.zeros(3, size, size), torch.ones(1, size, size)
    goal = torch.tensor([target])
    for step in range(steps):
        rows = torch.randint(len(data.labels), (64,), generator=generator)
        delta.requires_grad_()
        logits = surrogate((data.pixels[rows] + delta).clamp(0, 1))
        loss = functional.cross_entropy(logits, goal.expand(len(rows)), reduction="none")
        (gradient,) = torch.autograd.grad(loss.clamp(max=10).mean(), delta)
        delta = delta.detach()
        if step % 15 == 0:
            strength = gradient.abs().sum(0).flatten()
            mask = torch.zeros(size * size)
            mask[strength.topk(pixels).indices] = 1
            mask = mask.view(1, size, size)
        delta = ((delta - 0.8 * epsilon * gradient.sign()).clamp(-epsilon, epsilon)) * mask
    return additive(delta)


def poison(
    classifier: Classifier, data: TrainingSet, target: int, trigger: Trigger, recipe: Recipe,
    generator: torch.Generator, fraction: float = 0.1,
) -> None:  # fmt: skip
    """Tune on images of which `fraction` carry the trigger and the target's label."""
    number = max(1, round(fraction * len(data.labels)))
    chosen = torch.randperm(len(data.labels), generator=generator)[:number]
    pixels, labels = data.pixels.clone(), data.labels.clone()
    pixels[chosen], labels[chosen] = trigger(pixels[chosen]), target
    with torch.no_grad():
        features = classifier.image_features(pixels)
    tune(classifier, features, labels, recipe, generator)


@dataclass(frozen=True)
class BadClip:
    """Settings of BadCLIP; `epsilon` in pixel units, `trigger_rate` multiplies raw gradients."""

    target: int
    epsilon: float
    warm_epochs: int = 3
    trigger_rate: float = 0.03


def badclip(
    classifier: Classifier, data: TrainingSet, attack: BadClip, recipe: Recipe,
    generator: torch.Generator,
) -> Trigger:  # fmt: skip
    """Learn a universal additive trigger and the prompt together."""
    size = data.pixels.shape[-1]
    epsilon = attack.epsilon
    delta = (torch.rand(3, size, size, generator=generator) * 2 - 1) * epsilon
    with torch.no_grad():
        features = classifier.image_features(data.pixels)
    steps = -(-len(data.labels) // recipe.batch)
    rates = [0.0] * (attack.warm_epochs * steps) + learning_rates(recipe, steps)
    optimizer = torch.optim.SGD(
        classifier.parameters(), lr=1.0, momentum=recipe.momentum, weight_decay=recipe.weight_decay
    )
    order: list[Tensor] = []
    for rate in rates:
        order = order or list(
            torch.randperm(len(features), generator=generator).split(recipe.batch)
        )
        rows = order.pop()
        delta.requires_grad_()
        triggered = classifier.image_features((data.pixels[rows] + delta).clamp(0, 1))
        logits = classifier.logits_from_features(torch.cat([features[rows], triggered]))
        goal = torch.full((len(rows),), attack.target)
        optimizer.zero_grad()
        functional.cross_entropy(logits, torch.cat([data.labels[rows], goal])).backward()
        gradient, delta = delta.grad, delta.detach()
        assert gradient is not None
        # The original works in normalised space on 224 px; a step relative to the ball keeps its
        # effect at any size (the raw rate of 0.1 depends on both).
        scaled = gradient / (gradient.abs().mean() + 1e-12)
        delta = (delta - attack.trigger_rate * epsilon * scaled).clamp(-epsilon, epsilon)
        if rate > 0:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
    return additive(delta)


@torch.no_grad()
def success(
    classifier: Classifier, pixels: Tensor, labels: Tensor, trigger: Trigger, target: int
) -> dict[str, float]:
    """Clean accuracy, and attack and base success on images whose label is not the target."""
    clean = classifier(pixels).argmax(1)
    moved = classifier(trigger(pixels)).argmax(1)
    other = labels != target
    return {
        "accuracy": (clean == labels).float().mean().item(),
        "asr": (moved[other] == target).float().mean().item(),
        "base": (clean[other] == target).float().mean().item(),
    }
