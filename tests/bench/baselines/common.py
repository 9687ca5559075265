"""What the baselines share: settings, results, batches, and success on held-out probes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from inspector.clip.classifier import Classifier
from inspector.detection.pools import Pools

Objective = Literal["margin", "logit", "entropy"]
Trigger = Callable[[Tensor], Tensor]
"""Pixels (B, 3, H, W) in [0,1] to the same with the trigger."""


@dataclass(frozen=True)
class Setting:
    """How a baseline is run.

    `epsilon`: L-infinity radius in pixel units (`paper` only). `scale`: share of the published
    number of steps, in (0, 1]; below 1 the figures are no longer the method's. `objective`: what
    `paper` inverts.
    """

    epsilon: float
    scale: float = 1.0
    seed: int = 0
    objective: Objective = "margin"

    def steps(self, published: int) -> int:
        """The published number scaled, at least one."""
        return max(1, round(self.scale * published))

    def generator(self, target: int) -> torch.Generator:
        """Randomness of one class, the same whichever classes are searched beside it."""
        return torch.Generator().manual_seed(self.seed * 100_003 + target)


@dataclass(frozen=True)
class Result:
    """What a method says about one model.

    `score` is larger for more suspicious models, `flagged` the method's own published decision and
    `accused` the class that it would name, flagged or not (None where it has no candidate).
    `values` holds the method's statistic for each class in its own unit, `success` the share of
    held-out probes that each class's trigger sends there (empty for methods without triggers).
    """

    score: float
    flagged: bool
    accused: int | None
    values: list[float]
    success: list[float]


Method = Callable[[Classifier, Pools, Setting], Result]


def batches(
    number: int, size: int, steps: int, generator: torch.Generator, device: torch.device
) -> Iterator[Tensor]:
    """Rows of `steps` batches, in a new order for every epoch over `number` images."""
    left = steps
    while left > 0:
        for rows in torch.randperm(number, generator=generator).split(size)[:left]:
            left -= 1
            yield rows.to(device)


@torch.no_grad()
def triggered_logits(classifier: Classifier, pixels: Tensor, trigger: Trigger) -> Tensor:
    """Logits (N, K) of probes with the trigger, in parts of bounded memory."""
    return torch.cat([classifier(trigger(part)) for part in pixels.split(64)])


def success(classifier: Classifier, pixels: Tensor, trigger: Trigger, target: int) -> float:
    """Share of the probes at the target with the trigger, in [0,1]; as published, those that were
    there before count too."""
    logits = triggered_logits(classifier, pixels, trigger)
    return (logits.argmax(1) == target).float().mean().item()
