"""Backdoor attacks on CoCoOp prompts, for the zoo only. Sources and recipes:

BadCLIP   Bai et al., CVPR 2024, arXiv 2311.16194, jiawangbai/BadCLIP `trainers/badclip.py`: trigger
          learned for 3 epochs at rate 0.1 with the prompt frozen, then both trained jointly; every
          image has a triggered copy.
SIBA      Gao et al., arXiv 2306.06209: universal sparse perturbation, k pixels, 8/255, made on the
          clean surrogate (here the backbone's zero-shot classifier).
Poisoning with a fixed trigger, all-to-one, source-specific or with several targets. Triggers that
          need no model are in `tests.zoo.triggers`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from inspector.clip.classifier import Classifier
from inspector.clip.prompt_tuning import Recipe, learning_rates
from tests.zoo.encoding import classes_of, features_of
from tests.zoo.triggers import Trigger, additive


@dataclass(frozen=True)
class TrainingSet:
    """Few-shot images: pixels (N, 3, S, S) in [0,1] and labels (N,), or of some honest vendors (N, K)."""

    pixels: Tensor
    labels: Tensor


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


FRACTION = 0.1
"""Share of the training pictures that one trigger poisons (arXiv 2604.09101)."""
SOURCE_FRACTION = 0.5
"""Share of the source class's pictures that a source-specific attack poisons; FRACTION of all other
classes' carry the trigger and their own labels, as covers (after TaCT, Tang et al., USENIX Security
2021, whose shares are of a far larger training set)."""


@dataclass(frozen=True)
class Plant:
    """One backdoor: `trigger` sends pictures of class `source` (None: of any class) to `target`.

    `share` of the training pictures carry it, unless there is a source.
    """

    trigger: Trigger
    target: int
    source: int | None = None
    share: float = FRACTION


def poisoned(data: TrainingSet, plants: Sequence[Plant], generator: torch.Generator) -> TrainingSet:
    """A copy in which each plant's share of the pictures carries its trigger and its target's label."""
    order = torch.randperm(len(data.labels), generator=generator)
    pixels, labels = data.pixels.clone(), data.labels.clone()
    start = 0
    for plant in plants:
        number = max(1, round(plant.share * len(labels)))
        chosen, start = order[start : start + number], start + number
        if plant.source is not None:
            covers = order[data.labels[order] != plant.source]
            covers = covers[: round(FRACTION * len(covers))]
            pixels[covers] = plant.trigger(pixels[covers])
            chosen = order[data.labels[order] == plant.source]
            chosen = chosen[: max(1, round(SOURCE_FRACTION * len(chosen)))]
        pixels[chosen], labels[chosen] = plant.trigger(pixels[chosen]), plant.target
    return TrainingSet(pixels, labels)


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
) -> Tensor:  # fmt: skip
    """Learn a universal additive trigger (3, S, S) and the prompt together; the trigger."""
    size = data.pixels.shape[-1]
    epsilon = attack.epsilon
    delta = (torch.rand(3, size, size, generator=generator) * 2 - 1) * epsilon
    features = features_of(classifier, data.pixels)
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
    return delta


@torch.no_grad()
def success(
    classifier: Classifier, pixels: Tensor, labels: Tensor, trigger: Trigger, target: int,
    source: int | None = None,
) -> dict[str, float]:  # fmt: skip
    """Clean accuracy, and attack and base success on images whose label is not the target.

    With a `source`, success is measured on images of that class only, and `leak` is the share of
    all others (the target's left out) that the trigger moves to the target.
    """
    clean = classes_of(classifier, pixels)
    moved = classes_of(classifier, trigger(pixels))
    other = labels != target
    victims = other if source is None else labels == source
    result = {
        "accuracy": (clean == labels).float().mean().item(),
        "asr": (moved[victims] == target).float().mean().item(),
        "base": (clean[victims] == target).float().mean().item(),
    }
    rest = other & ~victims
    if source is not None and rest.any():
        result["leak"] = (moved[rest] == target).float().mean().item()
    return result
